"""Random changes of scaled series that keep their class: new in every epoch, one draw per series.

Each maps (b t c) and a mask to the same, real steps first. Source: Um et al., "Data augmentation
of wearable sensor data ...", ICMI 2017; Iwana & Uchida, "An empirical survey of data augmentation
for time series classification", PLOS ONE 2021.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seqfuse.nn.masking import gather_steps
from seqfuse.runtime.errors import InputError

Values = Float[Tensor, "b t c"]
Mask = Bool[Tensor, "b t"]
Augmented = tuple[Values, Mask]


class Change(Protocol):
    """A random change of series."""

    keeps_steps: bool
    """Whether each step stays where it is, and so keeps its label."""

    def __call__(self, x: Values, mask: Mask) -> Augmented: ...


class Crop:
    """A stretch of the series, from `shortest` of its length to all of it."""

    keeps_steps = False

    def __init__(self, shortest: float = 0.5):
        if not 0 < shortest <= 1:
            raise InputError(f"shortest={shortest} of a crop must be above 0 and at most 1")
        self.shortest = shortest

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        lengths, (share, place) = mask.sum(dim=1), torch.rand(2, len(x), device=x.device)
        kept = (lengths * (self.shortest + (1 - self.shortest) * share)).ceil().long()
        first = ((lengths - kept + 1) * place).long()
        step = torch.arange(x.shape[1], device=x.device)
        real = step < kept.unsqueeze(1)
        source = (first.unsqueeze(1) + step).clamp(max=x.shape[1] - 1)
        return gather_steps(x, source) * real.unsqueeze(2), real


class WindowWarp:
    """A stretch of the series, resized to all of it by linear interpolation.

    It has at least a fraction `shortest` of the length; `probability` is that of a change.
    """

    keeps_steps = False

    def __init__(self, shortest: float = 0.8, probability: float = 0.5):
        if not 0 < shortest <= 1 or not 0 <= probability <= 1:
            raise InputError(
                f"shortest={shortest} and probability={probability} of a window warp must be at "
                "most 1, and shortest above 0"
            )
        self.shortest, self.probability = shortest, probability

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        changed, fraction, place = torch.rand(3, len(x), 1, device=x.device)
        last = mask.sum(dim=1, keepdim=True).clamp(min=1) - 1
        kept = torch.where(
            changed < self.probability, self.shortest + (1 - self.shortest) * fraction, 1.0
        )
        step = torch.arange(x.shape[1], device=x.device)
        source = ((1 - kept) * place * last + kept * step).minimum(last)
        before = source.floor().long()
        weight = (source - before).unsqueeze(2).to(x.dtype)
        left, right = gather_steps(x, before), gather_steps(x, (before + 1).minimum(last))
        return (left + weight * (right - left)) * mask.unsqueeze(2), mask


class Jitter:
    """Adds noise of so many standard deviations."""

    keeps_steps = True

    def __init__(self, std: float = 0.1):
        self.std = _at_least(0, std=std)

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        return (x + self.std * torch.randn_like(x)) * mask.unsqueeze(2), mask


class Scale:
    """Multiplies the series by a number around 1, `together` for all channels or for each.

    `std` is the standard deviation of its logarithm.
    """

    keeps_steps = True

    def __init__(self, std: float = 0.2, together: bool = False):
        self.std = _at_least(0, std=std)
        self.together = together

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        channels = 1 if self.together else x.shape[2]
        drawn = torch.randn(len(x), 1, channels, device=x.device, dtype=x.dtype)
        return x * (self.std * drawn).exp(), mask


class TimeMask:
    """Sets a stretch, up to `longest` of the series, to 0, which is the mean."""

    keeps_steps = True

    def __init__(self, longest: float = 0.3):
        if not 0 <= longest < 1:
            raise InputError(f"longest={longest} of a time mask must be at least 0 and below 1")
        self.longest = longest

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        lengths, (share, place) = mask.sum(dim=1), torch.rand(2, len(x), device=x.device)
        hidden = (lengths * self.longest * share).long()
        first = ((lengths - hidden + 1) * place).long().unsqueeze(1)
        step = torch.arange(x.shape[1], device=x.device)
        inside = (step >= first) & (step < first + hidden.unsqueeze(1))
        return x.masked_fill(inside.unsqueeze(2), 0.0), mask


class Permute:
    """Cuts the series into so many parts, as long as each other, and shuffles them."""

    keeps_steps = False

    def __init__(self, parts: int = 4):
        self.parts = int(_at_least(1, parts=parts))

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        steps = x.shape[1]
        step = torch.arange(steps, device=x.device)
        part = step * self.parts // mask.sum(dim=1, keepdim=True).clamp(min=1)
        order = torch.rand(len(x), self.parts, device=x.device).argsort(dim=1)
        rank = order.gather(1, part.clamp(max=self.parts - 1))
        key = torch.where(mask, rank, self.parts) * steps + step
        return gather_steps(x, key.argsort(dim=1)), mask


class Rotate:
    """Turns pairs of channels, x and y of a point, about the origin, by up to so many degrees."""

    keeps_steps = True

    def __init__(self, degrees: float = 20.0):
        self.degrees = _at_least(0, degrees=degrees)

    def __call__(self, x: Values, mask: Mask) -> Augmented:
        if x.shape[2] % 2:
            raise InputError(f"{x.shape[2]} channels are no pairs of x and y that could be turned")
        turn = (2 * torch.rand(len(x), 1, 1, device=x.device) - 1) * math.radians(self.degrees)
        across, down = x[..., ::2], x[..., 1::2]
        turned = torch.stack(
            [across * turn.cos() - down * turn.sin(), across * turn.sin() + down * turn.cos()],
            dim=3,
        )
        return turned.flatten(2).to(x.dtype), mask


def apply(changes: Sequence[Change], x: Values, mask: Mask) -> Augmented:
    """One change after the other."""
    for change in changes:
        x, mask = change(x, mask)
    return x, mask


def _at_least(minimum: float, **given: float) -> float:
    [(name, value)] = given.items()
    if value < minimum:
        raise InputError(f"{name}={value} must be at least {minimum}")
    return value
