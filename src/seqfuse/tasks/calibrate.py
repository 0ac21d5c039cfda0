"""What is fitted when training has ended: temperature, distances to training items."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqfuse.data.module import DataModule
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch, Output
from seqfuse.predicting.ensemble import Ensemble
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Temperature, between

BATCH = 64
"""Items at a time, while something is fitted."""


def calibrate(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits what is fitted when training has ended: temperature and familiarity.

    Args:
        task: with its final weights.
        data: set up.
        trainer: chooses device and precision.

    Returns:
        whether there was anything to fit.
    """
    task.eval().to(trainer.strategy.root_device)
    return any([_scale(task, data, trainer), _acquaint(task, data, trainer)])


def _acquaint(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits distances to training items, and to what is held out; of whole items alone."""
    familiarity = task.familiarity
    if familiarity is None or data.splits.metadata()["job"] not in ("classes", "labels", "numbers"):
        return False
    parts = []
    for split in ("train", "calibration" if data.splits.calibrates_apart else "val"):
        if split == "val" and not data.splits.has_validation:
            continue
        items = data.tensors(split)
        draw = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(items), generator=draw)[: familiarity.max_items]
        batches = _batches(items, rows)
        queries = [_outputs(task, trainer, batch).encoding for batch in batches]
        encodings = torch.cat([each.flatten(1).float().cpu() for each in queries])  # type: ignore[union-attr]
        parts.append((encodings, torch.cat([batch.y for batch in batches])))
    (encodings, y), *held_out = parts
    familiarity.fit(encodings, y, *(others for others, _ in held_out))
    return familiarity.is_fitted


def _scale(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits the temperature of a task; False where it has none, or nothing to fit it to.

    To the calibration part, where one is held out that chose no checkpoint. Else, of a net with a
    bank, to the training rows (see `Bank.soften` and `tasks.calibration.between`).
    """
    if not isinstance(task.calibrator, Temperature):
        return False
    bank = task.net.bank if isinstance(task.net, (Net, Ensemble)) else None
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
        if isinstance(task.net, Net):  # several nets, on average, are surer with more reason
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
