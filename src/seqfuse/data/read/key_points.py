"""Sequences of key points: a row per sequence, cut from recordings by a sliding window."""

import csv
import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.blocks import Block
from seqfuse.data.series import Series
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.lines import lines_of

ENDINGS = (".csv", ".csv.gz")
AXES = 2  # x and y of a point


class KeyPoints:
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
        val_share: of the next block, for validation; 0 trains on all of it.
        root: folder that relative names start from.

    Raises:
        InputError: a knob is out of range.
    """

    has_validation = True
    endings = ENDINGS

    def __init__(
        self,
        file: str,
        names: str,
        test_fold: int = 0,
        test_folds: int = 5,
        gap: int = 16,
        val_share: float = 0.5,
        root: str = ".",
    ):
        if test_folds < 3:
            raise InputError(f"data.test_folds={test_folds} must be at least 3")
        if not 0 <= test_fold < test_folds:
            raise InputError(f"data.test_fold={test_fold} must be from 0 to {test_folds - 1}")
        if gap < 0:
            raise InputError(f"data.gap={gap} must be at least 0")
        if not 0 <= val_share <= 1:
            raise InputError(f"data.val_share={val_share} must be from 0 to 1")
        self.file_name, self.names, self.root = file, names, Path(root)
        self.test_fold, self.test_folds = test_fold, test_folds
        self.gap, self.val_share = gap, val_share

    def __call__(self, split: str) -> Series:
        """Reads `train`, `val` or `test`.

        Raises:
            InputError: the file is missing or broken, or a class has too few rows.
        """
        path = self._find(self.file_name)
        rows = list(read(path))
        if not rows:
            raise InputError(f"{path} holds no sequence")
        numbers = np.array([self._number(path, row) for row in rows])
        taken = self.rows(numbers, split)
        names = self._names(numbers)
        return Series(
            [rows[i].points for i in taken], [names[numbers[i]] for i in taken], origin=str(path)
        )

    def rows(self, numbers: NDArray[np.int64], split: str) -> NDArray[np.int64]:
        """Rows of a split, in their order.

        Args:
            numbers: (n) classes of all rows.
            split: `train`, `val` or `test`.

        Raises:
            InputError: a class has too few rows.
        """
        if split == "val" and not self.val_share:
            raise InputError(
                "data.val_share=0 leaves nothing to validate on: type data.num_folds=0 "
                "task.monitor=train/loss"
            )
        parts = []
        for number in np.unique(numbers):
            own = np.flatnonzero(numbers == number)
            parts.append(own[self._block(len(own), split)])
            if not len(parts[-1]):
                raise InputError(
                    f"class {number} has {len(own)} rows: none is left to {split} on beside "
                    f"data.gap={self.gap}"
                )
        return np.sort(np.concatenate(parts))

    def _block(self, total: int, split: str) -> NDArray[np.bool_]:
        """Which rows of a class belong to a split."""
        edges = np.arange(self.test_folds + 1) * total // self.test_folds
        test = edges[self.test_fold], edges[self.test_fold + 1]
        after = (self.test_fold + 1) % self.test_folds
        val = edges[after], edges[after] + int(self.val_share * (edges[after + 1] - edges[after]))
        if split == "test":
            return _within(total, *test)
        if split == "val":
            return _within(total, *val) & ~_within(total, *test, self.gap)
        far = ~_within(total, *test, self.gap)
        return far & ~_within(total, *val, self.gap) if self.val_share else far

    def file(self, path: Path) -> "KeyPointFile":
        """Sequences to predict."""
        return KeyPointFile(path)

    def _find(self, name: str) -> Path:
        for path in (Path(name), self.root / name):
            if path.is_file():
                return path
        raise InputError(f"{name} is not there, nor in {self.root}: check data.file and data.names")

    def _names(self, numbers: NDArray[np.int64]) -> list[str]:
        path = self._find(self.names)
        names = [line.strip() for _, line in lines_of(path) if line.strip()]
        if numbers.max() >= len(names):
            raise InputError(f"{path} has {len(names)} names, but there is a class {numbers.max()}")
        return names

    def _number(self, path: Path, row: "Row") -> int:
        if row.label is None or not row.label.isdecimal():
            raise InputError(
                f"{path}, line {row.line}: expected a class number from 0 on, then x and y of each "
                f"step, but the line has {len(row.points) * AXES} values behind '{row.label}'"
            )
        return int(row.label)


def _within(total: int, first: int, end: int, gap: int = 0) -> NDArray[np.bool_]:
    place = np.arange(total)
    return (place >= first - gap) & (place < end + gap)


class Row(NamedTuple):
    """One sequence."""

    line: int
    label: str | None
    points: NDArray[np.float32]
    """(t 2)"""


def read(path: Path) -> Iterator[Row]:
    """Sequences of a file, line by line; where a line has an odd number of values, the first is
    its label.

    Raises:
        InputError: a line is no such sequence.
    """
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", newline="") as file:
            for line, values in enumerate(csv.reader(file), 1):
                if values:
                    yield _row(path, line, values)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    except (OSError, EOFError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error})") from None


def _row(path: Path, line: int, values: list[str]) -> Row:
    label = values[0].strip() if len(values) % AXES else None
    try:
        points = np.array(values[len(values) % AXES :], dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {error}") from None
    if not len(points) or not np.isfinite(points).all():
        raise InputError(f"{path}, line {line} needs x and y, as numbers, of each step")
    return Row(line, label, points.reshape(-1, AXES))


class KeyPointFile:
    """Sequences to predict, in the format of the training data; labels are ignored.

    Args:
        path: of the file.

    Raises:
        InputError: no such format.
    """

    has_ids = False
    size = None

    def __init__(self, path: Path):
        if not path.name.lower().endswith(ENDINGS):
            raise InputError(f"{path}: the ending must be one of: {', '.join(ENDINGS)}")
        self.path = path

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many sequences.

        Raises:
            InputError: a line is no sequence.
        """
        rows = read(self.path)
        for first in itertools.count(0, size):
            if not (part := list(itertools.islice(rows, size))):
                return
            found = [row.points for row in part], [""] * len(part)
            series = Series(*found, origin=str(self.path), first=first)
            yield Block(series, np.arange(first, first + len(part)))
