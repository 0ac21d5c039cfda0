"""Axis letters, records and interfaces of the parts of a net, and the ranges they check.

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

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

CLOCK = "clock"
"""The first of several sources, where any of the others may be missing: it has no channel, and
its mask says which steps there are. A missing source has no key, or a mask that is all false."""


class Batch(NamedTuple):
    """A batch of a loader."""

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
    weight: Tensor | None = None
    """(b) how much each series counts in training, where they do not all count alike."""


class Output(NamedTuple):
    """Prediction of a net, with its attention weights."""

    prediction: Tensor
    """(b k) unnormalised class scores, or whatever the head makes."""
    weights: Tensor
    """(b q t') attention weights; each row sums to 1 over real steps."""
    alone: Mapping[str, Tensor] = {}
    """Predictions of each part alone, by name, where `prediction` joins several."""
    disagreement: Tensor | None = None
    """(b ...) how far members of an ensemble are apart (`predicting.ensemble`); None of one net."""
    encoding: Tensor | None = None
    """(b q d) queries, which the head makes a prediction of."""


@runtime_checkable
class Block(Protocol):
    """A stem, cnn or lstm."""

    out_channels: int

    def __call__(self, x: Tensor, mask: Tensor, /) -> tuple[Tensor, Tensor]:
        """Features (b t d) and a mask (b t) to the same, perhaps at fewer steps."""
        ...


@runtime_checkable
class Strided(Protocol):
    """A block that merges steps."""

    stride: int
    """Steps that become one."""


@runtime_checkable
class Adaptive(Protocol):
    """A block that merges the more steps, the longer a series is."""

    max_steps: int
    """Steps that come out, at most."""


class ReadOut(nn.Module):
    """An attention or a skip: states (b t d) and a mask to queries (b q d) and weights (b q t)."""

    out_channels: int
    num_queries: int = 1
    keeps_steps: bool = False
    """Whether each step is a query."""
    context_channels: int = 0
    """Features (b q e) that are known of each output segment; where there are any, `forward`
    takes them, too."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.out_channels = in_channels


class Fitted(nn.Module):
    """A bank: fitted to training rows once, before the first step, and joined to a net.

    Args:
        share: of its own prediction; the net's has the rest.
    """

    is_fitted: Tensor

    def __init__(self, share: float):
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} must be from 0 to 1")
        self.share = share
        self.register_buffer("is_fitted", torch.tensor(False))

    def join(self, net: Tensor, bank: Tensor) -> Tensor:
        raise NotImplementedError


def positive(**values: int) -> None:
    """Raises ValueError unless every value is a whole number of at least 1."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number of at least 1")


def fraction(**values: float) -> None:
    """Raises ValueError unless every value is in [0, 1)."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r} must be at least 0 and below 1")


def choice(options: Collection[str], **values: str) -> None:
    """Raises ValueError unless every value is one of the options."""
    for name, value in values.items():
        if value not in options:
            raise ValueError(f"{name}={value!r} must be one of: {', '.join(options)}")
