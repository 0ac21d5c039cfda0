"""Heads: read-out to prediction; and linear forecasts that are added to it."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import NORMS, reverse, zero
from seqfuse.nn.shapes import choice, fraction, positive


class ClassHead(nn.Module):
    """One unnormalised score per class, linear in all queries together.

    `num_queries` is given by the attention; `norm` of the features is `none`, `batch` or `layer`.
    """

    def __init__(
        self,
        in_channels: int,
        num_queries: int = 1,
        num_classes: int = 2,
        dropout: float = 0.0,
        norm: str = "none",
    ):
        super().__init__()
        positive(num_classes=num_classes)
        fraction(dropout=dropout)
        choice(NORMS, norm=norm)
        self.norm = NORMS[norm](in_channels * num_queries)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels * num_queries, num_classes)

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b k"]:
        features = rearrange(queries, "b q d -> b (q d) 1")
        real = features.new_ones(len(features), 1, dtype=torch.bool)
        return self.linear(self.dropout(self.norm(features, real).squeeze(2)))


class NumberHead(ClassHead):
    """Numbers of an item, linear in all queries: of each target k every quantile p."""

    def __init__(
        self,
        in_channels: int,
        num_queries: int = 1,
        num_targets: int = 1,
        quantiles: Sequence[float] = (0.5,),
        dropout: float = 0.0,
        norm: str = "none",
    ):
        positive(num_targets=num_targets, quantiles=len(quantiles))
        super().__init__(in_channels, num_queries, num_targets * len(quantiles), dropout, norm)
        self.num_targets = num_targets

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b k p"]:  # type: ignore[override]
        return rearrange(super().forward(queries), "b (k p) -> b k p", k=self.num_targets)


class TagHead(nn.Module):
    """One unnormalised score per class for each query, and so for each step.

    `num_queries`, given by the attention, is not used, as each step is a query.
    """

    def __init__(
        self, in_channels: int, num_queries: int = 1, num_classes: int = 2, dropout: float = 0.0
    ):
        super().__init__()
        positive(num_classes=num_classes)
        fraction(dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, queries: Float[Tensor, "b t d"]) -> Float[Tensor, "b t k"]:
        return self.linear(self.dropout(queries))


class StepHead(TagHead):
    """Numbers of each step: of each target k every quantile p; at the beginning all are 0."""

    def __init__(
        self,
        in_channels: int,
        num_queries: int = 1,
        num_targets: int = 1,
        quantiles: Sequence[float] = (0.5,),
        dropout: float = 0.0,
    ):
        positive(num_targets=num_targets, quantiles=len(quantiles))
        super().__init__(in_channels, num_queries, num_targets * len(quantiles), dropout)
        self.num_targets = num_targets
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, queries: Float[Tensor, "b t d"]) -> Float[Tensor, "b t k p"]:  # type: ignore[override]
        return rearrange(super().forward(queries), "b t (k p) -> b t k p", k=self.num_targets)


class CrfHead(TagHead):
    """Scores of a linear-chain CRF (see `nn.crf`): of a tag behind each other tag."""

    def __init__(
        self, in_channels: int, num_queries: int = 1, num_classes: int = 2, dropout: float = 0.0
    ):
        super().__init__(in_channels, num_queries, num_classes, dropout)
        self.transitions = nn.Parameter(torch.zeros(num_classes, num_classes))

    def forward(self, queries: Float[Tensor, "b t d"]) -> Float[Tensor, "b t k k"]:  # type: ignore[override]
        scores = super().forward(queries).unsqueeze(2)
        first = torch.arange(queries.shape[1], device=queries.device) == 0
        return scores + self.transitions.masked_fill(first.reshape(-1, 1, 1), 0.0)


class ProjectionHead(nn.Module):
    """Features of each query in which views are compared, and which are then thrown away.

    Source: Chen et al. 2020, section 2.1. `num_queries`, given by the attention, is not used.
    """

    def __init__(
        self,
        in_channels: int,
        num_queries: int = 1,
        hidden_size: int = 128,
        out_channels: int = 64,
    ):
        super().__init__()
        positive(hidden_size=hidden_size, out_channels=out_channels)
        self.hidden = nn.Linear(in_channels, hidden_size)
        self.linear = nn.Linear(hidden_size, out_channels)

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b q p"]:
        return self.linear(self.hidden(queries).relu())


class HorizonHead(nn.Module):
    """The steps of a horizon, each query giving its segment.

    Args:
        num_queries: segments the horizon is cut into; the last one may be cut short.
        horizon: steps to forecast.
        num_targets: channels to forecast; 1 where channels are folded into the batch.
        quantiles: one output for each.
        code_size: numbers that each query is first squeezed into, so that a reconstruction
            cannot learn the identity; 0 squeezes nothing.
    """

    def __init__(
        self,
        in_channels: int,
        num_queries: int = 1,
        horizon: int = 96,
        num_targets: int = 1,
        quantiles: Sequence[float] = (0.5,),
        dropout: float = 0.0,
        code_size: int = 0,
    ):
        super().__init__()
        positive(horizon=horizon, num_targets=num_targets, code_size=code_size + 1)
        fraction(dropout=dropout)
        if not quantiles:
            raise ValueError("quantiles=[] must name at least one, such as 0.5")
        self.horizon = horizon
        self.outputs = (num_targets, len(quantiles))
        self.dropout = nn.Dropout(dropout)
        steps = -(-horizon // num_queries)
        self.code = nn.Linear(in_channels, code_size) if code_size else nn.Identity()
        self.linear = nn.Linear(code_size or in_channels, steps * num_targets * len(quantiles))

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b h k p"]:
        k, p = self.outputs
        segments = self.linear(self.code(self.dropout(queries)))
        return rearrange(segments, "b q (s k p) -> b (q s) k p", k=k, p=p)[:, : self.horizon]


class Lagged(nn.Module):
    """A linear forecast by the last real steps of each target, added to every quantile of the
    net's. All weights begin so that it is zero: training begins with the net alone.

    Args:
        look_back: lags that have a weight.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1):
        super().__init__()
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets)
        self.look_back, self.horizon, self.num_targets = look_back, horizon, num_targets

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        seen = lags(x[..., : self.num_targets], mask, self.look_back)
        return rearrange(self.forecast(seen, x, mask), "b k h -> b h k 1")

    def forecast(
        self, seen: Float[Tensor, "b k l"], x: Tensor, mask: Tensor
    ) -> Float[Tensor, "b k h"]:
        """Steps of the horizon by lags."""
        raise NotImplementedError


