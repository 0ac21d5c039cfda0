"""Ridge regression on lags, joined to a net's forecast."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from seqfuse.nn.heads import lags
from seqfuse.nn.shapes import Batch, Fitted, positive

PULLS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Penalties of what the weights of a target differ by from those of all, as multiples of the mean
square of its lags."""
CLEARLY = 0.05
"""Fraction by which another share has to lower the squared error on held-out windows; what is less
may be chance."""


class LagBank(Fitted):
    """Linear forecasts of each target from its lags, averaged with those of a net.

    The last value is subtracted from look-back and horizon (NLinear, Zeng et al. 2023); the
    weights are those of a ridge regression (closed forms for such models: Toner & Darlow 2024).
    Those of a target are drawn to those of all together, as far as validation has it (regularised
    multi-task learning, Evgeniou & Pontil 2004). Nothing is trained by gradients. Net and bank
    learn without each other and err differently, so their average is better than either.

    Args:
        look_back: lags that have a weight; a shorter series lacks the far ones.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
        penalties: of the squared weights, as multiples of the mean square of a lag; `fit` takes
            that of the lowest squared error on held-out windows.
        fractions: of the look-back that regressions see; their forecasts are averaged, and the
            last value's takes the place of one that is no better on held-out windows.
        max_own: targets that may have weights of their own; where there are more, all share theirs.
        share: of the bank, unless `weigh` finds one that is clearly better; the net's median has
            the rest, and its other quantiles keep their distance from the median.
    """

    weight: Tensor
    own: Tensor
    fitted_share: Tensor

    def __init__(
        self,
        in_channels: int,
        look_back: int,
        horizon: int,
        num_targets: int = 1,
        penalties: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0),
        fractions: Sequence[float] = (1.0,),
        max_own: int = 0,
        share: float = 0.5,
    ):
        super().__init__(share)
        self.register_buffer("fitted_share", torch.tensor(float(share)))
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets)
        positive(max_own=max_own + 1)
        if num_targets > in_channels:
            raise ValueError(f"num_targets={num_targets} is more than the {in_channels} channels")
        if not penalties or not all(0 < penalty < float("inf") for penalty in penalties):
            raise ValueError(f"penalties={list(penalties)} must be numbers above 0")
        if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
            raise ValueError(f"fractions={list(fractions)} must be above 0, and at most 1")
        self.look_back, self.num_targets = look_back, num_targets
        self.penalties = list(penalties)
        self.sizes = [max(int(look_back * fraction), 1) for fraction in fractions]
        self.register_buffer("weight", torch.zeros(horizon, look_back))
        owners = num_targets if 1 < num_targets <= max_own else 0
        self.register_buffer("own", torch.zeros(owners, horizon, look_back))

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        with torch.autocast(x.device.type, enabled=False):
            seen, last = self._lags(x.to(self.weight.dtype), mask)
            k = self.num_targets
            weight = (self.weight + self.own) if len(self.own) else self.weight.expand(k, -1, -1)
            # A convolution, as those stay as they are in an export of 8 bits.
            rows = rearrange(seen, "b k l -> 1 (k l) b")
            steps = F.conv1d(rows, rearrange(weight, "k h l -> (k h) l 1"), groups=k)
            steps = rearrange(steps, "1 (k h) b -> b h k 1", k=k)
            return steps + rearrange(last, "b k -> b 1 k 1")

    def join(
        self, net: Float[Tensor, "b h k p"], bank: Float[Tensor, "b h k one"]
    ) -> Float[Tensor, "b h k p"]:
        median = net[..., net.shape[-1] // 2].unsqueeze(-1)
        return net + self.fitted_share.to(net) * (bank.to(net.dtype) - median)

    def weigh(self, net: float, bank: float, both: float) -> float | None:
        """Takes the share with the least squared error, where that is clearly below today's;
        returns the error with it, or None where the old share is kept.

        The error of a weighted mean is a quadratic function of the weight, which three errors
        determine: those of the net's median, of the bank and of both on held-out windows.
        """
        share = float(self.fitted_share)
        if not 0 < share < 1:
            return None
        # of the products of the errors of both
        product = (both - (1 - share) ** 2 * net - share**2 * bank) / (2 * share * (1 - share))
        apart = net + bank - 2 * product
        best = min(max((net - product) / apart, 0.0), 1.0) if apart > 0 else share
        error = (1 - best) ** 2 * net + best**2 * bank + 2 * best * (1 - best) * product
        if not error < (1 - CLEARLY) * both:
            return None
        self.fitted_share.fill_(best)
        return error

    @torch.no_grad()
    def fit(self, training: Iterable[Batch], held_out: Iterable[Batch]) -> tuple[float, float]:
        """Takes the weights of the penalty that is best on held-out windows.

        Returns:
            the penalty, and the mean squared error there as a fraction of that of the last value;
            the weights stay zero, and so is the penalty, where nothing is better.
        """
        learnt, held = self._moments(training), self._moments(held_out)
        chosen = 0.0
        self.weight.zero_()
        self.own.zero_()
        for size in self.sizes:
            first = [part.of_first(size) for part in learnt]
            judges = [part.of_first(size) for part in held]
            shared, penalty = _ridge(total(first), total(judges), self.penalties)
            chosen = chosen or penalty
            self.weight[:, :size] += shared.T.to(self.weight) / len(self.sizes)
            for own, part, judge in zip(self.own, first, judges, strict=False):
                left, _ = _ridge(part.beyond(shared), judge.beyond(shared), PULLS)
                own[:, :size] += left.T.to(own) / len(self.sizes)
        self.is_fitted.fill_(True)
        weights = (self.weight + self.own) if len(self.own) else self.weight.unsqueeze(0)
        error = sum(j.error(w.T.to(j.squares)) for j, w in zip(held, weights, strict=True))
        last_value = sum(float(judge.energy) for judge in held)
        return chosen, float(error) / last_value if last_value > 0 else 1.0

    def _moments(self, windows: Iterable[Batch]) -> "list[Moments]":
        """Moments of the windows of each target, or of all where they share their weights; without
        those behind which a step is missing."""
        seen, ahead = map(torch.cat, zip(*map(self._pairs, windows), strict=True))
        if not len(self.own):
            seen, ahead = (rearrange(each, "b k l -> (b k) 1 l") for each in (seen, ahead))
        return [Moments.of(*pair) for pair in zip(seen.unbind(1), ahead.unbind(1), strict=True)]

    def _pairs(self, batch: Batch) -> tuple[Float[Tensor, "b k l"], Float[Tensor, "b k h"]]:
        seen, last = self._lags(batch.x.to(self.weight.dtype), batch.mask)
        return seen, rearrange(batch.y - last.unsqueeze(1), "b h k -> b k h").to(seen)

    def _lags(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b k l"], Float[Tensor, "b k"]]:
        """Lags without the last value, and that; lags that a series does not have are zero."""
        last = lags(x[..., : self.num_targets], mask, 1)
        steps = x[..., : self.num_targets] - rearrange(last, "b k 1 -> b 1 k")
        return lags(steps, mask, self.look_back), last.squeeze(2)


class Moments(NamedTuple):
    """Sums over windows that the squared error of any linear forecast follows from."""

    squares: Float[Tensor, "l l"]
    """Products of lags with each other."""
    products: Float[Tensor, "l h"]
    """Products of lags with steps of the horizon."""
    energy: Float[Tensor, ""]
    """The sum of the squares of these."""

    @classmethod
    def of(cls, seen: Float[Tensor, "n l"], ahead: Float[Tensor, "n h"]) -> "Moments":
        """Moments of windows, without those of which a step ahead is missing."""
        observed = ~ahead.isnan().any(dim=1)
        seen, ahead = seen[observed], ahead[observed]
        sums = (seen.T @ seen, seen.T @ ahead, ahead.double().square().sum())
        return cls(*(each.double() for each in sums))

    def of_first(self, size: int) -> "Moments":
        """Moments of the lags that are the last so many steps."""
        return Moments(self.squares[:size, :size], self.products[:size], self.energy)

    def error(self, weight: Float[Tensor, "l h"]) -> Float[Tensor, ""]:
        """The sum of squared errors of a linear forecast."""
        return self.energy + (weight * (self.squares @ weight - 2 * self.products)).sum()

    def beyond(self, weight: Float[Tensor, "l h"]) -> "Moments":
        """Moments of what a linear forecast leaves of the horizon."""
        return Moments(self.squares, self.products - self.squares @ weight, self.error(weight))


def total(parts: Sequence[Moments]) -> Moments:
    """Moments of all windows together."""
    return Moments(*(torch.stack(sums).sum(dim=0) for sums in zip(*parts, strict=True)))


def _ridge(
    learnt: Moments, held_out: Moments, penalties: Sequence[float]
) -> tuple[Float[Tensor, "l h"], float]:
    """Weights of the penalty with the least error on held-out windows, and that penalty.

    Both are zero where no weights at all are as good.
    """
    best = (held_out.energy, torch.zeros_like(learnt.products), 0.0)
    values, basis = torch.linalg.eigh(learnt.squares)
    projected, scale = basis.T @ learnt.products, learnt.squares.diagonal().mean()
    for penalty in penalties if held_out.energy > 0 and scale > 0 else ():
        weight = basis @ (projected / (values.clamp(min=0) + penalty * scale).unsqueeze(1))
        best = min(best, (held_out.error(weight), weight, penalty), key=lambda tried: tried[0])
    return best[1:]
