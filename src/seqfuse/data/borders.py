"""Where one part of a table ends and the next begins: splits by time."""

import itertools
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.tables import Table

PARTS = ("train", "val", "calibration", "test")
Part = dict[str, tuple[int, int]]


def borders(table: Table, split: Sequence[Any]) -> list[Part]:
    """First row and row after the last of each part, for each series of the table.

    Args:
        split: as `Windows` takes it.

    Raises:
        InputError: more rows are wanted than there are.
    """
    return [_border(table, split, *edge) for edge in itertools.pairwise(table.offsets.tolist())]


def _border(table: Table, split: Sequence[Any], first: int, end: int) -> Part:
    if isinstance(split[0], str):
        days = np.array(split, dtype="datetime64[s]")
        found = [first, *(first + np.searchsorted(table.time[first:end], days)).tolist(), end]
        return _named(found)
    return edges(split, first, end, table.origin)


def edges(split: Sequence[Any], first: int, end: int, origin: str) -> Part:
    """The same for rows without dates; `origin` begins an error message."""
    size = end - first if isinstance(split[0], float) else 1
    found = [first, *(first + int(size * share + 1e-6) for share in np.cumsum(split))]
    if found[-1] > end:
        raise InputError(f"{origin}: data.split={list(split)} is more than its {end - first} rows")
    return _named(found)


def _named(edges: Sequence[int]) -> Part:
    names = PARTS if len(edges) == 5 else [part for part in PARTS if part != "calibration"]
    return dict(zip(names, itertools.pairwise(edges), strict=True))


def check_split(split: Sequence[Any]) -> None:
    """Raises InputError unless it is shares, numbers of rows, or dates."""
    dates = len(split) in (2, 3) and all(isinstance(s, (str, date)) for s in split)
    if dates:
        _check_dates([str(day) for day in split])
    counts = len(split) in (3, 4) and all(isinstance(s, int) and s > 0 for s in split)
    shares = len(split) in (3, 4) and all(isinstance(s, float) and 0 < s < 1 for s in split)
    if not (dates or counts or (shares and abs(sum(split) - 1) < 1e-6)):
        raise InputError(
            f"data.split={list(split)}: give shares that add up to 1, such as [0.7,0.1,0.2], "
            "numbers of rows, or the dates on which validation and test begin"
        )


def _check_dates(days: list[str]) -> None:
    try:
        stamps = np.array(days, dtype="datetime64[s]")
    except ValueError as error:
        raise InputError(f"data.split={days}: {error}") from None
    if not np.all(stamps[1:] > stamps[:-1]):
        raise InputError(f"data.split={days}: give the dates in order")
