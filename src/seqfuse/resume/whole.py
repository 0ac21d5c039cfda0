"""Checkpoints of a run at work: each is whole, and the last but one is kept."""

import os
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from seqfuse.config.checkpoint import LAST, PREVIOUS, write

PATHS = {"dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "bad_batches_path"}
"""In the states of Lightning's callbacks."""


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, and keeps the `last.ckpt` before as `previous.ckpt`.

    Lightning writes into the system's temporary folder and moves the file from there, which
    is a copy, and no single step, where that is another disk.
    """

    def __init__(self) -> None:
        self._whole: set[Path] = set()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes beside the file and then puts it in its place."""
        path = Path(path)
        write(checkpoint, path, self._keep if path.name == LAST else None)
        self._whole.add(path)

    def _keep(self, last: Path) -> None:
        """Only what this run has read or written is worth keeping: anything else may be broken."""
        previous = last.with_name(PREVIOUS)
        if last in self._whole and last.is_file():
            os.replace(last, previous)
            self._whole.add(previous)
        elif previous not in self._whole:
            previous.unlink(missing_ok=True)

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Without paths of callbacks that lie outside of the run: they read and delete by them."""
        content = super().load_checkpoint(path, *args, **kwargs)
        self._whole.add(Path(path))
        home = Path(path).resolve().parents[1]
        for state in (content.get("callbacks") or {}).values():
            if isinstance(state, dict):
                _keep_near(state, home)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes a file that lies where this run keeps checkpoints, and nothing else."""
        path = Path(path)
        places = {written.resolve().parent for written in self._whole}
        if path.suffix == ".ckpt" and path.is_file() and path.resolve().parent in places:
            path.unlink()


def _keep_near(state: dict[str, Any], home: Path) -> None:
    """Takes paths that do not lie below a folder out of the state of a callback."""
    for key in PATHS & set(state):
        if not _is_near(state[key], home):
            state[key] = ""
    models = state.get("best_k_models")
    if isinstance(models, dict):
        state["best_k_models"] = {k: v for k, v in models.items() if _is_near(k, home)}


def _is_near(path: Any, home: Path) -> bool:
    return isinstance(path, str) and Path(path).resolve().is_relative_to(home)
