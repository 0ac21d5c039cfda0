"""Adaptive pooling that knows which steps are real: at most so many steps, whatever the length.

A series of n real steps becomes u = min(n, max_steps) segments; segment k holds the steps from
floor(k n / u) to ceil((k + 1) n / u), as in torch's adaptive pooling. So a series is pooled alike
in every batch, whatever it is padded to.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from seqfuse.nn.masking import lengths

Pooled = tuple[Tensor, Bool[Tensor, "b u"]]


def pool_max(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], max_steps: int) -> Pooled:
    """The maximum of each segment (b u d), of features that are not negative."""
    exports = torch.onnx.is_in_onnx_export()  # for any length and any mask
    if not exports and x.shape[1] <= max_steps:
        return x, mask
    first, end, real = _segments(mask, max_steps)
    if not exports and bool(mask.all()):  # several times as fast
        row = rearrange(x, "b t d -> b d 1 t")
        return rearrange(F.adaptive_max_pool2d(row, (1, max_steps)), "b d 1 u -> b u d"), real
    longest = (x.shape[1] + max_steps - 1) // max_steps + 1
    place = first.unsqueeze(2) + torch.arange(longest, device=x.device)
    inside = (place < end.unsqueeze(2)) & real.unsqueeze(2)
    place = rearrange(place.clamp(max=x.shape[1] - 1), "b u s -> b (u s) 1")
    seen = rearrange(
        x.gather(1, place.expand(-1, -1, x.shape[2])), "b (u s) d -> b u s d", s=longest
    )
    return seen.masked_fill(~inside.unsqueeze(3), 0.0).amax(dim=2), real


def pool_mean(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], max_steps: int) -> Pooled:
    """The mean of each segment (b u d)."""
    first, end, real = _segments(mask, max_steps)
    step = torch.arange(x.shape[1], device=x.device)
    inside = (step >= first.unsqueeze(2)) & (step < end.unsqueeze(2)) & real.unsqueeze(2)
    share = inside / (end - first).clamp(min=1).unsqueeze(2)
    return share.to(x.dtype) @ x, real


def spread(
    weights: Float[Tensor, "b q u"], pooled: Bool[Tensor, "b u"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, "b q t"]:
    """Weights of segments, each shared evenly by its steps, so that the sums stay."""
    n, u = lengths(mask).clamp(min=1).unsqueeze(1), lengths(pooled).clamp(min=1).unsqueeze(1)
    step = torch.arange(mask.shape[1], device=mask.device)
    segment = (step * u // n).minimum(u - 1)  # its steps: those from ceil(k n / u) on
    size = ((segment + 1) * n + u - 1) // u - (segment * n + u - 1) // u
    each = weights.gather(2, segment.unsqueeze(1).expand(-1, weights.shape[1], -1))
    return (each / size.unsqueeze(1)).masked_fill(~mask.unsqueeze(1), 0.0).to(weights.dtype)


def _segments(
    mask: Bool[Tensor, "b t"], max_steps: int
) -> tuple[Int[Tensor, "b u"], Int[Tensor, "b u"], Bool[Tensor, "b u"]]:
    """First step of each segment, the step behind its last one, and which segments there are."""
    n = lengths(mask).unsqueeze(1)
    u = n.clamp(min=1, max=max_steps)
    k = torch.arange(max_steps, device=mask.device)[: mask.shape[1]]
    return k * n // u, ((k + 1) * n + u - 1) // u, k < n
