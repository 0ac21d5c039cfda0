"""Training with weights rounded to 8 bits, so that a net learns to do with them."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from seqfuse.config import build
from seqfuse.data.module import DataModule
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibrate import calibrate

CONSTANT = "seqfuse.tasks.schedules.Constant"
LEVELS = 127
"""Whole numbers on each side of 0."""


class Rounded(Callback):
    """Steps see rounded weights; their gradients go to the weights as they are.

    The straight-through estimator (Bengio et al. 2013) for what `write_int8` rounds: the
    weights of LSTMs, linear layers and embeddings, each matrix on a scale of its own.
    """

    def __init__(self) -> None:
        self._kept: dict[nn.Parameter, Tensor] = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._kept = {weight: weight.detach().clone() for weight in matrices(pl_module)}
        for weight in self._kept:
            weight.data.copy_(rounded(weight.data))

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for weight, kept in self._kept.items():
            weight.data.copy_(kept)
        self._kept = {}


def matrices(module: nn.Module) -> list[nn.Parameter]:
    """The weights that are rounded."""
    kinds = (nn.LSTM, nn.Linear, nn.Embedding)
    parts = [part for part in module.modules() if isinstance(part, kinds)]
    weights = (weight for part in parts for weight in part.parameters(recurse=False))
    return list(dict.fromkeys(weight for weight in weights if weight.dim() == 2))


def rounded(weight: Tensor) -> Tensor:
    """The nearest of 255 evenly spaced values around 0, up to the largest weight."""
    scale = (weight.abs().max() / LEVELS).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / scale).round() * scale


def finetune(task: Task, data: DataModule, trained: dict[str, Any], config: dict[str, Any]) -> Task:
    """A copy of a task, trained for some epochs more at a low rate; calibration is done anew.

    `finetune` of the command's config holds the number of epochs and the fraction of the rate.
    """
    options = config["finetune"]
    schedule = {"_target_": CONSTANT, "factor": options["lr_fraction"]}
    tuned = build.build_task({**trained, "scheduler": schedule}, record=task.record)
    tuned.load_state_dict(task.state_dict())
    settings = {**config["trainer"], "max_epochs": options["epochs"]}
    trainer = build.build_trainer({**trained, **config, "trainer": settings}, Rounded())
    data.setup("fit")
    trainer.fit(tuned, datamodule=data)
    calibrate(tuned, data, trainer, {})
    return tuned.eval()
