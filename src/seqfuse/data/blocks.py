"""Items to predict, read block by block: a file may be larger than the memory."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from seqfuse.data.read.array_file import ArrayFile
from seqfuse.data.series import Series
from seqfuse.runtime.array_items import LAYOUTS, by_time, check_axes, check_lengths, cut
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.formats import SERIES_ENDINGS, series_in

ENDINGS = (".npz", ".npy", *SERIES_ENDINGS)


class Block(NamedTuple):
    """Some items of a file."""

    items: Any
    """`Series`, or another `Labelled`; without labels."""
    ids: np.ndarray
    """(n) the user's own, or numbers of rows from 0 on."""
    steps: Mapping[str, Sequence[Any]] = {}
    """What the user calls each step of each item, such as tokens or times; by column."""


class Blocks(Protocol):
    """Items of one file: what a source's `file(path)` returns."""

    has_ids: bool
    size: int | None
    """Items in the file, where that is known beforehand."""

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many items, in the order of the file."""
        ...


class SeriesFile:
    """Series of one file, without their labels.

    An .npz holds `x` and perhaps `id` and `lengths`; of an .npy, .ts, .tsv or .arff (plain or
    gzipped) the rows are numbered. In a .tsv or .arff a `?` stands in for the label.

    Args:
        path: of the file.
        channels: that a series must have.
        layout: order of the axes of x, `btc` or `bct`.

    Raises:
        InputError: no such format, or x cannot be read as such series.
    """

    def __init__(self, path: Path, channels: int, layout: str = "btc"):
        if not path.name.lower().endswith(ENDINGS):
            raise InputError(f"{path}: the ending must be one of: {', '.join(ENDINGS)}")
        self.path, self.channels, self.layout = path, channels, layout
        self.has_ids = self.has_lengths = False
        self.size: int | None = None
        """Series in the file, where its head says so."""
        if not path.name.endswith(SERIES_ENDINGS):
            self._look()

    def _look(self) -> None:
        with ArrayFile(self.path, "x") as x:
            check_axes(x.shape, x.dtype, self.path)
            self.size = x.shape[0]
            steps, channels = x.shape[1:] if self.layout == "btc" else x.shape[:0:-1]
            self.has_ids, self.has_lengths = "id" in x.names, "lengths" in x.names
        if not self.size:
            raise InputError(f"{self.path} holds no series: x has shape {x.shape}")
        if channels != self.channels:
            raise InputError(
                f"{self.path}: x has shape {x.shape}, read as {LAYOUTS[self.layout]}: {channels} "
                f"channels where {self.channels} were trained on{self._hint(steps)}"
            )

    def _hint(self, steps: int) -> str:
        other = " (if the last two axes are the other way round, save x.transpose(0, 2, 1))"
        return other if steps == self.channels else ""

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many series, in the order of the file.

        Raises:
            InputError: a series is broken; names its row, or its line and column.
        """
        return self._lines(size) if self.size is None else self._slices(size, self.size)

    def _slices(self, size: int, rows: int) -> Iterator[Block]:
        ids, lengths = self._ids(rows), self._lengths(rows)
        with ArrayFile(self.path, "x") as x:
            for first in range(0, rows, size):
                block = by_time(x.read(min(size, rows - first)), self.layout)
                ends = None if lengths is None else lengths[first : first + size]
                block = cut(block, ends, f"{self.path}: lengths", first)
                yield self._block(block, ids[first : first + size], first)

    def _lengths(self, rows: int) -> np.ndarray | None:
        if not self.has_lengths:
            return None
        with ArrayFile(self.path, "lengths") as array:
            check_lengths(array.shape, array.dtype, rows, f"{self.path}: lengths")
            return array.read(rows)

    def _ids(self, rows: int) -> np.ndarray:
        if not self.has_ids:
            return np.arange(rows)
        with ArrayFile(self.path, "id") as array:
            if array.shape != (rows,) or array.dtype.kind not in "iufUS":
                raise InputError(
                    f"{self.path}: id has shape {array.shape} of {array.dtype}, expected {rows} "
                    "numbers or words, one per series"
                )
            ids = array.read(rows)
        return np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids

    def _lines(self, size: int) -> Iterator[Block]:
        rows = series_in(self.path, labelled=False)
        for first in itertools.count(0, size):
            part = [self._checked(*row) for row in itertools.islice(rows, size)]
            if not part:
                return
            yield self._block(part, np.arange(first, first + len(part)), first)

    def _checked(self, line: int, series: np.ndarray, _: str) -> np.ndarray:
        if series.shape[1] != self.channels:
            raise InputError(
                f"{self.path}, line {line} has {series.shape[1]} channels, but "
                f"{self.channels} were trained on"
            )
        return series

    def _block(self, x: Any, ids: np.ndarray, first: int) -> Block:
        return Block(Series(x, [""] * len(x), origin=str(self.path), first=first), ids)
