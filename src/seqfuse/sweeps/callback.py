"""Tells Hydra's sweeps from single runs, so that a sweep ends with a summary."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from seqfuse.sweeps import share
from seqfuse.sweeps.outcome import FILE


class Summaries(Callback):
    """Remembers the folder of the sweep that began in this process."""

    _folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summaries._folder = Path(str(config.hydra.sweep.dir))
        share.keep_gpus()
        if problem := share.warning(config.hydra.launcher):
            print(f"seqfuse: {problem}", file=sys.stderr)

    @classmethod
    def write(cls) -> str:
        """Writes the summary of the sweep that began here, if there was one.

        Returns:
            which jobs did not complete, as one line; empty if all did.
        """
        folder, cls._folder = cls._folder, None
        if folder is None or not any(folder.glob(f"*/{FILE}")):
            return ""
        from seqfuse.sweeps import summary  # slow: pandas and matplotlib

        return summary.write(folder)
