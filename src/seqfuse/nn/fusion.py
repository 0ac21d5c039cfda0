"""Stems for several sources: joined before the net's own blocks (early) or behind theirs (late).

All sources of an item span the same time. What each becomes is brought to the clock, the steps of
the first key, by its relative position, so that rates may differ and a source of one step is
there at every step. A source is missing where it has no key or its mask is all false: then it
contributes nothing, and if it is the first, the clock must be one of its own (`shapes.CLOCK`).
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from seqfuse.nn.masking import align, zero
from seqfuse.nn.shapes import choice, fraction

Values = Mapping[str, Num[Tensor, "b _ *_"]]
Masks = Mapping[str, Bool[Tensor, "b _"]]
Blocks = Mapping[str, Callable[..., nn.Module] | None]
Joined = tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]]


class Encoder(nn.Module):
    """The blocks that one source passes on its own, in order.

    Args:
        in_channels: of the source.
        blocks: by name, such as stem, cnn and lstm; each is made with the width of the one
            before it, and maps features and mask to features and mask. None stands for no block.
    """

    def __init__(self, in_channels: int, blocks: Blocks):
        super().__init__()
        self.out_channels = in_channels
        for name, make in blocks.items():
            if make is not None:
                self.add_module(name, block := make(in_channels=self.out_channels))
                self.out_channels = int(getattr(block, "out_channels", self.out_channels))

    def forward(
        self, x: Num[Tensor, "b t *c"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Num[Tensor, "b u d"], Bool[Tensor, "b u"]]:
        for block in self.children():
            x, mask = block(x, mask)
        return x, mask


class Fusion(nn.Module):
    """What early and late fusion share.

    Args:
        channels: of each source, by name.
        blocks: of each source (see `Encoder`); sources that are not named take `default`.
        source_dropout: share of sources left out in training, item by item; never all of them.

    Raises:
        ValueError: a knob is out of range, there is no source, or one without blocks.
    """

    def __init__(
        self, channels: Mapping[str, int], blocks: Mapping[str, Blocks], source_dropout: float
    ):
        super().__init__()
        fraction(source_dropout=source_dropout)
        self.source_dropout = source_dropout
        self.sources = nn.ModuleDict()
        for name, width in channels.items():
            if not blocks.get(name, blocks.get("default")):
                raise ValueError(f"blocks has neither {name} nor default: name its stem")
            self.sources[name] = Encoder(width, blocks.get(name, blocks["default"]))
        self.widths = [int(source.out_channels) for source in self.sources.values()]  # type: ignore[arg-type]
        if not self.widths:
            raise ValueError("channels={} names no source")

    def forward(self, x: Values, mask: Masks) -> Joined:
        clock = next(iter(mask.values()))
        there = self._drop(self._present(mask, clock))
        found = {
            name: self._bring(name, x, mask, there[:, i], clock)
            for i, name in enumerate(self.sources)
            if name in mask
        }
        like = next(iter(found.values()))
        every = [
            found[name] if name in found else like.new_zeros(*clock.shape, width)
            for name, width in zip(self.sources, self.widths, strict=True)
        ]
        return zero(self.join(every, there), clock), clock

    def join(
        self, parts: list[Float[Tensor, "b t _"]], there: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        """One of all sources; those that are not there are zero."""
        raise NotImplementedError

    def _present(self, mask: Masks, clock: Tensor) -> Tensor:
        """(b s) which sources an item has."""
        none = torch.zeros_like(clock[:, 0])
        found = [mask[name].any(dim=1) if name in mask else none for name in self.sources]
        return torch.stack(found, dim=1)

    def _drop(self, there: Tensor) -> Tensor:
        if not self.training or not self.source_dropout:
            return there
        kept = there & (torch.rand(there.shape, device=there.device) >= self.source_dropout)
        # Of an item that would lose all its sources, one is kept, each as likely as the others.
        draw = torch.rand(there.shape, device=there.device).masked_fill(~there, -1.0)
        one = draw == draw.max(dim=1, keepdim=True).values
        return torch.where(kept.any(dim=1, keepdim=True), kept, one & there)

    def _bring(self, name: str, x: Values, mask: Masks, there: Tensor, clock: Tensor) -> Tensor:
        # A source that is left out is masked, so that norms take no statistics from it either.
        real = mask[name] & there.unsqueeze(1)
        features, real = self.sources[name](zero(x[name], real), real)
        return align(features, real, clock)


class EarlyFusion(Fusion):
    """Features of all sources side by side (or added up), then the net's own blocks.

    Behind them stands one number per source: 1 where it is there. Sources that come faster than
    the clock lose steps between two of its own, unless their encoder merges these.

    Args:
        channels: as in `Fusion`.
        blocks: as in `Fusion`.
        source_dropout: as in `Fusion`.
        join: `concat` or `sum`, for which all sources need as many features.
        in_channels: given by the net; not used, as each source has its own.

    Raises:
        ValueError: a knob is out of range.
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
        self, parts: list[Float[Tensor, "b t _"]], there: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        flags = there.to(parts[0].dtype).unsqueeze(1).expand(-1, parts[0].shape[1], -1)
        features = torch.stack(parts).sum(dim=0) if self.adds else torch.cat(parts, dim=-1)
        return torch.cat([features, flags], dim=-1)


class LateFusion(Fusion):
    """The mean over the sources that are there, each behind blocks of its own.

    Args:
        channels: as in `Fusion`.
        blocks: as in `Fusion`; all sources come to as many features.
        source_dropout: as in `Fusion`.
        in_channels: given by the net; not used, as each source has its own.

    Raises:
        ValueError: a knob is out of range.
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
        self, parts: list[Float[Tensor, "b t _"]], there: Bool[Tensor, "b s"]
    ) -> Float[Tensor, "b t d"]:
        count = there.sum(dim=1).clamp(min=1).reshape(-1, 1, 1)
        return torch.stack(parts).sum(dim=0) / count


def same_width(widths: list[int]) -> None:
    """Raises ValueError unless all sources have as many features."""
    if len(set(widths)) > 1:
        raise ValueError(f"sources have {widths} features: to be added up they need as many")
