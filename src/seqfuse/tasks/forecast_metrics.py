"""Metrics of forecasts: means over all targets that were observed.

Each takes a prediction (b h k p), whose outputs p are quantiles in order, and a target
(b h k), NaN where nothing was observed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from seqfuse.tasks.losses import check_quantiles, middle


class ObservedMean(Metric):
    """The mean over observed targets of a number known for each."""

    total: Tensor
    items: Tensor

    def __init__(self) -> None:
        super().__init__()
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("total", zero, dist_reduce_fx="sum")
        self.add_state("items", zero.clone(), dist_reduce_fx="sum")

    def add(self, values: Tensor, observed: Tensor) -> None:
        """Values and whether they count, of one shape."""
        self.total += values.where(observed, 0.0).sum(dtype=torch.float64)
        self.items += observed.sum()

    def compute(self) -> Tensor:
        return (self.total / self.items).float()


class PointError(ObservedMean):
    """Mean of |error|^power of the middle output: 1 is MAE, 2 is MSE."""

    def __init__(self, power: int = 1):
        super().__init__()
        self.power = power

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add((middle(preds) - target).abs() ** self.power, ~target.isnan())


class ScaledError(ObservedMean):
    """MASE (Hyndman & Koehler 2006): MAE over that of a seasonal-naive forecast in training.

    Args:
        naive_errors: MAE on the training split of each target, one season ahead.
    """

    scale: Tensor

    def __init__(self, naive_errors: Sequence[float]):
        super().__init__()
        self.register_buffer("scale", torch.tensor(naive_errors), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add((middle(preds) - target).abs() / self.scale, ~target.isnan())


class NaiveError(ObservedMean):
    """Mean of |error|^power of a baseline: the value one season before, repeated.

    Args:
        season: steps; 1 repeats the last value, 0 the mean of the training rows, which are
            scaled to mean 0. (For returns that is a random walk with drift.)
        power: 1 is MAE, 2 is MSE.
    """

    def __init__(self, season: int = 1, power: int = 1):
        super().__init__()
        if season < 0:
            raise ValueError(f"season={season} must be at least 0")
        self.season = season
        self.power = power

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:
        h, k = target.shape[1:]
        if not self.season:
            return self.add(target.abs() ** self.power, ~target.isnan())
        past = int(mask[0].sum())
        season = min(self.season, past)
        steps = past - season + torch.arange(h, device=x.device) % season
        return self.add((x[:, steps, :k] - target).abs() ** self.power, ~target.isnan())


class Crps(ObservedMean):
    """Continuous ranked probability score from quantiles: twice the mean pinball loss.

    (Gneiting & Raftery 2007.) Of one quantile, the median, it is the MAE.
    """

    levels: Tensor

    def __init__(self, quantiles: Sequence[float]):
        super().__init__()
        check_quantiles(quantiles)
        self.register_buffer("levels", torch.tensor(quantiles), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        error = target.unsqueeze(-1) - preds
        loss = torch.maximum(self.levels * error, (self.levels - 1) * error)
        self.add(2 * loss.mean(dim=-1), ~target.isnan())


class Coverage(ObservedMean):
    """Share of targets within the central band that should hold `level` of them."""

    def __init__(self, quantiles: Sequence[float], level: float = 0.8):
        super().__init__()
        self.low, self.high = band(quantiles, level)

    def update(self, preds: Tensor, target: Tensor) -> None:
        inside = (target >= preds[..., self.low]) & (target <= preds[..., self.high])
        self.add(inside.to(preds.dtype), ~target.isnan())


def band(quantiles: Sequence[float], level: float) -> tuple[int, int]:
    """Positions of the quantiles around the central band of that level.

    Raises:
        ValueError: they are not among the quantiles.
    """
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = [i for end in ends for i, q in enumerate(quantiles) if abs(q - end) < 1e-6]
    if len(found) != 2:
        raise ValueError(f"a band of {level} needs the quantiles {ends[0]:.4g} and {ends[1]:.4g}")
    return found[0], found[1]
