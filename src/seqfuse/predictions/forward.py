"""Batches to predictions, as the test step makes them."""

import contextlib

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
            output = self.task(batch.x.to(self.device), batch.mask.to(self.device))
            return self.task.calibrate(output.prediction).float().cpu()
