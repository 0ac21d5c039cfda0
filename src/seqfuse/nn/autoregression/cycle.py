"""Linear autoregression on what a learned cycle leaves."""

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.heads import lags
from seqfuse.nn.shapes import positive


class Cycle(nn.Module):
    """Linear autoregression on a series less a learned cycle, which is added again.

    CycleNet (Lin et al. 2024): each series has one learned value for each place in the cycle. The
    place of a step follows from a sine and a cosine, as the calendar has them
    (`data.known=[hour]`), which are the last two channels of the input; the places of the horizon
    come behind that of the last step. Cycle and weights begin at zero, so that training begins
    with the net alone.

    Args:
        look_back: lags that have a weight.
        horizon: steps to forecast.
        period: steps of the cycle.
        num_series: targets, folded into the batch or side by side.
        num_targets: first channels of the input, those to forecast.
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
        super().__init__()
        positive(look_back=look_back, horizon=horizon, num_targets=num_targets, period=period)
        if num_series % num_targets:
            raise ValueError(f"num_targets={num_targets} must divide num_series={num_series}")
        self.look_back, self.horizon, self.num_targets = look_back, horizon, num_targets
        self.weight = nn.Parameter(torch.zeros(horizon, look_back))
        self.cycle = nn.Parameter(torch.zeros(num_series, period))
        angles = torch.arange(period, dtype=torch.float64) * (2 * math.pi / period)
        clock = torch.stack([angles.sin(), angles.cos()], dim=1).to(self.weight.dtype)
        self.register_buffer("clock", clock, persistent=False)

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b h k one"]:
        seen = lags(x[..., : self.num_targets], mask, self.look_back)
        real = lags(mask.unsqueeze(2).to(x.dtype), mask, self.look_back)
        last = self._place(lags(x[..., -2:], mask, 1).squeeze(2))
        before = last.unsqueeze(1) - torch.arange(self.look_back, device=x.device)
        behind = last.unsqueeze(1) + 1 + torch.arange(self.horizon, device=x.device)
        # The cycle, too, without its value at the last step.
        cycles = rearrange(self.cycle, "(r k) p -> r k p", k=self.num_targets)
        cycles = cycles[torch.arange(x.shape[0], device=x.device) % cycles.shape[0]]
        now = _at(cycles, last.unsqueeze(1))
        rest = seen - real * (_at(cycles, before) - now)
        steps = F.linear(rest, self.weight) + _at(cycles, behind) - now
        return rearrange(steps, "b k h -> b h k 1")

    def _place(self, clock: Float[Tensor, "b two"]) -> Int[Tensor, " b"]:
        """The place in the cycle with the nearest sine and cosine."""
        return (clock @ self.clock.to(clock).T).argmax(dim=1)


def _at(cycles: Float[Tensor, "b k p"], places: Int[Tensor, "b l"]) -> Float[Tensor, "b k l"]:
    """Values of each series at places of the cycle, which goes on before 0 and behind its end."""
    index = places.remainder(cycles.shape[2]).unsqueeze(1)
    return cycles.gather(2, index.expand(-1, cycles.shape[1], -1))
