"""Reversible normalisation: of single channels, or of windows with gaps; undone at the end."""

from typing import Any, NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import lengths, to_segments, zero
from seqfuse.nn.shapes import choice, positive


class Normalized(NamedTuple):
    """A normalised batch, and what undoes that."""

    x: Tensor
    """(b t c) what the stem gets."""
    mask: Tensor
    """(b t) real steps."""
    context: Tensor | None = None
    """(b q e) features that are known of each output segment beforehand."""
    level: Tensor | None = None
    """(b) what was subtracted from each series; (b t k) what the net's output is added to."""
    scale: Tensor | None = None
    """(b) what each series was divided by."""


class RevIN(nn.Module):
    """RevIN (Kim et al. 2022) with channel independence (Nie et al. 2023).

    A batch of b series with k targets becomes one of b·k series: the target, then the
    covariates. Where `num_known` channels are known ahead, x goes on for the steps of the
    horizon, masked, with their values; these and the number of the channel are the context.

    Args:
        in_channels: targets first, then covariates, those known ahead last.
        num_targets: channels to forecast.
        num_known: channels known ahead.
        horizon: steps to forecast.
        segment_size: maximum of the steps of an output segment. Series that are shorter than the
            look-back begin with zeros, so that their segments of so many steps lie as those of
            a whole one.
        norm: `last` (subtracts the last value), `instance` (mean 0 and standard deviation 1
            within the look-back) or `none`.
    """

    def __init__(
        self,
        in_channels: int,
        num_targets: int,
        num_known: int = 0,
        horizon: int = 96,
        segment_size: int = 48,
        norm: str = "last",
    ):
        super().__init__()
        positive(num_targets=num_targets, horizon=horizon, segment_size=segment_size)
        choice(NORMS, norm=norm)
        self.num_targets = num_targets
        self.num_known = num_known
        self.horizon = horizon
        self.norm = NORMS[norm]
        self.stride = segment_size
        self.num_queries = -(-horizon // segment_size)
        # As the head cuts the horizon: evenly, so a segment may be shorter.
        self.segment_size = -(-horizon // self.num_queries)
        self.out_channels = 1 + in_channels - num_targets
        self.context_channels = num_targets + num_known * self.segment_size

    def normalize(self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]) -> Normalized:
        """Folds the targets into the batch and normalises them."""
        k, steps = self.num_targets, x.shape[1] - (self.horizon if self.num_known else 0)
        past, real = zero(x[:, :steps], mask[:, :steps]), mask[:, :steps]
        targets = rearrange(past[..., :k], "b t k -> (b k) t")
        real = repeat(real, "b t -> (b k) t", k=k)
        level, scale = self.norm(targets, real)
        normed = (targets - level.unsqueeze(1)) / scale.unsqueeze(1)
        series = normed.unsqueeze(-1)
        if self.out_channels > 1:  # ONNX cannot reshape what has no channel
            covariates = repeat(past[..., k:], "b t m -> (b k) t m", k=k)
            series = torch.cat([series, covariates], dim=-1)
        if torch.onnx.is_in_onnx_export() or not bool(real.all()):
            series, real = to_segments(series, real, self.stride)
        return Normalized(series, real, self._context(x[:, steps:]), level, scale)

    def _context(self, future: Float[Tensor, "b h c"]) -> Float[Tensor, "bk q e"]:
        number = torch.eye(self.num_targets, dtype=future.dtype, device=future.device)
        context = repeat(number, "k e -> (b k) q e", b=future.shape[0], q=self.num_queries)
        if not self.num_known:
            return context
        missing = self.num_queries * self.segment_size - self.horizon
        ahead = F.pad(future[..., -self.num_known :], (0, 0, 0, missing))
        ahead = repeat(
            rearrange(ahead, "b (q s) f -> b q (s f)", q=self.num_queries),
            "b q e -> (b k) q e",
            k=self.num_targets,
        )
        return torch.cat([context, ahead], dim=-1)

    def denormalize(
        self, prediction: Float[Tensor, "bk h one p"], batch: Normalized
    ) -> Float[Tensor, "b h k p"]:
        assert batch.level is not None
        assert batch.scale is not None
        level = rearrange(batch.level, "bk -> bk 1 1 1")
        scale = rearrange(batch.scale, "bk -> bk 1 1 1")
        return rearrange(prediction * scale + level, "(b k) h 1 p -> b h k p", k=self.num_targets)

    def mean_weights(self, weights: Float[Tensor, "bk q u"]) -> Float[Tensor, "b q u"]:
        """Attention weights: the mean over targets."""
        return rearrange(weights, "(b k) q u -> b k q u", k=self.num_targets).mean(dim=1)


def _last(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    index = (lengths(mask) - 1).clamp(min=0).unsqueeze(1)
    return x.gather(1, index).squeeze(1), x.new_ones(x.shape[0])


def _instance(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    count = lengths(mask).clamp(min=1)
    mean = x.sum(dim=1) / count
    centred = (x - mean.unsqueeze(1)).masked_fill(~mask, 0.0)
    return mean, ((centred**2).sum(dim=1) / count + 1e-5).sqrt()


def _none(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_zeros(x.shape[0]), x.new_ones(x.shape[0])


NORMS = {"last": _last, "instance": _instance, "none": _none}


class Interpolation(nn.Module):
    """Centres the columns of a window, and adds what the net says to their interpolation.

    x holds columns that are interpolated where they have gaps and, behind them, one for each
    that is 1 where its value is seen. Each column is centred by the mean of what is seen of it.

    Args:
        in_channels: of both.
        num_columns: the former.
        num_targets: leading columns that are predicted.
    """

    num_queries, context_channels = 1, 0

    def __init__(self, in_channels: int, num_columns: int, num_targets: int):
        super().__init__()
        positive(in_channels=in_channels, num_columns=num_columns, num_targets=num_targets)
        self.out_channels = in_channels
        self.num_columns, self.num_targets = num_columns, num_targets

    def normalize(self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]) -> Normalized:
        real = zero(x, mask)
        values, seen = real[..., : self.num_columns], real[..., self.num_columns :]
        count = seen.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (values * seen).sum(dim=1, keepdim=True) / count
        centred = torch.cat([zero(values - mean, mask), seen], dim=2)
        return Normalized(centred, mask, level=values[..., : self.num_targets])

    def denormalize(
        self, prediction: Float[Tensor, "b t k p"], batch: Normalized
    ) -> Float[Tensor, "b t k p"]:
        assert batch.level is not None
        return prediction + batch.level.unsqueeze(-1)

    def mean_weights(self, weights: Float[Tensor, "b q u"]) -> Float[Tensor, "b q u"]:
        """Attention weights, as they are."""
        return weights


class Unnormalized(nn.Module):
    """No normalisation."""

    def normalize(self, x: Any, mask: Any) -> Normalized:
        return Normalized(x, mask)

    def denormalize(self, prediction: Tensor, batch: Normalized) -> Tensor:
        return prediction

    def mean_weights(self, weights: Tensor) -> Tensor:
        return weights
