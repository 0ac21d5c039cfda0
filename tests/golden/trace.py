"""Callback: what a run computes, written down to the last bit."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

FILE = "trace.json"


class Trace(Callback):
    """Digests of the first training batch and of the weights, losses and validation metrics.

    Names of parameters and their order are left out of the digests, so that modules can be
    renamed. The run folder gets all of it as `trace.json`.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {"losses": []}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.found["initial weights"] = _of_weights(pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            parts = zip(("x", "mask", "y"), batch, strict=False)
            self.found["batch"] = {name: digest(part) for name, part in parts}

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.found["losses"].append(repr(outputs["loss"].item()))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.found["trained weights"] = _of_weights(pl_module)
        self.found["metrics"] = {
            name: repr(value.item())
            for name, value in sorted(trainer.callback_metrics.items())
            if re.match("(train|val)/", name)
        }
        Path(trainer.default_root_dir, FILE).write_text(json.dumps(self.found))


def digest(content: Any) -> str:
    """The first 64 bits of the SHA-256 of tensors and numbers, in whatever they are nested."""
    total = hashlib.sha256()
    for part in _leaves(content):
        total.update(part)
    return total.hexdigest()[:16]


def _leaves(content: Any) -> Iterator[bytes]:
    if isinstance(content, torch.Tensor):
        array = content.detach().cpu().numpy()
        yield f"{array.dtype}{array.shape}".encode()
        yield array.tobytes()
    elif isinstance(content, Mapping):
        for name in sorted(content):
            yield str(name).encode()
            yield from _leaves(content[name])
    elif isinstance(content, Sequence) and not isinstance(content, str):
        for part in content:
            yield from _leaves(part)
    else:
        yield repr(content).encode()


def _of_weights(module: LightningModule) -> str:
    return digest(sorted(digest(parameter) for parameter in module.parameters()))
