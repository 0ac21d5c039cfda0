"""Linear autoregression whose weights have a low rank."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.heads import lags
from seqfuse.nn.shapes import positive


class LowRank(nn.Module):
    """Linear autoregression through a few sums of lags, from which each step is made.

    The weights are a product of two matrices (Izenman 1975, reduced-rank regression), of which the
    second begins at zero, so that training begins with the net alone.

    Args:
        look_back: lags that have a weight.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
        rank: sums of lags.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, rank: int = 16):
        super().__init__()
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets, rank=rank)
        self.look_back, self.num_targets = look_back, num_targets
        self.sums = nn.Parameter(torch.randn(rank, look_back) * look_back**-0.5)
        self.steps = nn.Parameter(torch.zeros(horizon, rank))

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        seen = lags(x[..., : self.num_targets], mask, self.look_back)
        return rearrange(F.linear(F.linear(seen, self.sums), self.steps), "b k h -> b h k 1")
