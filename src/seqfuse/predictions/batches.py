"""Batches to predict: what was read, joined and cut to a size that suits the memory."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError

READ = 64
"""Items that are read at a time."""
MOST = 1024
"""Items of a batch: larger ones are no faster."""
CELLS = 2**20
"""Values of a batch: of 16 channels or fewer, some 65,000 steps, 0.3 GB in a wide net."""
LEAST_CHANNELS = 16
"""As which fewer count, because a net is wider than its input."""


class Part(NamedTuple):
    """Some items, read together."""

    batch: Batch
    items: Mapping[str, np.ndarray] = {}
    """What the user calls each item, by column."""
    steps: Mapping[str, Sequence[Any]] = {}
    """What the user calls each step of each item, by column."""

    def cut(self, rows: slice) -> "Part":
        """Some of the items."""
        x, mask = self.batch.x, self.batch.mask
        batch = Batch(
            {name: one[rows] for name, one in x.items()} if isinstance(x, dict) else x[rows],
            {name: one[rows] for name, one in mask.items()} if isinstance(x, dict) else mask[rows],
            self.batch.y[rows],
            self.batch.index[rows],
        )
        items = {name: one[rows] for name, one in self.items.items()}
        return Part(batch, items, {name: one[rows] for name, one in self.steps.items()})


def in_parts(items: Any) -> Iterator[Batch]:
    """The items of a data set as they are read."""
    for first in range(0, len(items), READ):
        yield items.__getitems__(range(first, min(first + READ, len(items))))


def check_batch_size(size: int | str) -> None:
    """Raises InputError unless it is `auto` or a whole number from 1."""
    if size != "auto" and (type(size) is not int or size < 1):
        raise InputError(f"batch_size={size} must be auto or at least 1")


def regroup(parts: Iterable[Part], size: int | str = "auto") -> Iterator[Part]:
    """The same items in the same order, in batches.

    Args:
        parts: as they were read, perhaps from several files.
        size: items of a batch; `auto` as many as `CELLS` and `MOST` allow.
    """
    waiting: list[Part] = []
    count = cells = 0
    for part in parts:
        rest, own = part, _cells(part.batch.x)
        while here := len(rest.batch.index):
            cells = max(cells, own)
            most = size if isinstance(size, int) else max(1, min(MOST, CELLS // cells))
            if waiting and (most <= count or not _alike(waiting[0], rest)):
                yield _joined(waiting)
                waiting, count, cells = [], 0, 0
                continue
            taken = min(here, most - count)
            waiting.append(rest if taken == here else rest.cut(slice(taken)))
            rest, count = rest.cut(slice(taken, None)), count + taken
            if count == most:  # it does not wait for what is not read yet
                yield _joined(waiting)
                waiting, count, cells = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _cells(x: Any) -> int:
    """Values of the longest item, of all its sources."""
    parts = list(x.values()) if isinstance(x, dict) else [x]
    return sum(one.shape[1] * max(math.prod(one.shape[2:]), LEAST_CHANNELS) for one in parts)


def _alike(first: Part, second: Part) -> bool:
    """Whether both have the same sources, and names of one kind."""
    kinds = [{name: one.dtype.kind for name, one in part.items.items()} for part in (first, second)]
    sources = [part.batch.x for part in (first, second)]
    names = [set(one) if isinstance(one, dict) else set() for one in sources]
    return (
        kinds[0] == kinds[1] and names[0] == names[1] and first.steps.keys() == second.steps.keys()
    )


def _joined(parts: list[Part]) -> Part:
    """All items, each source as long as its longest."""
    if len(parts) == 1:
        return parts[0]
    batches = [part.batch for part in parts]
    first = parts[0]
    batch = Batch(
        _stacked([one.x for one in batches]),
        _stacked([one.mask for one in batches]),
        _stacked([one.y for one in batches]),
        _stacked([one.index for one in batches]),
    )
    items = {name: np.concatenate([one.items[name] for one in parts]) for name in first.items}
    steps = {name: [each for one in parts for each in one.steps[name]] for name in first.steps}
    return Part(batch, items, steps)


def _stacked(tensors: list[Any]) -> Any:
    first = tensors[0]
    if isinstance(first, dict):
        return {name: _stacked([one[name] for one in tensors]) for name in first}
    if first.ndim == 1:
        return torch.cat(tensors)
    longest = max(one.shape[1] for one in tensors)
    return torch.cat([_padded(one, longest) for one in tensors])


def _padded(x: Tensor, steps: int) -> Tensor:
    """(b t ...) with zeros up to so many steps: what no mask lets through."""
    if x.shape[1] == steps:
        return x
    return torch.cat([x, x.new_zeros(len(x), steps - x.shape[1], *x.shape[2:])], dim=1)
