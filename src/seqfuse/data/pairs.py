"""Two views of each series, for nets that learn without labels."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from seqfuse.data import augment
from seqfuse.data.augment import Change, Mask, Values
from seqfuse.runtime.errors import InputError


class View(NamedTuple):
    """One look at each series of a batch."""

    x: Values
    mask: Mask
    shared: slice
    """Its steps that the other view has, too, in the same order."""


class Changed:
    """Each view is changed at random, on its own.

    Args:
        changes: by name, in order (see `seqfuse.data.augment`); null leaves one out.
    """

    def __init__(self, changes: Mapping[str, Change | None]):
        self.changes = [change for change in changes.values() if change]

    def __call__(self, x: Values, mask: Mask) -> tuple[View, View]:
        one, two = (augment.apply(self.changes, x, mask) for _ in range(2))
        return View(*one, slice(None)), View(*two, slice(None))


class Overlapping:
    """Two stretches of the series that overlap, as in TS2Vec (Yue et al. 2022, section 3.2).

    All series of a batch are cut alike; the shortest has a step in both.

    Args:
        changes: of each stretch, by name, in order; they keep the steps. null leaves one out.

    Raises:
        InputError: a change moves steps.
    """

    def __init__(self, changes: Mapping[str, Change | None]):
        self.changes = [change for change in changes.values() if change]
        for name, change in changes.items():
            if change and not getattr(change, "keeps_steps", False):
                raise InputError(
                    f"task.pairs.changes.{name} moves steps, which are compared one by one here: "
                    f"type task.pairs.changes.{name}=null"
                )

    def __call__(self, x: Values, mask: Mask) -> tuple[View, View]:
        steps, shortest = x.shape[1], int(mask.sum(dim=1).min())
        length = _draw(1, steps)
        first = _draw(0, min(steps - length, shortest - 1))
        end = first + length
        before, behind = _draw(0, first), _draw(end, steps)
        one = augment.apply(self.changes, x[:, before:end], mask[:, before:end])
        two = augment.apply(self.changes, x[:, first:behind], mask[:, first:behind])
        return View(*one, slice(first - before, None)), View(*two, slice(0, length))


def _draw(least: int, most: int) -> int:
    return int(torch.randint(least, most + 1, ()))
