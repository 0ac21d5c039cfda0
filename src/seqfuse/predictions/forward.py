"""Batches to predictions, as the test step makes them."""

import contextlib
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqfuse.shapes import Batch
from seqfuse.tasks.base import Task


class Forward:
    """A task that only predicts.

    Args:
        task: its net and its calibration.
        trainer: chooses device and precision; without one, the CPU and 32 bits.
    """

    def __init__(self, task: Task, trainer: Trainer | None = None):
        self.device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        self.context = (
            contextlib.nullcontext if trainer is None else trainer.precision_plugin.forward_context
        )
        self.task = task.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Tensor:
        """What the test step would have measured, on the CPU and in 32 bits."""
        with self.context():
            output = self.task(self._here(batch.x), self._here(batch.mask))
            return self.task.calibrate(output.prediction).float().cpu()

    def _here(self, part: Any) -> Any:
        """On the device; several sources each."""
        if isinstance(part, dict):
            return {name: one.to(self.device) for name, one in part.items()}
        return part.to(self.device)