class Autoregression(Lagged):
    """Linear autoregression (Lai et al. 2018, section 3.6): the same weights for every target.

    Each step of the horizon is a weighted sum of the look-back, of which the normalization has
    subtracted the last value (NLinear, Zeng et al. 2023). The weights are trained with the net.

    Args:
        lr_factor: factor of the optimizer's learning rate. Weights are stored divided by it (as in
            Karras et al. 2018, section 4.1), so the factor holds for Adam and its like, whose steps
            do not depend on the size of a gradient.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, lr_factor: float = 1.0):
        super().__init__(look_back, horizon, num_targets)
        if not 0 < lr_factor < float("inf"):
            raise ValueError(f"lr_factor={lr_factor} must be above 0")
        self.lr_factor = lr_factor
        self.weight = nn.Parameter(torch.zeros(horizon, look_back))

    def forecast(
        self, seen: Float[Tensor, "b k l"], x: Tensor, mask: Tensor
    ) -> Float[Tensor, "b k h"]:
        return F.linear(seen, self.lr_factor * self.weight)


class Cycle(Lagged):
    """Linear autoregression on a series less a learned cycle, which is added again.

    CycleNet (Lin et al. 2024): each series has one learned value for each place in the cycle. The
    place of a step follows from a sine and a cosine, as the calendar has them
    (`data.known=[hour]`), which are the last two channels of the input; the places of the horizon
    come behind that of the last step.

    Args:
        period: steps of the cycle.
        num_series: targets, folded into the batch or side by side.
    """

    clock: Tensor

    def __init__(
        self,
        look_back: int,
        horizon: int,
        period: int,
        num_series: int,
        num_targets: int = 1,
    ):
        super().__init__(look_back, horizon, num_targets)
        positive(period=period)
        if num_series % num_targets:
            raise ValueError(f"num_targets={num_targets} must divide num_series={num_series}")
        self.weight = nn.Parameter(torch.zeros(horizon, look_back))
        self.cycle = nn.Parameter(torch.zeros(num_series, period))
        angles = torch.arange(period, dtype=torch.float64) * (2 * math.pi / period)
        clock = torch.stack([angles.sin(), angles.cos()], dim=1).to(self.weight.dtype)
        self.register_buffer("clock", clock, persistent=False)

    def forecast(
        self, seen: Float[Tensor, "b k l"], x: Tensor, mask: Tensor
    ) -> Float[Tensor, "b k h"]:
        real = lags(mask.unsqueeze(2).to(x.dtype), mask, self.look_back)
        last = self._place(lags(x[..., -2:], mask, 1).squeeze(2))
        before = last.unsqueeze(1) - torch.arange(self.look_back, device=x.device)
        behind = last.unsqueeze(1) + 1 + torch.arange(self.horizon, device=x.device)
        # The cycle, too, without its value at the last step.
        cycles = rearrange(self.cycle, "(r k) p -> r k p", k=self.num_targets)
        cycles = cycles[torch.arange(x.shape[0], device=x.device) % cycles.shape[0]]
        now = _at(cycles, last.unsqueeze(1))
        rest = seen - real * (_at(cycles, before) - now)
        return F.linear(rest, self.weight) + _at(cycles, behind) - now

    def _place(self, clock: Float[Tensor, "b two"]) -> Int[Tensor, " b"]:
        """The place in the cycle with the nearest sine and cosine."""
        return (clock @ self.clock.to(clock).T).argmax(dim=1)


def _at(cycles: Float[Tensor, "b k p"], places: Int[Tensor, "b l"]) -> Float[Tensor, "b k l"]:
    """Values of each series at places of the cycle, which goes on before 0 and behind its end."""
    index = places.remainder(cycles.shape[2]).unsqueeze(1)
    return cycles.gather(2, index.expand(-1, cycles.shape[1], -1))


class Decomposed(Lagged):
    """Linear autoregression on a trend and a remainder, each with weights of its own.

    DLinear (Zeng et al. 2023): the trend is a moving average of `window` steps, an odd number, and
    the remainder is what it leaves. At the ends of the look-back fewer steps are averaged; DLinear
    repeats the first and the last value.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, window: int = 25):
        super().__init__(look_back, horizon, num_targets)
        positive(window=window)
        if window % 2 == 0:
            raise ValueError(f"window={window} must be odd, for as many steps on either side")
        self.window = window
        self.trend = nn.Parameter(torch.zeros(horizon, look_back))
        self.remainder = nn.Parameter(torch.zeros(horizon, look_back))

    def forecast(
        self, seen: Float[Tensor, "b k l"], x: Tensor, mask: Tensor
    ) -> Float[Tensor, "b k h"]:
        real = lags(mask.unsqueeze(2).to(x.dtype), mask, self.look_back)
        trend = real * self._sums(seen) / self._sums(real).clamp(min=1)
        return F.linear(trend, self.trend) + F.linear(seen - trend, self.remainder)

    def _sums(self, seen: Float[Tensor, "b k l"]) -> Float[Tensor, "b k l"]:
        """Sums over the steps around each."""
        means = F.avg_pool1d(seen, self.window, stride=1, padding=self.window // 2)
        return means * self.window


class LowRank(Lagged):
    """Linear autoregression through `rank` sums of lags, from which each step is made.

    The weights are a product of two matrices (Izenman 1975, reduced-rank regression), of which the
    second begins at zero.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, rank: int = 16):
        super().__init__(look_back, horizon, num_targets)
        positive(rank=rank)
        self.sums = nn.Parameter(torch.randn(rank, look_back) * look_back**-0.5)
        self.steps = nn.Parameter(torch.zeros(horizon, rank))

    def forecast(
        self, seen: Float[Tensor, "b k l"], x: Tensor, mask: Tensor
    ) -> Float[Tensor, "b k h"]:
        return F.linear(F.linear(seen, self.sums), self.steps)


def lags(
    x: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"], count: int
) -> Float[Tensor, "b k l"]:
    """The last real steps of each channel, the last one first; zero where there are no more."""
    if torch.onnx.is_in_onnx_export() or not bool(mask.all()):
        steps = reverse(zero(x, mask), mask)[:, :count]
    else:  # the same, several times as fast
        steps = x[:, -count:].flip(1)
    return F.pad(rearrange(steps, "b l k -> b k l"), (0, count - steps.shape[1]))
