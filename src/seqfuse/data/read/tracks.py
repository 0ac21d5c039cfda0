"""What one device recorded: rows with a time, recording after recording."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.numbers import as_float32

PARTS = (("id",), ("subject", "execution"))
"""Arrays that tell recordings apart; the first of several is the person."""
MOST = 10
"""Steps for each sample of a recording: with more of them, nearly all would be made up."""


class Track:
    """The rows of one device.

    Args:
        arrays: `x` (rows, channels), `t_ms` (rows), and `subject` and `execution` or `id`
            (rows), without which all rows are one recording; perhaps `label` (rows).
        origin: where they were read; error messages begin with it.
        prefix: that the names of the arrays begin with.

    Raises:
        InputError: an array is missing, has another number of rows or no numbers, a recording
            lies in two places, or time runs backwards; names the array and the row.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], origin: str, prefix: str = ""):
        self.origin = origin
        self.arrays = arrays
        self.prefix = prefix
        self.x: NDArray[np.float32] = as_float32(self._numbers("x", 2), self._value_name)
        self.time: NDArray[np.int64] = self._times()
        self.labels = self._column("label") if self.has("label") else None
        self.rows: dict[str, slice] = {}
        """Of each recording, by name."""
        self.people: dict[str, Any] = {}
        """Who is seen in each recording."""
        self._cut()

    def _value_name(self, index: tuple[int, ...]) -> str:
        return f"{self.origin}: {self.prefix}x at row {index[0]}, channel {index[1]}"

    def has(self, name: str) -> bool:
        """Whether there is such an array."""
        return self.prefix + name in self.arrays

    def _column(self, name: str) -> np.ndarray:
        if not self.has(name):
            there = ", ".join(self.arrays)
            raise InputError(f"{self.origin} has no array '{self.prefix}{name}' (it has: {there})")
        array = self.arrays[self.prefix + name]
        if name != "x" and array.shape != (len(self.x),):
            raise InputError(
                f"{self.origin}: {self.prefix}{name} has shape {array.shape}, but "
                f"{self.prefix}x has {len(self.x)} rows"
            )
        return array

    def _numbers(self, name: str, axes: int) -> np.ndarray:
        array = self._column(name)
        if array.ndim != axes or array.dtype.kind not in "iuf" or not len(array):
            wanted = "(rows, channels)" if axes == 2 else "(rows)"
            raise InputError(
                f"{self.origin}: {self.prefix}{name} has shape {array.shape} of {array.dtype}, "
                f"expected numbers {wanted}"
            )
        return array

    def _times(self) -> NDArray[np.int64]:
        time = self._numbers("t_ms", 1)
        wrong = np.flatnonzero(~np.isfinite(time))
        if len(wrong):
            raise InputError(
                f"{self.origin}: {self.prefix}t_ms is {time[wrong[0]]} at row {wrong[0]}"
            )
        return time.astype(np.int64, copy=False)

    def _cut(self) -> None:
        names = next((names for names in PARTS if all(map(self.has, names))), ())
        columns = [self._column(name) for name in names]
        changes = [one[1:] != one[:-1] for one in columns]
        starts = np.flatnonzero(np.any(changes, axis=0)) + 1 if columns else np.array([], int)
        edges = [0, *starts.tolist(), len(self.x)]
        for first, end in pairwise(edges):
            parts = [_text(column[first]) for column in columns]
            name = "-".join(parts) or "0"
            if name in self.rows:
                raise InputError(
                    f"{self.origin}: at row {first} of {self.prefix}x recording {name} goes on "
                    "behind another one: put its rows together"
                )
            self.rows[name] = slice(first, end)
            self.people[name] = parts[0] if parts else "0"

    def check(self, name: str) -> None:
        """Raises InputError if a recording has infinite values, or time runs backwards in it."""
        rows = self.rows[name]
        back = np.flatnonzero(np.diff(self.time[rows]) < 0)
        if len(back):
            raise InputError(
                f"{self.origin}: {self.prefix}t_ms runs backwards at row "
                f"{rows.start + back[0] + 1} (recording {name})"
            )
        wrong = np.argwhere(np.isinf(self.x[rows]))
        if len(wrong):
            row, channel = wrong[0]
            raise InputError(
                f"{self.origin}: {self.prefix}x has an infinite value at row {rows.start + row}, "
                f"channel {channel}"
            )

    def check_steps(self, name: str, width: float) -> None:
        """Raises InputError if a recording is mostly a gap, or its times are no milliseconds."""
        time = self.time[self.rows[name]]
        if (time[-1] - time[0]) / width <= MOST * len(time):
            return
        longest = int(np.diff(time).argmax()) + 1
        raise InputError(
            f"{self.origin}: {self.prefix}t_ms of recording {name} goes from {time[0]} to "
            f"{time[-1]} in {len(time)} rows, the longest gap before row "
            f"{self.rows[name].start + longest}: give milliseconds, and cut recordings at gaps"
        )

    def span(self, name: str) -> tuple[int, int]:
        """First and last time of a recording."""
        time = self.time[self.rows[name]]
        return int(time[0]), int(time[-1])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
