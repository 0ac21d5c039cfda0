"""A trained task on the device and in the precision of a trainer: its predictions, calibration."""

import contextlib
from typing import Any

import torch
from lightning.pytorch import Trainer
from numpy.typing import NDArray
from torch import Tensor

from seqfuse.data.module import DataModule
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch, Output
from seqfuse.runtime.engine import Feeds
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Temperature, between
from seqfuse.tasks.ensemble import Ensemble

BATCH = 64
"""Items at a time, while a temperature is fitted."""


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


def calibrate(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits the temperature of a task; False where it has none, or nothing to fit it to.

    To the calibration part, where one is held out that chose no checkpoint. Else, of a net with a
    bank, to the training rows (see `Bank.soften` and `tasks.calibration.between`).

    Args:
        task: with its final weights.
        data: set up.
        trainer: chooses device and precision.
    """
    if not isinstance(task.calibrator, Temperature):
        return False
    bank = task.net.bank if isinstance(task.net, (Net, Ensemble)) else None
    task.eval().to(trainer.strategy.root_device)
    if data.splits.calibrates_apart:
        items = data.tensors("calibration")
        batches = _batches(items, torch.arange(len(items)))
        predictions = [_outputs(task, trainer, batch).prediction.float().cpu() for batch in batches]
        task.calibrator.fit(predictions, [batch.y for batch in batches])
    elif isinstance(bank, Bank):
        items = data.tensors("train")
        rows, left_out = task.left_out(bank, items)
        batches = _batches(items, rows)
        net = torch.cat([_outputs(task, trainer, b).alone["net"].float().cpu() for b in batches])
        y = torch.cat([batch.y for batch in batches])
        bank.soften(net, left_out, y)
        temperature = between(bank.join, net, left_out, y, task.calibrator)
        task.calibrator.set(temperature, len(y))
    return task.calibrator.is_fitted


def _batches(items: Any, rows: Tensor) -> list[Batch]:
    return [items.__getitems__(part.tolist()) for part in rows.split(BATCH)]


@torch.no_grad()
def _outputs(task: Task, trainer: Trainer, batch: Batch) -> Output:
    """Output for a batch, before calibration."""
    x, mask = task.transfer_batch_to_device((batch.x, batch.mask), task.device, 0)
    with trainer.precision_plugin.forward_context():
        return task.net(x, mask)
