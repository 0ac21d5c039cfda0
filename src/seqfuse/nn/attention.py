"""Read-outs: what a query takes from the states of a sequence, and from which steps.

Each maps (b t d) and a mask to (b q d) and weights (b q t), which sum to 1 over
real steps and are exactly 0 elsewhere.
"""

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seqfuse.nn.masking import lengths, zero
from seqfuse.nn.shapes import ReadOut, fraction, positive

Reading = tuple[Float[Tensor, "b q d"], Float[Tensor, "b q t"]]


class Additive(ReadOut):
    """Additive attention (Bahdanau et al. 2015): softmax over time of v·tanh(W h).

    Each query is a row of v; `attention_size` is the width of W h.
    """

    def __init__(self, in_channels: int, attention_size: int = 64, num_queries: int = 1):
        super().__init__(in_channels)
        positive(attention_size=attention_size, num_queries=num_queries)
        self.num_queries = num_queries
        self.hidden = nn.Linear(in_channels, attention_size)
        self.score = nn.Linear(attention_size, num_queries)

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        scores = rearrange(self.score(torch.tanh(self.hidden(states))), "b t q -> b q t")
        weights = _softmax(scores, mask)
        return weights.to(states.dtype) @ states, weights


class MultiHead(ReadOut):
    """Multi-head attention (Vaswani et al. 2017) of learned queries over the states.

    Each head reads an equal part of the features; the weights returned are the mean over heads.
    """

    def __init__(self, in_channels: int, num_heads: int = 4, num_queries: int = 1):
        super().__init__(in_channels)
        positive(num_heads=num_heads, num_queries=num_queries)
        if in_channels % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide the {in_channels} features")
        self.num_heads = num_heads
        self.num_queries = num_queries
        self.queries = nn.Parameter(torch.randn(num_queries, in_channels))
        self.key = nn.Linear(in_channels, in_channels)
        self.value = nn.Linear(in_channels, in_channels)
        self.merge = nn.Linear(in_channels, in_channels)

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        return self.look(self.queries.unsqueeze(0), states, mask)

    def look(
        self,
        queries: Float[Tensor, "#b q d"],
        states: Float[Tensor, "b t d"],
        mask: Bool[Tensor, "b t"],
    ) -> Reading:
        """Reads states by queries: one set of queries for all series, or one for each."""
        query = rearrange(queries, "b q (h e) -> b h q e", h=self.num_heads)
        key = rearrange(self.key(states), "b t (h e) -> b h t e", h=self.num_heads)
        value = rearrange(self.value(states), "b t (h e) -> b h t e", h=self.num_heads)
        scores = (query @ key.transpose(-1, -2)) * key.shape[-1] ** -0.5
        weights = _softmax(scores, mask.unsqueeze(1))
        read = rearrange(weights.to(value.dtype) @ value, "b h q e -> b q (h e)")
        return self.merge(read), weights.mean(dim=1)


class Conditioned(MultiHead):
    """Multi-head attention whose queries depend on the last state and a context.

    Query q is a learned vector, plus linear maps of the last real state and of what is
    known of output segment q beforehand; `dropout` is of what was read.
    """

    def __init__(
        self,
        in_channels: int,
        num_heads: int = 4,
        num_queries: int = 1,
        context_channels: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__(in_channels, num_heads, num_queries)
        fraction(dropout=dropout)
        self.context_channels = context_channels
        self.last = nn.Linear(in_channels, in_channels)
        self.context = nn.Linear(context_channels, in_channels) if context_channels else None
        self.dropout = nn.Dropout(dropout)

    def forward(  # type: ignore[override]
        self,
        states: Float[Tensor, "b t d"],
        mask: Bool[Tensor, "b t"],
        context: Float[Tensor, "b q e"] | None = None,
    ) -> Reading:
        last, _ = Last(self.out_channels)(states, mask)
        queries = self.queries + self.last(last)
        if self.context is not None and context is not None:
            queries = queries + self.context(context)
        read, weights = self.look(queries, states, mask)
        return queries + self.dropout(read), weights


class EachStep(MultiHead):
    """Multi-head self-attention with a residual connection: each state is a query."""

    keeps_steps = True

    def __init__(self, in_channels: int, num_heads: int = 4, dropout: float = 0.0):
        super().__init__(in_channels, num_heads)
        fraction(dropout=dropout)
        del self.queries
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        read, weights = self.look(states, states, mask)
        return zero(states + self.dropout(read), mask), weights


class Steps(ReadOut):
    """Each state as it is: every step is a query that reads itself."""

    keeps_steps = True

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        weights = torch.eye(states.shape[1], dtype=states.dtype, device=states.device)
        return states, weights.expand(states.shape[0], -1, -1) * mask.unsqueeze(1)


class Mean(ReadOut):
    """The mean over real steps."""

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        weights = (mask / lengths(mask).unsqueeze(1)).to(states.dtype).unsqueeze(1)
        return weights @ states, weights


class ScaledSum(Mean):
    """The sum over real steps, divided by the root of their number: as large for every length."""

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        mean, weights = super().forward(states, mask)
        return mean * lengths(mask).to(mean.dtype).sqrt().reshape(-1, 1, 1), weights


class MeanMax(Mean):
    """The mean and the maximum over real steps, side by side."""

    def __init__(self, in_channels: int):
        super().__init__(in_channels)
        self.out_channels = 2 * in_channels

    def forward(self, states: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]) -> Reading:
        mean, weights = super().forward(states, mask)
        lowest = torch.finfo(states.dtype).min
        highest = states.masked_fill(~mask.unsqueeze(2), lowest).amax(dim=1, keepdim=True)
        return torch.cat([mean, highest], dim=2), weights


class Last(ReadOut):
    """The last real step."""

    def forward(self, states: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Reading:
        step = torch.arange(mask.shape[1], device=mask.device)
        last = step == lengths(mask).unsqueeze(1) - 1
        weights = last.to(states.dtype).unsqueeze(1)
        return weights @ states, weights


def _softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over real steps, in single precision or better; `scores` ends in q t."""
    real = repeat(mask, "... t -> ... q t", q=scores.shape[-2])
    return scores.masked_fill(~real, -torch.inf).softmax(dim=-1)
