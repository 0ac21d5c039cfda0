"""Sequences of key points: a row per sequence, cut from recordings by a sliding window."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.items import Source
from seqfuse.runtime.errors import InputError, check_minimum, number_within
from seqfuse.runtime.files import find, lines_of
from seqfuse.runtime.read.labelled import read_points
from seqfuse.runtime.recordings import Recordings


@dataclass(eq=False, repr=False)
class KeyPoints(Source):
    """Rows of a class number and then x and y of each step, without a header.

    Neighbouring rows are windows that overlap, so they are never shuffled. The rows of each
    class are cut, in their order, into `test_folds` blocks: one is the test split, the beginning
    of the next one the validation split. Beside the test split and around the validation
    split, `gap` rows are left out; the test split stays whole.

    Args:
        file: plain or gzipped.
        names: file with the name of each class number, one per line.
        test_fold: which block is the test split.
        test_folds: how many there are.
        gap: rows between two splits; as many as a window has steps, or more.
        val_fraction: of the next block, for validation; 0 trains on all of it.
        root: folder that relative names start from.
    """

    has_validation = True

    file: str
    names: str
    test_fold: int = 0
    test_folds: int = 5
    gap: int = 16
    val_fraction: float = 0.5
    root: str = "."

    def __post_init__(self) -> None:
        check_minimum(3, test_folds=self.test_folds)
        number_within("data.test_fold", self.test_fold, 0, self.test_folds - 1)
        check_minimum(0, gap=self.gap)
        number_within("data.val_fraction", self.val_fraction, 0, 1)

    def __call__(self, split: str) -> Recordings:
        path = find(self.file, self.root, "data.file and data.names")
        blocks = list(read_points(path, labelled=True))
        if not blocks:
            raise InputError(f"{path} holds no sequence")
        items = Recordings.joined(blocks)
        numbers = np.array([int(label) for label in items.labels or ()])
        taken, names = self.rows(numbers, split), self._names(numbers)
        items = items.take(taken)
        return replace(items, labels=[names[numbers[row]] for row in taken])

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "points"}

    def rows(self, numbers: NDArray[np.int64], split: str) -> NDArray[np.int64]:
        if split == "val" and not self.val_fraction:
            raise InputError(
                "data.val_fraction=0 leaves nothing to validate on: type data.num_folds=0 "
                "task.monitor=train/loss"
            )
        parts = []
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            parts.append(rows[self._block(len(rows), split)])
            if not len(parts[-1]):
                raise InputError(
                    f"class {number} has {len(rows)} rows: none is left to {split} on beside "
                    f"data.gap={self.gap}"
                )
        return np.sort(np.concatenate(parts))

    def _block(self, total: int, split: str) -> NDArray[np.bool_]:
        edges = np.arange(self.test_folds + 1) * total // self.test_folds
        test = edges[self.test_fold], edges[self.test_fold + 1]
        after = (self.test_fold + 1) % self.test_folds
        length = int(self.val_fraction * (edges[after + 1] - edges[after]))
        val = edges[after], edges[after] + length
        if split == "test":
            return _within(total, *test)
        if split == "val":
            return _within(total, *val) & ~_within(total, *test, self.gap)
        far = ~_within(total, *test, self.gap)
        return far & ~_within(total, *val, self.gap) if self.val_fraction else far

    def _names(self, numbers: NDArray[np.int64]) -> list[str]:
        path = find(self.names, self.root, "data.file and data.names")
        names = [line.strip() for _, line in lines_of(path) if line.strip()]
        if numbers.max() >= len(names):
            raise InputError(f"{path} has {len(names)} names, but there is a class {numbers.max()}")
        return names


def _within(total: int, first: int, end: int, gap: int = 0) -> NDArray[np.bool_]:
    place = np.arange(total)
    return (place >= first - gap) & (place < end + gap)
