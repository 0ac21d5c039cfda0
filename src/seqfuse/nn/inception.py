"""Convolutions of several lengths side by side."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import BatchNorm, zero
from seqfuse.nn.pooling import pool_max
from seqfuse.nn.shapes import fraction, positive


class Inception(nn.Module):
    """Layers of parallel convolutions, each several kernel sizes at once (Fawaz et al. 2020).

    Features of the first layer are max-pooled to at most `max_steps` steps; those that follow see
    a series of any length at about the same scale, and add their input to their output.

    Args:
        in_channels: features that come in.
        channels: of each layer, the features of each of its kernels.
        kernel_sizes: of each layer, the steps that its kernels see.
        bottleneck: features to which wider inputs of a layer are mixed first.
        max_steps: steps behind the first layer, at most.
        dropout: fraction of features dropped after each layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (16, 32, 32),
        kernel_sizes: Sequence[Sequence[int]] = ((39, 19, 9), (21, 11, 5), (21, 11, 5)),
        bottleneck: int = 32,
        max_steps: int = 100,
        dropout: float = 0.0,
    ):
        super().__init__()
        positive(in_channels=in_channels, bottleneck=bottleneck, max_steps=max_steps)
        if not channels or len(channels) != len(kernel_sizes):
            raise ValueError(
                f"channels={list(channels)} and kernel_sizes={list(kernel_sizes)} must have an "
                "entry for each layer, and at least one"
            )
        self.max_steps = max_steps
        self.layers = nn.ModuleList()
        width = in_channels
        for size, kernels in zip(channels, kernel_sizes, strict=True):
            residual = bool(self.layers)
            self.layers.append(InceptionLayer(width, size, kernels, bottleneck, residual, dropout))
            width = size * len(kernels)
        self.out_channels = width

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        for i, layer in enumerate(self.layers):
            x = layer(x, mask)
            if not i:
                x, mask = pool_max(x, mask, self.max_steps)
        return x, mask


class InceptionLayer(nn.Module):
    """One layer of `Inception`: bottleneck, kernels, norm, ReLU.

    Features stay last in memory, where convolutions on a CPU are a third faster; torch has that
    for images, of which a series is one row.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_sizes: Sequence[int],
        bottleneck: int,
        residual: bool,
        dropout: float,
    ):
        super().__init__()
        positive(channels=channels, kernel_sizes=min(kernel_sizes, default=0))
        fraction(dropout=dropout)
        if not all(size % 2 for size in kernel_sizes):
            raise ValueError(f"kernel_sizes={list(kernel_sizes)} must be odd, to keep the length")
        width, out_channels = min(in_channels, bottleneck), channels * len(kernel_sizes)
        wide = in_channels > bottleneck
        self.mix = nn.Linear(in_channels, bottleneck, bias=False) if wide else nn.Identity()
        self.convs = nn.ModuleList(
            nn.Conv2d(width, channels, (1, size), padding=(0, size // 2), bias=False)
            for size in kernel_sizes
        )
        self.norm = BatchNorm(out_channels)
        self.shortcut = nn.Linear(in_channels, out_channels, bias=False) if residual else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> Float[Tensor, "b t d"]:
        row = rearrange(self.mix(x), "b t c -> b c 1 t")
        seen = [rearrange(conv(row), "b d 1 t -> b t d") for conv in self.convs]
        h = rearrange(torch.cat(seen, dim=2), "b t d -> b d t")
        h = rearrange(self.norm(h, mask), "b d t -> b t d")
        if self.shortcut is not None:
            h = h + self.shortcut(x)
        return zero(self.dropout(F.relu(h)), mask)
