"""How a checkpoint gets onto the disk."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from seqfuse.plain import files
from seqfuse.plain.errors import InputError

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


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
        """Raises InputError if there is no room, or no right to write."""
        path = Path(path)
        content = io.BytesIO()
        torch.save(checkpoint, content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = files.write_beside(path, content.getvalue())
            if path.name == LAST:
                self._keep(path)
            os.replace(beside, path)
        except OSError as error:
            raise InputError(
                f"cannot write {path} ({error.strerror or error}): what was saved before is "
                f"still there; make room, then type seqfuse-train resume={path.parents[1]}"
            ) from None
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
        content = super().load_checkpoint(path, *args, **kwargs)
        self._whole.add(Path(path))
        return content
