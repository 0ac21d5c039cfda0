"""Tells Hydra's sweeps from single runs, so that a sweep ends with a summary."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqfuse.sweeps import share
from seqfuse.sweeps.outcome import FILE


class Summaries(Callback):
    """Remembers the folder and the jobs of the sweep that began in this process."""

    _folder: Path | None = None
    _launched: set[int] | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summaries._folder, Summaries._launched = Path(str(config.hydra.sweep.dir)), None
        share.keep_gpus()
        if problem := share.warning(config.hydra.launcher):
            print(f"seqfuse: {problem}", file=sys.stderr)

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
        from seqfuse.sweeps import summary  # slow: pandas and matplotlib

        return summary.write(folder, cls._launched)
