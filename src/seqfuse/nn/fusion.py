"""Stems for several sources: joined before the net's own blocks (early) or behind theirs (late).

All sources of an item span the same time. The features of each are interpolated at the steps of
the first key, the clock, by relative position, so that rates may differ and a source of one step
is present at every step. A source is missing where it has no key or its mask is all false: then it
contributes nothing, and if it is the first, the clock needs a key of its own (`shapes.CLOCK`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from seqfuse.nn.masking import align, zero
from seqfuse.nn.shapes import choice, fraction

Values = Mapping[str, Num[Tensor, "b _ *_"]]
Masks = Mapping[str, Bool[Tensor, "b _"]]
Blocks = Mapping[str, Callable[..., Any] | None]
"""Makers of each `shapes.Block`, by name, such as stem, cnn and lstm; None stands for no block."""
Joined = tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]


class Encoder(nn.Module):
    """The blocks of one source, in order; each is made with the width of the one before it."""

    def __init__(self, in_channels: int, blocks: Blocks):
        super().__init__()
        self.out_channels = in_channels
        for name, make in blocks.items():
            if make is not None:
                block = make(in_channels=self.out_channels)
                self.add_module(name, block)
                self.out_channels: int = block.out_channels

    def forward(
        self, x: Num[Tensor, "b t *c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Num[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        for block in self.children():
            x, mask = block(x, mask)
        return x, mask


class Fusion(nn.Module):
    """Base of early and late fusion.

    Args:
        channels: of each source, by name.
        blocks: of each source; sources that are not named take `default`.
        source_dropout: fraction of sources left out in training, item by item; never all of them.
    """

    def __init__(
        self, channels: Mapping[str, int], blocks: Mapping[str, Blocks], source_dropout: float
    ):
        super().__init__()
        fraction(source_dropout=source_dropout)
        self.source_dropout = source_dropout
        self.sources = nn.ModuleDict()
        self.widths: list[int] = []
        for name, width in channels.items():
            if not blocks.get(name, blocks.get("default")):
                raise ValueError(f"blocks has neither {name} nor default: name its stem")
            self.sources[name] = encoder = Encoder(width, blocks.get(name, blocks["default"]))
            self.widths.append(encoder.out_channels)
        if not self.widths:
            raise ValueError("channels={} names no source")

    def forward(self, x: Values, mask: Masks) -> Joined:
        clock = next(iter(mask.values()))
        present = self._drop(self._present(mask, clock))
        features = {
            name: self._encode(name, x, mask, present[:, i], clock)
            for i, name in enumerate(self.sources)
            if name in mask
        }
        like = next(iter(features.values()))
        parts = [
            features[name] if name in features else like.new_zeros(*clock.shape, width)
            for name, width in zip(self.sources, self.widths, strict=True)
        ]
        return zero(self.join(parts, present), clock), clock

    def join(
        self, parts: list[Float[Tensor, "b t _"]], present: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        """Features of all sources joined; those that are not present are zero."""
        raise NotImplementedError

    def _present(self, mask: Masks, clock: Tensor) -> Tensor:
        """(b s) which sources an item has."""
        none = torch.zeros_like(clock[:, 0])
        present = [mask[name].any(dim=1) if name in mask else none for name in self.sources]
        return torch.stack(present, dim=1)

    def _drop(self, present: Tensor) -> Tensor:
        if not self.training or not self.source_dropout:
            return present
        kept = present & (torch.rand(present.shape, device=present.device) >= self.source_dropout)
        # Of an item that would lose all its sources, one is kept, each as likely as the others.
        draw = torch.rand(present.shape, device=present.device).masked_fill(~present, -1.0)
        last = draw == draw.max(dim=1, keepdim=True).values
        return torch.where(kept.any(dim=1, keepdim=True), kept, last & present)

    def _encode(self, name: str, x: Values, mask: Masks, present: Tensor, clock: Tensor) -> Tensor:
        # A source that is left out is masked, so that norms take no statistics from it either.
        real = mask[name] & present.unsqueeze(1)
        features, real = self.sources[name](zero(x[name], real), real)
        return align(features, real, clock)


class EarlyFusion(Fusion):
    """Features of all sources side by side (`concat`) or added up (`sum`), then the net's own
    blocks.

    Behind them stands one number per source: 1 where it is present. Sources that come faster than
    the clock lose steps between two of its own, unless their encoder merges these. `in_channels`,
    given by the net, is not used, as each source has its own; to be added, all need as many
    features.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        blocks: Mapping[str, Blocks],
        source_dropout: float = 0.0,
        join: str = "concat",
        in_channels: int = 0,
    ):
        super().__init__(channels, blocks, source_dropout)
        choice(("concat", "sum"), join=join)
        if join == "sum":
            same_width(self.widths)
        self.adds = join == "sum"
        features = self.widths[0] if self.adds else sum(self.widths)
        self.out_channels = features + len(self.widths)

    def join(
        self, parts: list[Float[Tensor, "b t _"]], present: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        flags = present.to(parts[0].dtype).unsqueeze(1).expand(-1, parts[0].shape[1], -1)
        features = torch.stack(parts).sum(dim=0) if self.adds else torch.cat(parts, dim=-1)
        return torch.cat([features, flags], dim=-1)


class LateFusion(Fusion):
    """The mean over the sources that are present, each behind blocks of its own.

    All sources come to as many features; `in_channels`, given by the net, is not used.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        blocks: Mapping[str, Blocks],
        source_dropout: float = 0.0,
        in_channels: int = 0,
    ):
        super().__init__(channels, blocks, source_dropout)
        same_width(self.widths)
        self.out_channels = self.widths[0]

    def join(
        self, parts: list[Float[Tensor, "b t _"]], present: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        count = present.sum(dim=1).clamp(min=1).reshape(-1, 1, 1)
        return torch.stack(parts).sum(dim=0) / count


def same_width(widths: list[int]) -> None:
    """Raises ValueError unless all sources have as many features."""
    if len(set(widths)) > 1:
        raise ValueError(f"sources have {widths} features: to be added up they need as many")
