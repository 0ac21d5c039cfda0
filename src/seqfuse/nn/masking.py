"""Operations that know which steps are real."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F


def zero(x: Num[Tensor, "b t *d"], mask: Bool[Tensor, "b t"]) -> Num[Tensor, "b t *d"]:
    """Sets masked steps to zero, whatever they held (NaN too)."""
    return x.masked_fill(~mask.reshape(*mask.shape, *(1,) * (x.dim() - 2)), 0)


def lengths(mask: Bool[Tensor, "b t"]) -> Int[Tensor, " b"]:
    """Real steps of each series."""
    return mask.sum(dim=1)


def reverse(x: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
    """Reverses the real steps of each series and leaves the padding where it is."""
    step = torch.arange(x.shape[1], device=x.device)
    index = torch.where(mask, lengths(mask).unsqueeze(1) - 1 - step, step)
    return x.gather(1, index.unsqueeze(-1).expand_as(x))


class NoNorm(nn.Module):
    """The identity, in place of a norm."""

    def __init__(self, num_features: int):
        super().__init__()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x


class BatchNorm(nn.BatchNorm1d):
    """Batch norm (Ioffe & Szegedy 2015) whose statistics come from real steps alone."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "b d t"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b d t"]:
        if not self.training:
            return super().forward(x)
        steps = rearrange(x, "b d t -> b t d")
        if len(steps[mask]) < 2:  # a single step has no variance
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
        x: features.
        mask: their real steps; without any, the result is zero.
        clock: the steps to interpolate at.
    """
    n, m = lengths(clock).clamp(min=1).unsqueeze(1), lengths(mask).clamp(min=1).unsqueeze(1)
    step = torch.arange(clock.shape[1], device=x.device)
    # (i + 0.5) / n * m - 0.5, in whole numbers so that it is exact.
    place = (((2 * step + 1) * m - n).clamp(min=0)).minimum(2 * n * (m - 1))
    before = place // (2 * n)
    weight = ((place % (2 * n)).to(x.dtype) / (2 * n)).unsqueeze(2)
    left, right = (_at(x, steps) for steps in (before, (before + 1).minimum(m - 1)))
    return zero(left + weight * (right - left), clock & mask.any(dim=1, keepdim=True))


def _at(x: Tensor, steps: Tensor) -> Tensor:
    return x.gather(1, steps.unsqueeze(2).expand(-1, -1, x.shape[2]))
