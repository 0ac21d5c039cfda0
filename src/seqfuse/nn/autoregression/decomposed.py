"""Linear autoregression on a trend and on what it leaves."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.heads import lags
from seqfuse.nn.shapes import positive


class Decomposed(nn.Module):
    """Linear autoregression on a trend and a remainder, each with weights of its own.

    DLinear (Zeng et al. 2023): the trend is a moving average of the look-back, the remainder is
    what it leaves. All weights begin at zero, so that training begins with the net alone. At the
    ends of the look-back fewer steps are averaged; DLinear repeats the first and the last value.

    Args:
        look_back: lags that have weights.
        horizon: steps to forecast.
        num_targets: first channels of the input, those to forecast.
        window: steps that are averaged; an odd number.
    """

    def __init__(self, look_back: int, horizon: int, num_targets: int = 1, window: int = 25):
        super().__init__()
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets, window=window)
        if window % 2 == 0:
            raise ValueError(f"window={window} must be odd, for as many steps on either side")
        self.look_back, self.num_targets, self.window = look_back, num_targets, window
        self.trend = nn.Parameter(torch.zeros(horizon, look_back))
        self.remainder = nn.Parameter(torch.zeros(horizon, look_back))

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        seen = lags(x[..., : self.num_targets], mask, self.look_back)
        real = lags(mask.unsqueeze(2).to(x.dtype), mask, self.look_back)
        trend = real * self._sums(seen) / self._sums(real).clamp(min=1)
        steps = F.linear(trend, self.trend) + F.linear(seen - trend, self.remainder)
        return rearrange(steps, "b k h -> b h k 1")

    def _sums(self, seen: Float[Tensor, "b k l"]) -> Float[Tensor, "b k l"]:
        """Sums over the steps around each."""
        means = F.avg_pool1d(seen, self.window, stride=1, padding=self.window // 2)
        return means * self.window
