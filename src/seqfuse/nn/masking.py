"""Operations that know which steps are real."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from seqfuse.nn import collectives

_uncompiled: Any = torch.compiler.disable


def zero(x: Num[Tensor, "b t *d"], mask: Bool[Tensor, "b t"]) -> Num[Tensor, "b t *d"]:
    """Sets masked steps to zero, whatever they held (NaN too)."""
    return x.masked_fill(~mask.reshape(*mask.shape, *(1,) * (x.dim() - 2)), 0)


def all_real(x: Any) -> Any:
    """The mask (b t) of series without padding (b t ...); of several sources, of each."""
    if isinstance(x, dict):
        return {name: all_real(values) for name, values in x.items()}
    return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)


def lengths(mask: Bool[Tensor, "b t"]) -> Int[Tensor, " b"]:
    """Real steps of each series."""
    return mask.sum(dim=1)


def reverse(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
    """Reverses the real steps of each series and leaves the padding where it is."""
    step = torch.arange(x.shape[1], device=x.device)
    index = torch.where(mask, lengths(mask).unsqueeze(1) - 1 - step, step)
    return gather_steps(x, index)


def gather_steps(x: Tensor, steps: Tensor) -> Tensor:
    """Features (b u d) of each series (b t d) at some of its steps (b u)."""
    return x.gather(1, steps.unsqueeze(2).expand(-1, -1, x.shape[2]))


def to_segments(
    x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], size: int
) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
    """Short series later by less than a segment, so that segments end where those of whole ones do.

    A series of n real steps of t lacks the first t - n; it is moved by (t - n) % size. The steps
    before it are zero, and count as real.
    """
    number = lengths(mask).unsqueeze(1)
    shift = (x.shape[1] - number) % size
    step = torch.arange(x.shape[1], device=x.device) - shift
    return zero(gather_steps(x, step.clamp(min=0)), (step >= 0) & (step < number)), step < number


class NoNorm(nn.Module):
    """The identity, in place of a norm."""

    def __init__(self, num_features: int):
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x


class SharedNorm(_BatchNorm):
    """Batch norm whose statistics in training are those of the rows that all ranks have."""

    def forward(self, x: Float[Tensor, "n d *s"]) -> Float[Tensor, "n d *s"]:
        if not self.training or collectives.count() == 1:
            return super().forward(x)
        return self._shared(x)

    @_uncompiled
    def _shared(self, x: Tensor) -> Tensor:
        past_mean, past_variance, momentum = self.running_mean, self.running_var, self.momentum
        assert past_mean is not None
        assert past_variance is not None
        assert momentum is not None
        rows = x.to(torch.promote_types(x.dtype, torch.float32))
        others = [0, *range(2, x.dim())]
        shape = (1, -1, *(1,) * (x.dim() - 2))
        size = rows.new_tensor([rows.numel() / rows.shape[1]])
        sums = collectives.total(torch.cat([rows.sum(others), size]))
        number = sums[-1]
        if number < 2:  # a single row has no variance
            return F.batch_norm(x, past_mean, past_variance, self.weight, self.bias, eps=self.eps)
        mean = sums[:-1] / number
        centred = rows - mean.view(shape)
        variance = collectives.total(centred.square().sum(others)) / number
        with torch.no_grad():
            past_mean.lerp_(mean, momentum)
            past_variance.lerp_(variance * number / (number - 1), momentum)
            self.get_buffer("num_batches_tracked").add_(1)
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


class BatchNorm(SharedNorm, nn.BatchNorm1d):
    """Batch norm (Ioffe & Szegedy 2015) whose statistics come from real steps alone."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b d t"]:
        if not self.training:
            return super().forward(x)
        steps = rearrange(x, "b d t -> b t d")
        if mask.numel() > 1 and bool(mask.all()):  # the same without picking steps out
            normed = super().forward(rearrange(steps, "b t d -> (b t) d"))
            return rearrange(normed, "(b t) d -> b d t", b=len(x))
        if collectives.count() == 1 and len(steps[mask]) < 2:  # a single step has no variance
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)
        normed = super().forward(steps[mask])
        padded = normed.new_zeros(steps.shape).masked_scatter(mask.unsqueeze(-1), normed)
        return rearrange(padded, "b t d -> b d t")


class LayerNorm(nn.LayerNorm):
    """Layer norm (Ba et al. 2016) over the features of each step."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b d t"]:
        normed = super().forward(rearrange(x, "b d t -> b t d"))
        return rearrange(normed, "b t d -> b d t")


NORMS: dict[str, type[nn.Module]] = {"none": NoNorm, "batch": BatchNorm, "layer": LayerNorm}


def align(
    x: Float[Tensor, "b u d"], mask: Bool[Tensor, "b u"], clock: Bool[Tensor, "b t"]
) -> Float[Tensor, "b t d"]:
    """Linear interpolation of features at the steps of another mask, which spans the same time.

    Step i of n lies at the fraction (i + 0.5) / n of the time, in both; before the middle of the
    first step and behind that of the last one these two go on. Equal masks change nothing.

    Args:
        mask: their real steps; without any, the result is zero.
        clock: the steps to interpolate at.
    """
    n, m = lengths(clock).clamp(min=1).unsqueeze(1), lengths(mask).clamp(min=1).unsqueeze(1)
    step = torch.arange(clock.shape[1], device=x.device)
    # (i + 0.5) / n * m - 0.5, in whole numbers so that it is exact.
    place = (((2 * step + 1) * m - n).clamp(min=0)).minimum(2 * n * (m - 1))
    before = place // (2 * n)
    weight = ((place % (2 * n)).to(x.dtype) / (2 * n)).unsqueeze(2)
    left, right = (gather_steps(x, steps) for steps in (before, (before + 1).minimum(m - 1)))
    return zero(left + weight * (right - left), clock & mask.any(dim=1, keepdim=True))


Pooled = tuple[Tensor, Bool[Tensor, "b u"]]


def pool_max(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], max_steps: int) -> Pooled:
    """The maximum of each segment (b u d) of a series, of features that are not negative.

    A series of n real steps becomes u = min(n, max_steps) segments; segment k holds the steps from
    floor(k n / u) to ceil((k + 1) n / u), as in torch's adaptive pooling. So a series is pooled
    alike in every batch, whatever it is padded to.
    """
    exports = torch.onnx.is_in_onnx_export()  # for any length and any mask
    if not exports and x.shape[1] <= max_steps:
        return x, mask
    first, end, real = _segments(mask, max_steps)
    is_free = not exports and not torch.are_deterministic_algorithms_enabled()
    if is_free and bool(mask.all()):  # several times as fast
        row = rearrange(x, "b t d -> b d 1 t")
        return rearrange(F.adaptive_max_pool2d(row, (1, max_steps)), "b d 1 u -> b u d"), real
    longest = (x.shape[1] + max_steps - 1) // max_steps + 1
    place = first.unsqueeze(2) + torch.arange(longest, device=x.device)
    inside = (place < end.unsqueeze(2)) & real.unsqueeze(2)
    place = rearrange(place.clamp(max=x.shape[1] - 1), "b u s -> b (u s)")
    seen = rearrange(gather_steps(x, place), "b (u s) d -> b u s d", s=longest)
    return seen.masked_fill(~inside.unsqueeze(3), 0.0).amax(dim=2), real


def pool_mean(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"], max_steps: int) -> Pooled:
    """The mean of each segment (b u d), as in `pool_max`."""
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
