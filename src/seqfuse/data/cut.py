"""Windows of long series, each with one label of its own."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.data.blocks import Block, Blocks
from seqfuse.data.series import Series
from seqfuse.runtime.errors import InputError


class Cut:
    """Cuts series with a label per step into windows; the most frequent label is the window's.

    Steps behind the last whole window are left out; a series shorter than one is a window.

    Args:
        dataset: called with a split, returns `Series` with labels per step; see `Joined`.
        size: steps of a window.
        every: steps from one window to the next.

    Raises:
        InputError: a knob is below 1.
    """

    def __init__(self, dataset: Any, size: int, every: int):
        if min(size, every) < 1:
            raise InputError(f"data.size={size} and data.every={every} must be at least 1")
        self.dataset, self.size, self.every = dataset, size, every
        self.has_validation: bool = getattr(dataset, "has_validation", False)
        self.endings: tuple[str, ...] = dataset.endings

    def __call__(self, split: str) -> Series:
        """The windows of a split; a person, or whatever groups are, stays in one piece.

        Raises:
            InputError: whatever is wrong with the series, or they have no labels per step.
        """
        series = self.dataset(split)
        if len(series) and isinstance(series.y[0], str):
            raise InputError(f"{series.origin}: only series with a label per step can be cut")
        places = self.places(series)
        labels = [_most_frequent(series.y[i][a : a + self.size]) for i, a in places]
        return self.windows(series, places, labels)

    def places(self, series: Series) -> list[tuple[int, int]]:
        """Of each window, the row of its series and its first step."""
        return [
            (row, first)
            for row, steps in enumerate(series.lengths.tolist())
            for first in range(0, max(steps - self.size, 0) + 1, self.every)
        ]

    def windows(self, series: Series, places: list[tuple[int, int]], y: list[str]) -> Series:
        """The windows at these places."""
        ends = np.minimum(series.lengths, series.x.shape[1]).tolist()
        x = [series.x[i, a : min(a + self.size, ends[i])] for i, a in places]
        groups = None if series.groups is None else [series.groups[i] for i, _ in places]
        return Series(x, y, groups, series.origin)

    def file(self, path: Path) -> Blocks:
        """The windows of a file."""
        return CutFile(self, self.dataset.file(path))


class CutFile:
    """Windows of one file; `<id>-<first step>` names each.

    Args:
        cut: cuts them.
        items: the series of the file.
    """

    has_ids = True
    size: int | None = None

    def __init__(self, cut: Cut, items: Blocks):
        self.cut, self.items = cut, items

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of the windows of so many series."""
        for block in self.items.blocks(size):
            places = self.cut.places(block.items)
            windows = self.cut.windows(block.items, places, [""] * len(places))
            yield Block(windows, np.array([f"{block.ids[i]}-{first}" for i, first in places]))


def _most_frequent(labels: list[str]) -> str:
    """Of labels as frequent as each other, the one that comes first."""
    return Counter(labels).most_common(1)[0][0]
