"""Contrastive pre-training: views of a series, losses that compare them, the task."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data import augment
from seqfuse.data.augment import Change, Mask, Values
from seqfuse.data.splits import Folds
from seqfuse.nn.net import Net
from seqfuse.nn.revin import Unnormalized
from seqfuse.nn.shapes import Batch, fraction
from seqfuse.predicting.model import Record
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Outputs, Task
from seqfuse.tasks.losses import mean_over

NO_HEAD = (
    "this checkpoint was pre-trained and predicts nothing: train a head first, with "
    "seqfuse-train init_from=<this checkpoint>"
)
LOW = -1e9
"""Instead of minus infinity: rows that do not count may have nothing else."""


class View(NamedTuple):
    """One look at each series of a batch."""

    x: Values
    mask: Mask
    shared: slice
    """Its steps that the other view has, too, in the same order."""


class Changed:
    """Two views, each changed at random, on its own, by changes in order; null leaves one out."""

    def __init__(self, changes: Mapping[str, Change | None]):
        self.changes = [change for change in changes.values() if change]

    def __call__(self, x: Values, mask: Mask) -> tuple[View, View]:
        left, right = (augment.apply(self.changes, x, mask) for _ in range(2))
        return View(*left, slice(None)), View(*right, slice(None))


class Overlapping:
    """Two stretches of the series that overlap, as in TS2Vec (Yue et al. 2022, section 3.2).

    All series of a batch are cut alike; the shortest has a step in both. Changes, in order, keep
    the steps; null leaves one out.
    """

    def __init__(self, changes: Mapping[str, Change | None]):
        self.changes = [change for change in changes.values() if change]
        for name, change in changes.items():
            if change and not change.keeps_steps:
                raise InputError(
                    f"task.pairs.changes.{name} moves steps, which are compared one by one here: "
                    f"type task.pairs.changes.{name}=null"
                )

    def __call__(self, x: Values, mask: Mask) -> tuple[View, View]:
        steps, shortest = x.shape[1], int(mask.sum(dim=1).min())
        length = _draw(1, steps)
        first = _draw(0, min(steps - length, shortest - 1))
        end = first + length
        before, behind = _draw(0, first), _draw(end, steps)
        left = augment.apply(self.changes, x[:, before:end], mask[:, before:end])
        right = augment.apply(self.changes, x[:, first:behind], mask[:, first:behind])
        return View(*left, slice(first - before, None)), View(*right, slice(0, length))


def _draw(lowest: int, highest: int) -> int:
    return int(torch.randint(lowest, highest + 1, ()))


class NtXent(nn.Module):
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, equation 1).

    Each view has to find its twin among all other views of the batch, on several devices of its
    own share, by cosine. Features of views (b q p) and where they are real (b q) to a scalar.

    Args:
        temperature: above 0; the lower, the more the nearest others count.
    """

    def __init__(self, temperature: float = 0.2):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.temperature = temperature

    def forward(
        self,
        left: Float[Tensor, "b q p"],
        right: Float[Tensor, "b q p"],
        real: Bool[Tensor, "b t"],
    ) -> Float[Tensor, ""]:
        root = self.temperature**0.5  # of which both factors of a product have one
        left, right = (
            F.normalize(view.float().flatten(1)).unsqueeze(0) / root for view in (left, right)
        )
        return contrast(left, right, torch.ones_like(left[..., 0], dtype=torch.bool))


class ScaleContrast(nn.Module):
    """Contrast at every scale of time (Yue et al. 2022, TS2Vec, section 3.3).

    A step of one view has to find itself in the other view, among the steps of its series and
    among the same steps of other series. Then pairs of steps become one, by their maximum, and so
    on until a series is one step; the loss is the mean over scales.

    Args:
        series: weight of the contrast with other series; that with other steps has the rest.
    """

    def __init__(self, series: float = 0.5):
        super().__init__()
        fraction(series=series)
        self.series = series

    def forward(
        self,
        left: Float[Tensor, "b q p"],
        right: Float[Tensor, "b q p"],
        real: Bool[Tensor, "b q"],
    ) -> Float[Tensor, ""]:
        if not left.shape[1] == right.shape[1] == real.shape[1]:
            raise InputError(
                "steps are compared one by one, but this net does not keep them: type "
                "model/attention=steps, and model.cnn.pool=1 where it pools"
            )
        left, right, losses = left.float(), right.float(), []
        while True:
            steps = [rearrange(view, "b q p -> q b p") for view in (left, right)]
            loss = self.series * contrast(steps[0], steps[1], real.T)
            if left.shape[1] > 1:
                loss = loss + (1 - self.series) * contrast(left, right, real)
            losses.append(loss)
            if left.shape[1] == 1:
                return torch.stack(losses).mean()
            left, right, real = _halved(left, real), _halved(right, real), _any_of_two(real)


