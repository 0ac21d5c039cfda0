"""Distillation: a task whose net also learns from nets that were trained before."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.base import Scheduler, Task


class DistillTask(Task):
    """A student that learns from labels and from what its teachers say of the same batch.

    Validation and test measure the student by its labels alone, so that they mean the same with
    and without teachers, and need none. Teachers are no part of the task: neither the optimizer
    nor a checkpoint knows them (see `seqfuse.tasks.teachers`).

    Args:
        net: the student; raw batch to `Output`.
        loss: prediction and target to a scalar, the mean over the batch.
        metrics: by name; each takes prediction and target.
        optimizer: called with the student's parameters.
        scheduler: called with the optimizer and the total number of steps.
        match: the student's prediction, the teachers' outputs and the target to a scalar.
        teaching: share of `match` in the training loss; labels have the rest.
        calibrator: as for `Task`.

    Raises:
        ValueError: `teaching` is not from 0 to 1.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        match: nn.Module,
        teaching: float = 0.5,
        calibrator: nn.Module | None = None,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler, calibrator)
        if not 0 <= teaching <= 1:
            raise ValueError(f"teaching={teaching} must be from 0 to 1")
        self.match = match
        self.teaching = teaching
        self.teachers: tuple[nn.Module, ...] = ()
        """Frozen nets. In a tuple, torch does not take them for parts of the task."""

    def on_fit_start(self) -> None:
        for teacher in self.teachers:
            teacher.to(self.device)

    def _step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        if stage != "train" or not self.teachers or not len(batch.y):
            return super()._step(batch, stage)
        prediction, weights = self.net(batch.x, batch.mask)
        hard, size = self._pooled(self.loss(prediction, batch.y), batch.y)
        match = self.match(prediction, self._outputs(batch), batch.y)
        if collectives.count() > 1:  # a mean over other items than the loss's
            match, _ = collectives.pooled(match, self.match.items(batch.y), size)  # type: ignore[operator]
        loss = (1 - self.teaching) * hard + self.teaching * match
        self.losses["train_"].update(loss.detach(), size)
        return {"loss": loss, "prediction": prediction, "weights": weights}

    def _pooled_nothing(self, nothing: Tensor, stage: str) -> tuple[Tensor, int]:
        hard, size = super()._pooled_nothing(nothing, stage)
        if stage != "train" or not self.teachers:
            return hard, size
        match, _ = super()._pooled_nothing(nothing, stage)
        return (1 - self.teaching) * hard + self.teaching * match, size

    @torch.no_grad()
    def _outputs(self, batch: Batch) -> list[Tensor]:
        return [teacher(batch.x, batch.mask).prediction for teacher in self.teachers]
