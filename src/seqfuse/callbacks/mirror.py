"""A copy of the run folder at an address, from which another machine goes on."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import DictConfig

from seqfuse.config import checkpoint, runs
from seqfuse.ddp import start
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses
from seqfuse.runtime.shown import say

LEFT_OUT = (runs.LOCK, checkpoint.PREVIOUS)
"""Files that nobody goes on from elsewhere."""


class Mirror(Callback):
    """Sends what is new in the run folder: behind each checkpoint, and when the run has ended.

    Each file is sent whole, checkpoints behind all others: so the logs there are never older than
    the checkpoint beside them. An address that cannot be reached ends no run before its end.
    """

    def __init__(self, run: Path, address: str):
        self.run, self.address = run, address
        self._sent: dict[str, tuple[int, int]] = {}
        self._saved: dict[Path, int] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        path = Path(trainer.default_root_dir) / "checkpoints" / checkpoint.LAST
        if not trainer.is_global_zero or not path.is_file():
            return
        saved = path.stat().st_mtime_ns
        if self._saved.get(path) == saved:
            return
        self._saved[path] = saved
        try:
            self.send()
        except InputError as error:
            say(f"seqfuse: warning: {error}; it is tried again later", file=sys.stderr)

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if start.is_child() or start.foreign_rank() or not self.run.is_dir():
            return
        try:
            self.send()
        except InputError as error:
            problem = f"{error}; the run is whole in {runs.short(self.run)}"
            if kind is None:
                raise InputError(problem) from None
            say(f"seqfuse: warning: {problem}", file=sys.stderr)
        else:
            say(f"mirror      {self.address}")

    def send(self) -> None:
        paths = (path for path in self.run.rglob("*") if path.name not in LEFT_OUT)
        for path in sorted(paths, key=lambda path: (path.suffix == ".ckpt", path)):
            inside = path.relative_to(self.run).as_posix()
            with suppress(FileNotFoundError):  # of another name by now
                mark = path.stat().st_size, path.stat().st_mtime_ns
                if path.is_file() and path.suffix != ".tmp" and self._sent.get(inside) != mark:
                    addresses.put(path, f"{self.address}/{inside}")
                    self._sent[inside] = mark


def of(recipe: DictConfig, run: Path) -> Mirror | None:
    """The mirror of a run; None where none is asked for.

    At the address of all, a run has the place that it has in the folder of all (paths.logs).
    """
    address = recipe.paths.get("mirror")
    if not address:
        return None
    addresses.check_writable(str(address))
    addresses.check_bucket(str(address))
    logs = Path(str(recipe.paths.logs)).absolute()
    inside = run.absolute().relative_to(logs) if run.absolute().is_relative_to(logs) else run.name
    return Mirror(run.absolute(), f"{str(address).rstrip('/')}/{inside}")
