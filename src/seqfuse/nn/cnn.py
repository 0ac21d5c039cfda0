"""The convolution block: finds local patterns."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.masking import NORMS, BatchNorm, NoNorm, pool_max, zero
from seqfuse.nn.shapes import choice, fraction, positive


class Cnn(nn.Module):
    """A stack of masked convolutions: conv, norm, ReLU, dropout, max-pool.

    Args:
        channels: features of each layer; their number is the depth.
        kernel_size: steps a convolution sees; one number, or one per layer.
        pool: steps merged into one by max-pooling after each layer (1 = none);
            a partial last window counts.
        norm: `none`, `batch` (statistics from real steps) or `layer`.
        residual: adds each layer's input to its output before the ReLU
            (He et al. 2016), through a 1-step convolution where widths differ.
        dropout: fraction of features dropped after each layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (16, 32),
        kernel_size: int | Sequence[int] = 3,
        pool: int | Sequence[int] = 2,
        norm: str = "none",
        residual: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        if not channels:
            raise ValueError("channels=[] has no layer: name at least one width, such as [16,32]")
        widths = [in_channels, *channels]
        kernels = _per_layer(len(channels), kernel_size=kernel_size)
        pools = _per_layer(len(channels), pool=pool)
        self.out_channels = widths[-1]
        self.stride = 1
        self.layers = nn.ModuleList()
        for i, (kernel, size) in enumerate(zip(kernels, pools, strict=True)):
            layer = ConvLayer(widths[i], widths[i + 1], kernel, size, norm, residual, dropout)
            self.layers.append(layer)
            self.stride *= size

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        x = rearrange(x, "b t d -> b d t")
        for layer in self.layers:
            x, mask = layer(x, mask)
        return rearrange(x, "b d t -> b t d"), mask


class DenseCnn(Cnn):
    """A `Cnn` that keeps its input beside its features (Huang et al. 2017); it does not pool."""

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (64,),
        kernel_size: int | Sequence[int] = 3,
        norm: str = "none",
        dropout: float = 0.0,
    ):
        super().__init__(in_channels, channels, kernel_size, 1, norm, False, dropout)
        self.out_channels += in_channels

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        return torch.cat([x, super().forward(x, mask)[0]], dim=-1), mask


class ConvLayer(nn.Module):
    """One layer of `Cnn`, features before time: (b d t)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        pool: int,
        norm: str,
        residual: bool,
        dropout: float,
    ):
        super().__init__()
        positive(in_channels=in_channels, channels=out_channels, kernel_size=kernel_size, pool=pool)
        choice(NORMS, norm=norm)
        fraction(dropout=dropout)
        self.pool = pool
        bias = NORMS[norm] is NoNorm
        half = (kernel_size - 1) // 2
        # An even kernel needs one step more at the end, to keep the length.
        self.end = nn.Identity() if kernel_size % 2 else nn.ZeroPad1d((0, 1))
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=half, bias=bias)
        self.norm = NORMS[norm](out_channels)
        self.shortcut = _shortcut(in_channels, out_channels) if residual else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b c t"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b d u"], Bool[Tensor, "b u"]]:
        h = self.norm(self.conv(self.end(x)), mask)
        if self.shortcut is not None:
            h = h + self.shortcut(x)
        h = self.dropout(F.relu(h)).masked_fill(~mask.unsqueeze(1), 0.0)
        if self.pool == 1:
            return h, mask
        # No value is below zero here, so a masked zero never wins the maximum.
        return F.max_pool1d(h, self.pool, ceil_mode=True), mask[:, :: self.pool]


def _shortcut(in_channels: int, out_channels: int) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv1d(in_channels, out_channels, 1, bias=False)


def _per_layer(depth: int, **setting: int | Sequence[int]) -> list[int]:
    [(name, value)] = setting.items()
    values = [value] * depth if isinstance(value, int) else list(value)
    if len(values) != depth:
        raise ValueError(f"{name}={values} needs one number, or one for each of {depth} layers")
    positive(**{name: min(values)})
    return values


class SegmentConv(nn.Module):
    """A convolution whose kernel is its stride (Nie et al. 2023): each segment becomes a step.

    A partial last segment of `segment_size` steps counts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        segment_size: int = 48,
        dropout: float = 0.0,
    ):
        super().__init__()
        positive(in_channels=in_channels, out_channels=out_channels, segment_size=segment_size)
        fraction(dropout=dropout)
        self.out_channels = out_channels
        self.stride = segment_size
        self.conv = nn.Linear(in_channels * segment_size, out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.stride))
        segments = rearrange(x, "b (u s) c -> b u (s c)", s=self.stride)
        mask = mask[:, :: self.stride]
        h = self.dropout(F.relu(self.conv(segments)))
        return h.masked_fill(~mask.unsqueeze(-1), 0.0), mask


class Inception(nn.Module):
    """Layers of parallel convolutions, each several kernel sizes at once (Fawaz et al. 2020).

    Features of the first layer are max-pooled to at most `max_steps` steps; those that follow see
    a series of any length at about the same scale, and add their input to their output. The
    features of the first layer stand beside those of the last one (as in Huang et al. 2017).

    Args:
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
        first = channels[0] * len(kernel_sizes[0])
        self.out_channels = first + width if len(channels) > 1 else first

    def forward(
        self, x: Float[Tensor, "b t c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        first, *others = self.layers
        fine, mask = pool_max(first(x, mask), mask, self.max_steps)
        if not others:
            return fine, mask
        coarse = fine
        for layer in others:
            coarse = layer(coarse, mask)
        return torch.cat([fine, coarse], dim=2), mask


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
