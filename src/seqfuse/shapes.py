"""Axis letters, and the two records that travel between the parts.

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

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """What a loader yields."""

    x: Tensor
    """(b t c) values; steps beyond the end of a series are zero."""
    mask: Tensor
    """(b t) boolean, true = a real step; real steps come first."""
    y: Tensor
    """(b) class numbers, or whatever the loss takes."""
    index: Tensor
    """(b) rows of the data set, so that predictions can be joined to it."""


class Output(NamedTuple):
    """What a net returns."""

    prediction: Tensor
    """(b k) unnormalised class scores, or whatever the head makes."""
    weights: Tensor
    """(b q t') attention weights; each row sums to 1 over real steps."""
