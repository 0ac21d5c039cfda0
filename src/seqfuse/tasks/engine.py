"""A task as an engine: torch, on the device and in the precision of a trainer."""

import contextlib
from typing import Any

import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from seqfuse.runtime.engine import Feeds
from seqfuse.tasks.base import Task


class TorchEngine:
    """The net and the calibration of a task, as the test step sees them.

    Args:
        task: put into eval mode, on the device.
        trainer: chooses device and precision; without one, the CPU and 32 bits.
    """

    def __init__(self, task: Task, trainer: Trainer | None = None):
        self.device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        self.context = (
            contextlib.nullcontext if trainer is None else trainer.precision_plugin.forward_context
        )
        self.task = task.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, feeds: Feeds) -> tuple[NDArray[Any], ...]:
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in feeds.items()}
        x, mask = tensors.get("x"), tensors.get("mask")
        if x is None:  # several sources
            x, mask = (
                {n.removesuffix(kind): t for n, t in tensors.items() if n.endswith(kind)}
                for kind in ("_x", "_mask")
            )
        with self.context():
            output = self.task(x, mask)
            outputs = (self.task.calibrate(output.prediction), output.weights, output.disagreement)
        return tuple(each.float().cpu().numpy() for each in outputs if each is not None)
