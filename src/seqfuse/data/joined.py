"""Sources of one rate as channels of one series."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.data.blocks import Block, Blocks
from seqfuse.data.read.sources import Sources
from seqfuse.data.series import Series
from seqfuse.runtime.errors import InputError


class StepSeries(Series):
    """Series whose steps have names of the user's own."""

    steps: dict[str, Any]
    """Names of the steps of each series, by column."""
    unit: str
    """What there are several of."""


class Joined:
    """Puts the channels of all sources beside each other.

    Args:
        dataset: reads sources, such as `Devices`.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset
        self.has_validation: bool = dataset.has_validation
        self.endings: tuple[str, ...] = dataset.endings

    def __call__(self, split: str) -> StepSeries:
        """The series of a split.

        Raises:
            InputError: whatever is wrong with the sources, or they have different rates.
        """
        return join(self.dataset(split))

    def file(self, path: Path) -> Blocks:
        """The series of a file."""
        return JoinedFile(self.dataset.file(path))


class JoinedFile:
    """Series of one file.

    Args:
        items: the sources of the file.
    """

    def __init__(self, items: Blocks):
        self.items = items
        self.has_ids = items.has_ids
        self.size = items.size

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many series."""
        for block in self.items.blocks(size):
            yield block._replace(items=join(block.items))


def join(sources: Sources) -> StepSeries:
    """The channels of all sources beside each other, in their order.

    Raises:
        InputError: a source has another rate than the clock.
    """
    for name, part in sources.parts.items():
        if not np.array_equal(part.lengths, sources.clock):  # type: ignore[attr-defined]
            raise InputError(
                f"'{name}' has another rate than the others, and cannot be joined to them: make "
                "data.rate one number, or take data=har_fusion"
            )
    x = np.concatenate([part.x for part in sources.parts.values()], axis=2)
    series = StepSeries(x, sources.y, sources.groups, sources.origin)
    series.steps, series.unit = sources.steps, sources.unit
    return series
