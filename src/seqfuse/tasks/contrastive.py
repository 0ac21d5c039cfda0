"""Pre-training without labels: what two views of a series have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data.augment import Mask, Values
from seqfuse.data.pairs import View
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Scheduler, Task
from seqfuse.tasks.contrast import NtXent

NO_HEAD = (
    "this checkpoint was pre-trained and predicts nothing: train a head first, with "
    "seqfuse-train init_from=<this checkpoint>"
)


class ContrastiveTask(Task):
    """Learns an encoder from series alone; a run then begins with it by `init_from`.

    Args:
        net: with a projection head.
        loss: features of both views (b q p), and where they are real, to a scalar.
        metrics: none.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        pairs: makes two views of the series of a batch.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        pairs: Callable[[Values, Mask], tuple[View, View]],
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler)
        self.pairs = pairs

    def setup(self, stage: str) -> None:
        """Checks what the data gives before a step is made, and has its validation mixed.

        Raises:
            InputError: there is nothing to compare with, or series are left out for no reason.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        data.mixed = True
        if data.batch_size == 1:
            raise InputError("data.batch_size=1 leaves nothing to compare with: type at least 2")
        if getattr(data.splits, "label_share", 1) < 1:
            raise InputError(
                "data.label_share is for training with labels, and pre-training reads none: "
                "leave it out"
            )

    def _step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        if not len(batch.y):
            return {"loss": self._idle(stage)}
        self._check(batch)
        with _same_draws(stage != "train", batch.x.device):
            one, two = self.pairs(batch.x, batch.mask)
        real = one.mask[:, one.shared] & two.mask[:, two.shared]
        loss = self.loss(self._features(one), self._features(two), real)
        loss, size = self._pooled(loss, batch.y)
        self.losses[f"{stage}_"].update(loss.detach(), size)
        return {"loss": loss}

    def _features(self, view: View) -> Tensor:
        """(b q p) of one query, or of the steps that both views have."""
        queries, _ = self.net.encode(view.x, view.mask)  # type: ignore[operator]
        features = self.net.head(queries)  # type: ignore[operator]
        return features[:, view.shared] if features.shape[1] == view.x.shape[1] else features

    def _check(self, batch: Batch) -> None:
        if not hasattr(self.net, "encode"):  # an exported net has its prediction alone
            raise InputError(NO_HEAD)
        x = batch.x
        if not isinstance(x, Tensor) or x.dim() != 3 or not x.is_floating_point():
            raise InputError("task=contrastive is for series of numbers from one source")
        if isinstance(self.loss, NtXent) and getattr(self.net.attention, "keeps_steps", False):
            raise InputError(
                "task=contrastive compares whole series, but this net keeps their steps: type "
                "model/attention=additive or task=contrastive_scales"
            )
        if type(self.net.frame).__name__ != "Open":
            raise InputError("task=contrastive needs all channels together: type model/frame=none")

    def calibrate(self, prediction: Tensor) -> Tensor:
        raise InputError(NO_HEAD)


@contextmanager
def _same_draws(same: bool, device: torch.device) -> Iterator[None]:
    """Where `same`, the views of a batch are those of every epoch, so that losses compare."""
    if not same:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
