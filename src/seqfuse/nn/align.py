"""Features on one clock, brought to another one."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seqfuse.nn.masking import lengths, zero


def align(
    x: Float[Tensor, "b u d"], mask: Bool[Tensor, "b u"], clock: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t d"]:
    """Brings features to another clock, on the line between their two nearest steps.

    Step i of n lies at the share (i + 0.5) / n of the time, on both clocks; before the middle of
    the first step and behind that of the last one these two go on. Equal clocks change nothing.

    Args:
        x: features.
        mask: their real steps; without any, the result is zero.
        clock: the steps that are asked for.
    """
    n, m = lengths(clock).clamp(min=1).unsqueeze(1), lengths(mask).clamp(min=1).unsqueeze(1)
    step = torch.arange(clock.shape[1], device=x.device)
    # (i + 0.5) / n * m - 0.5, in whole numbers so that it is exact.
    place = (((2 * step + 1) * m - n).clamp(min=0)).minimum(2 * n * (m - 1))
    before = place // (2 * n)
    share = ((place % (2 * n)).to(x.dtype) / (2 * n)).unsqueeze(2)
    left, right = (_at(x, rows) for rows in (before, (before + 1).minimum(m - 1)))
    found = left + share * (right - left)
    return zero(found, clock & mask.any(dim=1, keepdim=True))


def _at(x: Tensor, rows: Tensor) -> Tensor:
    return x.gather(1, rows.unsqueeze(2).expand(-1, -1, x.shape[2]))
