"""Batches to predict: what was read, joined and cut to a size that suits the memory."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqfuse.runtime.engine import Feeds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.recordings import Recordings

READ = 64
"""Items that are read at a time."""
MAX_ITEMS = 1024
"""Items of a batch: larger ones are no faster."""
MAX_VALUES = 2**20
"""Values of a batch: of 16 channels or fewer, some 65,000 steps, 0.3 GB in a wide net."""
MIN_CHANNELS = 16
"""Fewer channels count as so many, because a net is wider than its input."""


class Block(NamedTuple):
    """Items, as a net takes them."""

    items: Recordings
    columns: Mapping[str, Sequence[Any]]
    """Columns that name each item, such as `id`."""

    def cut(self, first: int, end: int | None) -> "Block":
        """A selection of the items."""
        columns = {name: column[first:end] for name, column in self.columns.items()}
        return Block(self.items.take(range(len(self.items))[first:end]), columns)


def check_batch_size(size: int | str, key: str = "batch_size") -> None:
    """Raises InputError unless it is `auto` or a whole number from 1; `key` names it there."""
    if size != "auto" and (type(size) is not int or size < 1):
        raise InputError(f"{key}={size} must be auto or at least 1")


def regroup(blocks: Iterable[Block], size: int | str = "auto") -> Iterator[Block]:
    """Divides items into batches, in their order; `auto` takes as many as `MAX_VALUES` and
    `MAX_ITEMS` allow."""
    waiting: list[Block] = []
    count = largest = 0
    for rest in blocks:
        steps = _values(rest.items)
        while left := len(rest.items):
            largest = max(largest, steps)
            limit = size if isinstance(size, int) else min(MAX_ITEMS, MAX_VALUES // largest)
            limit = max(1, limit)
            if waiting and (limit <= count or not _alike(waiting[0], rest)):
                yield _joined(waiting)
                waiting, count, largest = [], 0, 0
                continue
            taken = min(left, limit - count)
            waiting.append(rest if taken == left else rest.cut(0, taken))
            rest, count = rest.cut(taken, None), count + taken
            if count == limit:  # it does not wait for what is not read yet
                yield _joined(waiting)
                waiting, count, largest = [], 0, 0
    if waiting:
        yield _joined(waiting)


def _values(items: Recordings) -> int:
    return sum(
        int(part.lengths.max(initial=0)) * max(math.prod(part.values.shape[1:]), MIN_CHANNELS)
        for part in (items, *items.sources.values())
    )


def _alike(first: Block, second: Block) -> bool:
    return (
        first.columns.keys() == second.columns.keys()
        and first.items.sources.keys() == second.items.sources.keys()
        and first.items.steps.keys() == second.items.steps.keys()
    )


def _joined(blocks: Sequence[Block]) -> Block:
    columns = {
        name: [row for block in blocks for row in block.columns[name]] for name in blocks[0].columns
    }
    return Block(Recordings.joined([block.items for block in blocks]), columns)


def feeds_of(items: Recordings) -> Feeds:
    """A batch as an engine takes it, each source as long as its longest item."""
    if not items.sources:
        x, mask = items.padded()
        return {"x": x, "mask": mask}
    feeds = {input_name("clock", "mask"): items.padded()[1]}
    for name, part in items.sources.items():
        feeds[input_name(name, "x")], feeds[input_name(name, "mask")] = part.padded()
    return feeds


def input_name(source: str, kind: str) -> str:
    """Name of a graph's input: x or the mask of a source."""
    return f"{source}_{kind}" if source else kind


def in_blocks(count: int, size: int) -> Iterator[np.ndarray]:
    """Numbers of items, some at a time."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))
