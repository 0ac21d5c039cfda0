"""Frames to features: a 2-D CNN folded over time."""

import itertools
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.checks import fraction, positive
from seqfuse.nn.masking import zero

Frames = Float[Tensor, "b t c height width"]


class FrameStem(nn.Module):
    """A 2-D CNN over each frame: convolutions of stride 2, then mean and maximum over space.

    Batch norm takes its statistics from real frames only.

    Args:
        in_channels: colours of a frame.
        channels: features of each layer; their number is the depth.
        augment: changes frames in training, once per clip.
        colour: whether the CNN sees the frames themselves.
        motion: whether it sees how their brightness changed since the frame before.
        dropout: share of features dropped from the output.

    Raises:
        ValueError: a knob is out of range.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 64, 64),
        augment: nn.Module | None = None,
        colour: bool = True,
        motion: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        positive(in_channels=in_channels, channels=min(channels, default=0))
        fraction(dropout=dropout)
        if not (colour or motion):
            raise ValueError("colour=false and motion=false leave nothing to see")
        self.augment = augment
        self.colour, self.motion = colour, motion
        widths = [in_channels * colour + motion, *channels]
        layers = [_layer(*pair) for pair in itertools.pairwise(widths)]
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.out_channels = 2 * widths[-1]

    def forward(
        self, x: Num[Tensor, "b t c height width"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]:
        frames = x if x.is_floating_point() else x / 255
        if not self.colour:
            frames = frames.mean(dim=2, keepdim=True)
        if self.augment is not None and self.training:
            frames = self.augment(frames)
        seen = self._seen(frames)
        if not self.training:
            features = self._features(rearrange(seen, "b t c height width -> (b t) c height width"))
            return zero(rearrange(features, "(b t) d -> b t d", b=x.shape[0]), mask), mask
        features = self._features(seen[mask])
        spread = features.new_zeros(*mask.shape, features.shape[-1])
        return spread.masked_scatter(mask.unsqueeze(-1), features), mask

    def _seen(self, frames: Frames) -> Float[Tensor, "b t k height width"]:
        parts = []
        if self.colour:
            parts.append((frames - 0.5) * 4)
        if self.motion:
            grey = frames.mean(dim=2, keepdim=True)
            change = grey[:, 1:] - grey[:, :-1]
            parts.append(F.pad(change, (0,) * 6 + (1, 0)) * 8)
        return torch.cat(parts, dim=2)

    def _features(self, frames: Float[Tensor, "n c height width"]) -> Float[Tensor, "n d"]:
        found = self.layers(frames)
        return self.dropout(torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1))


def motion(
    x: Num[Tensor, "b t c height width"], mask: Bool[Tensor, "b t"], grid: int
) -> Float[Tensor, "b t k"]:
    """How much brightness changed since the frame before, in percent, in each of grid x grid cells.

    NaN for the first frame and behind the last one.
    """
    grey = (x if x.is_floating_point() else x / 255).mean(dim=2)
    change = (grey[:, 1:] - grey[:, :-1]).abs() * 100
    cells = rearrange(F.adaptive_avg_pool2d(change, grid), "b t height width -> b t (height width)")
    cells = cells.masked_fill(~mask[:, 1:].unsqueeze(-1), torch.nan)
    return F.pad(cells, (0, 0, 1, 0), value=torch.nan)


def _layer(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class Augment(nn.Module):
    """Mirrors, crops and relights clips: one draw per clip, the same for all of its frames.

    Args:
        flip: how probable it is that a clip is mirrored.
        zoom: a crop shows from 1 down to 1 - zoom of height and width, enlarged to the whole.
        light: brightness and contrast change by up to this share.
    """

    def __init__(self, flip: float = 0.5, zoom: float = 0.3, light: float = 0.3):
        super().__init__()
        if not 0 <= flip <= 1:
            raise ValueError(f"flip={flip} must be from 0 to 1")
        fraction(zoom=zoom, light=light)
        self.flip, self.zoom, self.light = flip, zoom, light

    def forward(self, frames: Frames) -> Frames:
        n = len(frames)
        flip, scale, across, down, gain, shift = torch.rand(6, n, device=frames.device)
        scale = 1 - self.zoom * scale
        sign = 1 - 2 * (flip < self.flip).to(scale)
        nothing = torch.zeros_like(scale)
        grids = torch.stack(
            [
                torch.stack([sign * scale, nothing, (1 - scale) * (2 * across - 1)], dim=1),
                torch.stack([nothing, scale, (1 - scale) * (2 * down - 1)], dim=1),
            ],
            dim=1,
        )
        folded = rearrange(frames, "b t c height width -> b (t c) height width")
        grid = F.affine_grid(grids.to(folded), list(folded.shape), align_corners=False)
        folded = F.grid_sample(folded, grid, padding_mode="reflection", align_corners=False)
        found = rearrange(folded, "b (t c) height width -> b t c height width", t=frames.shape[1])
        gain = (1 + self.light * (2 * gain - 1)).reshape(n, 1, 1, 1, 1).to(found)
        shift = (self.light * (shift - 0.5)).reshape(n, 1, 1, 1, 1).to(found)
        return (found - 0.5) * gain + 0.5 + shift
