"""Heads: read-out to prediction."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
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


class Autoregression(nn.Module):
    """Linear autoregression (Lai et al. 2018, section 3.6): the same weights for every target.

    Each step of the horizon is a weighted sum of the look-back, of which the normalization has
    subtracted the last value (NLinear, Zeng et al. 2023). The weights are trained with the net and
    begin at zero, so that training begins with the net alone. They belong to `lags`.

    Args:
        look_back: lags that have a weight.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
        lr_factor: factor of the optimizer's learning rate. Weights are stored divided by it (as in
            Karras et al. 2018, section 4.1), so the factor holds for Adam and its like, whose steps
            do not depend on the size of a gradient.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, lr_factor: float = 1.0):
        super().__init__()
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets)
        if not 0 < lr_factor < float("inf"):
            raise ValueError(f"lr_factor={lr_factor} must be above 0")
        self.look_back, self.num_targets, self.lr_factor = look_back, num_targets, lr_factor
        self.weight = nn.Parameter(torch.zeros(horizon, look_back))

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        seen = lags(x[..., : self.num_targets], mask, self.look_back)
        return rearrange(F.linear(seen, self.lr_factor * self.weight), "b k h -> b h k 1")


def lags(
    x: Float[Tensor, "b t k"], mask: Bool[Tensor, "b t"], count: int
) -> Float[Tensor, "b k l"]:
    """The last real steps of each channel, the last one first; zero where there are no more."""
    if torch.onnx.is_in_onnx_export() or not bool(mask.all()):
        steps = reverse(zero(x, mask), mask)[:, :count]
    else:  # the same, several times as fast
        steps = x[:, -count:].flip(1)
    return F.pad(rearrange(steps, "b l k -> b k l"), (0, count - steps.shape[1]))
