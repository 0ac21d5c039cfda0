"""Batches to predictions, as the test step makes them."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqfuse.nn.shapes import Batch
from seqfuse.predictions.batches import Part, check_batch_size, regroup
from seqfuse.tasks.base import Task


class Forward:
    """A task that only predicts.

    Args:
        task: its net and its calibration.
        trainer: chooses device and precision; without one, the CPU and 32 bits.
        batch_size: items that are predicted at once; `auto` as many as suit the memory.

    Raises:
        InputError: the batch size is out of range.
    """

    def __init__(self, task: Task, trainer: Trainer | None = None, batch_size: int | str = "auto"):
        check_batch_size(batch_size)
        self.batch_size = batch_size
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

    def each(self, parts: Iterable[Part]) -> Iterator[tuple[Part, Tensor]]:
        """What was read, in batches, and what is predicted for each."""
        for part in regroup(parts, self.batch_size):
            yield part, self(part.batch)

    def _here(self, part: Any) -> Any:
        """On the device; several sources each."""
        if isinstance(part, dict):
            return {name: one.to(self.device) for name, one in part.items()}
        return part.to(self.device)
