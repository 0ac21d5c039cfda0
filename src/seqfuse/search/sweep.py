"""Launcher and folders of the jobs of a sweep, and the summary at the end."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from seqfuse.compat.submitit import is_submitit, waiting_for_all
from seqfuse.config import untrusted
from seqfuse.config.checks.groups import strange_folders
from seqfuse.config.checks.words import typed
from seqfuse.config.mistakes import explain
from seqfuse.config.runs import LOCK, refuse_begun
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.search import devices, outcome


class Summaries(Callback):
    """Remembers where the command writes and which jobs it launched: a mistake leaves nothing
    behind, a sweep its summary.
    """

    _folder: Path | None = None
    _made: list[Path] = []
    """Folders that were not there before the command, the innermost first."""
    _launched: set[int] | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summaries._begin(config, Path(str(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(str(config.hydra.sweep.dir))
        Summaries._begin(config, folder)
        Summaries._folder, Summaries._launched = folder, None
        devices.keep_gpus()
        if problem := devices.warning(config.hydra.launcher):
            say(f"seqfuse: {problem}", file=sys.stderr)

    @classmethod
    def _begin(cls, config: DictConfig, folder: Path) -> None:
        """Ends the process where a folder of YAMLs asks to write outside of what was named.

        Hydra makes the folder next, and turns exceptions of callbacks into warnings.
        """
        from seqfuse.config.cli import fail

        try:
            for source in strange_folders(config.hydra):
                untrusted.check_output(str(folder), typed(config.hydra), Path(source))
        except InputError as error:
            fail(str(error))
        cls._made = [path for path in (folder, *folder.parents) if not path.exists()]

    @classmethod
    def tidy(cls) -> None:
        """Removes folders that were made for nothing: they hold Hydra's file or a lock at most."""
        made, cls._made = cls._made, []
        for path in made:
            with contextlib.suppress(OSError):  # of a folder that holds something, and so stays
                names = {entry.name for entry in path.iterdir()}
                for name in names if names <= {"multirun.yaml", LOCK} else ():
                    (path / name).unlink()
                path.rmdir()

    @classmethod
    def check_new(cls, folder: Path) -> None:
        """Checks that the folder of a sweep holds no jobs of another, whose summary stays."""
        try:
            for job in sorted(folder.glob("*/")):
                refuse_begun(job)
        except InputError:
            cls._folder = None
            raise

    @classmethod
    def launches(cls, numbers: Iterable[int]) -> None:
        """Notes the jobs of this process; other processes may share a search and its folder."""
        cls._launched = {*(cls._launched or ()), *numbers}

    @classmethod
    def write(cls) -> str:
        """Writes the summary of the sweep that began here, if there was one; returns in one line
        which of its jobs did not complete, and nothing if all did."""
        folder, cls._folder = cls._folder, None
        if folder is None or not any(folder.glob(f"*/{outcome.FILE}")):
            return ""
        from seqfuse.search import summary  # slow: pandas and matplotlib

        return summary.write(folder, cls._launched)


class Steady(Launcher):
    """A launcher that launches again what another one had not begun when a job was killed."""

    def __init__(self, inner: Launcher, folder: Path):
        self.inner, self.folder = inner, folder
        Summaries.launches([])

    def setup(self, **given: Any) -> None:
        self.inner.setup(**given)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Launches jobs whose numbers are in a row, and returns when all have ended; raises the
        error of the other launcher, if it began none of them."""
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        Summaries.launches(numbers)
        lost: list[Exception] = []
        returns: Sequence[JobReturn | None] = [None] * len(numbers)
        try:
            with waiting_for_all(lost) if is_submitit(self.inner) else contextlib.nullcontext():
                returns = self.inner.launch(job_overrides, initial_job_idx)
        except Exception as error:
            lost.append(error)
        done = {number: job for number, job in zip(numbers, returns, strict=True) if job}
        if not lost:
            return list(done.values())
        for number in set(numbers) - set(done):
            if left := outcome.read(self.folder / str(number)):
                done[number] = JobReturn(status=JobStatus.COMPLETED)
                done[number].return_value = left._asdict()
        if not done:
            raise lost[0]
        say(f"seqfuse: {explain(lost[0])}", file=sys.stderr)
        for row in in_a_row(number for number in numbers if number not in done):
            jobs = [job_overrides[number - initial_job_idx] for number in row]
            done |= zip(row, self.launch(jobs, row[0]), strict=True)
        return [done[number] for number in numbers]


def in_a_row(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Rising numbers, cut where one is missing: the jobs of a launch are numbered in a row."""
    start = count()
    return (list(row) for _, row in groupby(numbers, lambda number: number - next(start)))
