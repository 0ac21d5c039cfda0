"""Rows of a series on its clock: their order, their steps, and what is missing between them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.clock import Clock, Stamps
from seqfuse.runtime.read.table.stamps import shown


def clock_places(
    stamps: Stamps,
    clock: Clock | None,
    gaps: str,
    where: str,
    row: Callable[[int], str],
    finer: NDArray[np.bool_] | bool = False,
) -> NDArray[np.int64]:
    """(n) the step of the clock that each row of one series stands at.

    Args:
        stamps: of the rows of one series.
        clock: None: as most rows have it.
        gaps: `refuse`, `fill` or `ignore` (rows are the clock).
        where: begins an error message.
        row: what a row is called.
        finer: (n - 1) whether a row differs from the one above it by less than a second.
    """
    _check_order(stamps, where, row, finer)
    if gaps == "ignore" or len(stamps) < 2:
        return np.arange(len(stamps))
    clock = clock or Clock.of(stamps)
    places = clock.steps(stamps)
    for i in np.flatnonzero(places < 0)[:1]:
        raise InputError(
            f"{where}: {row(i)}: {shown(stamps[i])} is off the step of {clock}: bring the rows "
            "onto one clock, or type data.gaps=ignore"
        )
    missing = np.diff(places) - 1
    total = int(missing.sum())
    if total and gaps == "refuse":
        i = int(np.flatnonzero(missing)[0])
        closed = ", or data.gaps=ignore for days without trade" * (clock.unit == "weekday")
        raise InputError(
            f"{where}: {total:,} time stamps are missing, the first after {row(i)}, "
            f"{shown(stamps[i])}: type data.gaps=fill{closed}"
        )
    if total > len(stamps):
        i = int(missing.argmax())
        raise InputError(
            f"{where}: {total:,} time stamps are missing of {len(stamps):,}, most of them between "
            f"{row(i)}, {shown(stamps[i])}, and {row(i + 1)}, {shown(stamps[i + 1])}: correct "
            "these, or cut the series there; data.gaps=fill adds no more rows than there are"
        )
    return places


def _check_order(
    stamps: Stamps, where: str, row: Callable[[int], str], finer: NDArray[np.bool_] | bool
) -> None:
    """Checks that each row of a series is behind the one above it; arguments of `clock_places`."""
    seconds = np.diff(stamps).astype(np.int64)
    begins_anew = (seconds < 0).any() and 2 * len(np.unique(stamps)) <= len(stamps)
    for i in np.flatnonzero(seconds < 0)[: int(begins_anew)] + 1:
        (j, *_) = np.flatnonzero(stamps == stamps[i])
        raise InputError(
            f"{where}: {row(i)}: {shown(stamps[i])} stands in {row(j)}, too, as most do: drop one "
            "copy, or, of several series, type data.group=<column that tells them apart>"
        )
    for wrong, what in (
        (seconds < 0, "is before the row above it: sort the rows by time"),
        (
            (seconds == 0) & ~np.asarray(finer),
            "is there twice: type data.duplicates=last, or first, to keep one of them",
        ),
    ):
        for i in np.flatnonzero(wrong)[:1] + 1:
            raise InputError(f"{where}: {row(i)}: {shown(stamps[i])} {what}")


def is_newest_first(stamps: Stamps) -> bool:
    """Whether no row is behind the one above it, and some are before it."""
    steps = np.diff(stamps).astype(np.int64)
    return bool((steps <= 0).all() and (steps < 0).any())


def on_clock(values: NDArray[Any], places: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """(size) values at their steps, NaN at the others."""
    placed = np.full(size, np.nan)
    inside = places < size
    placed[places[inside]] = values[inside]
    return placed


def carried_on(values: NDArray[Any]) -> NDArray[Any]:
    """(t c) with the last value going on where one is missing; NaN before the first."""
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last < 0, np.nan, np.take_along_axis(values, last.clip(min=0), axis=0))
