"""Axis letters, the records that travel between the parts, and the ranges these check.

| letter | axis |
|---|---|
| b | series in a batch |
| t | time steps (after pooling: fewer) |
| c | channels of the raw series |
| d | features |
| h | heads of an attention, or steps of a horizon |
| q | queries: one per prediction |
| k | classes |
| n | series in a data set |
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from torch import Tensor

CLOCK = "clock"
"""The first of several sources, where any of the others may be missing: it has no channel, and
its mask says which steps there are. A missing source has no key, or a mask that is all false."""


class Batch(NamedTuple):
    """What a loader yields."""

    x: Any
    """(b t c) values; steps beyond the end of a series are zero. Ids of words and their parts
    are whole numbers, frames (b t c height width); several sources are a dict of such,
    at rates of their own; all sources of an item span the same time."""
    mask: Any
    """(b t) boolean, true = a real step; real steps come first. A dict with the same keys."""
    y: Tensor
    """(b) class numbers, (b t) of steps (of the first source), or whatever the loss takes."""
    index: Tensor
    """(b) rows of the data set, so that predictions can be joined to it."""


class Output(NamedTuple):
    """What a net returns."""

    prediction: Tensor
    """(b k) unnormalised class scores, or whatever the head makes."""
    weights: Tensor
    """(b q t') attention weights; each row sums to 1 over real steps."""


def positive(**knobs: int) -> None:
    """Raises ValueError unless every knob is a whole number of at least 1."""
    for name, value in knobs.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number of at least 1")


def fraction(**knobs: float) -> None:
    """Raises ValueError unless every knob is in [0, 1)."""
    for name, value in knobs.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r} must be at least 0 and below 1")


def choice(options: Collection[str], **knobs: str) -> None:
    """Raises ValueError unless every knob is one of the options."""
    for name, value in knobs.items():
        if value not in options:
            raise ValueError(f"{name}={value!r} must be one of: {', '.join(options)}")
