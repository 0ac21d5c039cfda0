"""Knows where a command writes: a sweep ends with a summary, a mistake leaves nothing."""

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqfuse.config import untrusted
from seqfuse.config.mistakes import strange_folders, typed
from seqfuse.config.runs import LOCK, refuse_begun
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.search import share
from seqfuse.search.outcome import FILE


def _check_output(config: DictConfig, folder: str) -> None:
    """Ends the process where a folder of YAMLs says that a run is kept outside of what was named.

    Hydra makes the folder next, and turns exceptions of callbacks into warnings.
    """
    from seqfuse.config.cli import fail

    try:
        for source in strange_folders(config.hydra):
            untrusted.check_output(folder, typed(config.hydra), Path(source))
    except InputError as error:
        fail(str(error))


class Summaries(Callback):
    """Remembers the folder and the jobs of the sweep that began in this process."""

    _folder: Path | None = None
    _made: list[Path] = []
    """Folders that were not there before the command, the innermost first."""
    _launched: set[int] | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_output(config, str(config.hydra.run.dir))
        Summaries._begin(Path(str(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_output(config, str(config.hydra.sweep.dir))
        Summaries._folder, Summaries._launched = Path(str(config.hydra.sweep.dir)), None
        Summaries._begin(Summaries._folder)
        share.keep_gpus()
        if problem := share.warning(config.hydra.launcher):
            say(f"seqfuse: {problem}", file=sys.stderr)

    @classmethod
    def _begin(cls, folder: Path) -> None:
        cls._made = [path for path in (folder, *folder.parents) if not path.exists()]

    @classmethod
    def tidy(cls) -> None:
        """Removes folders that were made for nothing: they hold Hydra's file or a lock at most."""
        made, cls._made = cls._made, []
        for path in made:
            with contextlib.suppress(OSError):  # of a folder that holds something, and so stays
                there = list(path.iterdir())
                for one in there if {one.name for one in there} <= {"multirun.yaml", LOCK} else ():
                    one.unlink()
                path.rmdir()

    @classmethod
    def check_new(cls, folder: Path) -> None:
        """Checks that the folder of a sweep holds no jobs of another.

        Raises:
            InputError: it does; their summary stays as it is.
        """
        try:
            for job in sorted(folder.glob("*/")):
                refuse_begun(job)
        except InputError:
            cls._folder = None
            raise

    @classmethod
    def launches(cls, numbers: Iterable[int]) -> None:
        """Of the jobs in the folder, these are this process's own; others may share a search."""
        cls._launched = {*(cls._launched or ()), *numbers}

    @classmethod
    def write(cls) -> str:
        """Writes the summary of the sweep that began here, if there was one.

        Returns:
            which of its jobs did not complete, as one line; empty if all did.
        """
        folder, cls._folder = cls._folder, None
        if folder is None or not any(folder.glob(f"*/{FILE}")):
            return ""
        from seqfuse.search import summary  # slow: pandas and matplotlib

        return summary.write(folder, cls._launched)
