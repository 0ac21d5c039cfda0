"""Fits at the end of training: weights of net and bank, temperature, distances."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from seqfuse.data.augment import WindowWarp
from seqfuse.data.module import DataModule
from seqfuse.nn import collectives
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.bank.lags import LagBank
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch, Output
from seqfuse.predicting.ensemble import Ensemble
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import ENOUGH, Temperature, between

BATCH = 64
"""Items at a time, while something is fitted."""
STRETCHED = WindowWarp(shortest=0.5, probability=1.0)
"""Makes a series one that a net has not learnt by heart, though it is much the same."""


def calibrate(
    task: Task, data: DataModule, trainer: Trainer, validated: Mapping[str, float]
) -> tuple[bool, Mapping[str, float]]:
    """Fits what is fitted when training has ended: weights of net and bank, temperature and
    familiarity. Weights of the task are final.

    Args:
        validated: metrics on the validation split, to which the bank's share of a forecast is
            fitted, if there are any.

    Returns:
        whether there was anything to fit; and the metrics, with the new share if there is one.
    """
    task.eval().to(trainer.strategy.root_device)
    has_share = _weigh(task, data, trainer, validated)
    if has_share:
        with trainer.precision_plugin.forward_context():
            validated = task.measure(data.loader("val"), "val")
    return any([has_share, _scale(task, data, trainer), _acquaint(task, data, trainer)]), validated


def _weigh(task: Task, data: DataModule, trainer: Trainer, validated: Mapping[str, float]) -> bool:
    """Fits the share of a bank of lags, and the bands of the forecast anew."""
    bank = task.net.bank if isinstance(task.net, (Net, Ensemble)) else None
    parts = ("val/net_alone", "val/bank_alone", "val/mse")
    if not isinstance(bank, LagBank) or not all(name in validated for name in parts):
        return False
    error = bank.weigh(*(validated[name] for name in parts))
    if error is None:
        return False
    if not collectives.rank():
        say(
            f"bank        {float(bank.fitted_share):.2f} of the forecast, the net the rest: "
            f"val/mse {error:.4f}, in equal parts {validated['val/mse']:.4f}"
        )
    if task.calibrates_each_epoch and data.splits.calibrates_apart:
        items = data.tensors("calibration")
        task.calibrator.clear()
        # By one rank: fitting gathers what all of them have.
        for batch in _batches(items, torch.arange(len(items))) if not collectives.rank() else ():
            target = batch.y.to(task.device)
            task.calibrator.update(_outputs(task, trainer, batch).prediction, target)
        task.calibrator.fit()
    return True


def _acquaint(task: Task, data: DataModule, trainer: Trainer) -> bool:
    """Fits distances to training items, and to what is held out; of whole items alone.

    Chosen by halves of the training rows of ten sets of the UCR and UEA archives, where a net that
    was trained on one half had 0.20 of the other beyond 0.95 of its own, and 0.024 beyond the
    longer distance of its own and of stretches of them (`tests.benchmarks.shifts`).
    """
    familiarity = task.familiarity
    if familiarity is None or data.splits.metadata()["job"] not in ("classes", "labels", "numbers"):
        return False

    def encoded(batches: list[Batch]) -> Tensor:
        queries = [_outputs(task, trainer, batch).encoding for batch in batches]
        return torch.cat([each.flatten(1).float().cpu() for each in queries])  # type: ignore[union-attr]

    def drawn(split: str) -> list[Batch]:
        items, draw = data.tensors(split), torch.Generator().manual_seed(0)
        rows = torch.randperm(len(items), generator=draw)[: familiarity.max_items]
        return _batches(items, rows)

    batches, held_out = drawn("train"), None
    apart = data.splits.calibrates_apart
    if apart or data.splits.has_validation:
        held_out = encoded(drawn("calibration" if apart else "val"))
    changed, few = None, held_out is None or len(held_out) < ENOUGH
    is_series = (isinstance(b.x, Tensor) and b.x.dim() == 3 for b in batches)
    if few and all(is_series) and batches[0].x.is_floating_point():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            new = [STRETCHED(batch.x, batch.mask) for batch in batches]
        changed = encoded([b._replace(x=x, mask=m) for b, (x, m) in zip(batches, new, strict=True)])
    familiarity.fit(encoded(batches), torch.cat([b.y for b in batches]), held_out, changed)
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
    x, mask = task.transfer_batch_to_device((batch.x, batch.mask), task.device, 0)
    with trainer.precision_plugin.forward_context():
        return task.net(x, mask)
