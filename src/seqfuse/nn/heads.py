"""Heads: read-out to prediction."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from seqfuse.nn.checks import fraction, positive


class ClassHead(nn.Module):
    """One score per class, linear in all queries.

    Args:
        in_channels: features of a query.
        num_queries: queries, read together.
        num_classes: scores to return, unnormalised.
        dropout: share of features dropped before the linear layer.
    """

    def __init__(
        self, in_channels: int, num_queries: int = 1, num_classes: int = 2, dropout: float = 0.0
    ):
        super().__init__()
        positive(num_classes=num_classes)
        fraction(dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels * num_queries, num_classes)

    def forward(self, queries: Float[Tensor, "b q d"]) -> Float[Tensor, "b k"]:
        return self.linear(self.dropout(rearrange(queries, "b q d -> b (q d)")))