def contrast(
    left: Float[Tensor, "g n p"], right: Float[Tensor, "g n p"], real: Bool[Tensor, "g n"]
) -> Float[Tensor, ""]:
    """Cross-entropy of each item's twin among the 2n - 1 others of its group, by dot product.

    Of n items in each of g groups, and their twins, those that are `real` count.
    """
    n = left.shape[1]
    items, counts = torch.cat([left, right], dim=1), torch.cat([real, real], dim=1)
    same = torch.eye(2 * n, dtype=torch.bool, device=left.device)
    with torch.autocast(left.device.type, enabled=False):  # half precision has no room for LOW
        likeness = items.float() @ items.float().transpose(1, 2)
    likeness = likeness.masked_fill(~counts.unsqueeze(1) | same, LOW)
    twin = torch.arange(2 * n, device=left.device).roll(n).expand(len(left), -1)
    return mean_over(F.cross_entropy(likeness.transpose(1, 2), twin, reduction="none"), counts)


def _halved(view: Tensor, real: Tensor) -> Tensor:
    """(b q/2 p): of two steps in a row the maximum; one that is left over goes."""
    low = view.masked_fill(~real.unsqueeze(2), LOW)
    halved = F.max_pool1d(low.transpose(1, 2), 2).transpose(1, 2)
    return halved.masked_fill(~_any_of_two(real).unsqueeze(2), 0.0)


def _any_of_two(real: Tensor) -> Tensor:
    even = real.shape[1] // 2 * 2
    return rearrange(real[:, :even], "b (q two) -> b q two", two=2).any(dim=2)


class ContrastiveTask(Task):
    """Learns an encoder from series alone; a run then begins with it by `init_from`.

    Args:
        net: with a projection head.
        loss: features of both views (b q p), and where they are real, to a scalar.
        pairs: makes two views of the series of a batch.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any]],
        pairs: Callable[[Values, Mask], tuple[View, View]],
        record: Record | None = None,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler, record=record)
        self.pairs = pairs

    def setup(self, stage: str) -> None:
        """Checks that the data can be compared, and has its validation mixed."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        data.mix()
        if data.batch_size == 1:
            raise InputError("data.batch_size=1 leaves nothing to compare with: type at least 2")
        if isinstance(data.splits, Folds) and data.splits.label_fraction < 1:
            raise InputError(
                "data.label_fraction is for training with labels, and pre-training reads none: "
                "leave it out"
            )

    def _step(self, batch: Batch, stage: str) -> Outputs:
        if not len(batch.y):
            return {"loss": self._step_of_none(stage)}
        net = self._checked(batch)
        with _same_draws(stage != "train", batch.x.device):
            left, right = self.pairs(batch.x, batch.mask)
        real = left.mask[:, left.shared] & right.mask[:, right.shared]
        loss = self.loss(_features(net, left), _features(net, right), real)
        loss, size = self._pooled(loss, batch.y)
        self.losses[stage].update(loss.detach(), size)
        return {"loss": loss}

    def _passed(self, batch: Batch) -> Tensor:
        net = self._checked(batch)
        views = self.pairs(batch.x, batch.mask)
        return torch.stack([_features(net, view).sum() for view in views])

    def _checked(self, batch: Batch) -> Net:
        if not isinstance(self.net, Net):  # an exported net has its prediction alone
            raise InputError(NO_HEAD)
        x = batch.x
        if not isinstance(x, Tensor) or x.dim() != 3 or not x.is_floating_point():
            raise InputError("task=contrastive is for series of numbers from one source")
        if isinstance(self.loss, NtXent) and self.net.attention.keeps_steps:
            raise InputError(
                "task=contrastive compares whole series, but this net keeps their steps: type "
                "model/attention=additive or task=contrastive_scales"
            )
        if not isinstance(self.net.normalization, Unnormalized):
            raise InputError(
                "task=contrastive needs all channels together: type model/normalization=none"
            )
        return self.net

    def calibrate(self, prediction: Tensor) -> Tensor:
        raise InputError(NO_HEAD)


def _features(net: Net, view: View) -> Tensor:
    """(b q p) of one query, or of the steps that both views have."""
    queries, _ = net.encode(view.x, view.mask)
    features = net.head(queries)
    return features[:, view.shared] if features.shape[1] == view.x.shape[1] else features


@contextmanager
def _same_draws(same: bool, device: torch.device) -> Iterator[None]:
    """With `same`, the views of a batch are the same in every epoch, so that losses compare."""
    if not same:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
