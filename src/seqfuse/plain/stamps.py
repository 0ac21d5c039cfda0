"""Tables by column: numbers, time stamps and their clock."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.plain.errors import InputError
from seqfuse.plain.items import Columns, number
from seqfuse.plain.records import rows_of

CALENDAR_PERIODS = {"hour": 24, "weekday": 7, "day": 31, "month": 12, "dayofyear": 366}
PARTS_OF_TIME = ("year", "month", "day", "hour", "minute", "second")
Stamps = NDArray[Any]
"""datetime64[s]"""


def read_columns(path: Path, delimiter: str = ",") -> Columns:
    """The columns of a .csv (with this delimiter), .tsv or .jsonl, as they are written.

    Raises:
        InputError: it is missing, broken or empty.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    rows = [row for _, row in rows_of(path, delimiter)]
    if not rows:
        raise InputError(f"{path} has no rows")
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def as_columns(table: Any) -> Columns:
    """A table in memory, such as a dict of columns, or a data frame."""
    try:
        columns = {str(name): list(table[name]) for name in table}
    except (TypeError, KeyError, IndexError):
        wanted = "an array, or a table such as a dict of columns"
        raise InputError(f"x is {type(table).__name__}, expected {wanted}") from None
    sizes = {name: len(cells) for name, cells in columns.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name}: {size}" for name, size in list(sizes.items())[:12])
        raise InputError(f"the columns of the table have unequal numbers of rows ({said})")
    return columns


def as_numbers(x: Any, name: str, wanted: str, axes: Sequence[int]) -> NDArray[Any]:
    """An array in memory; raises InputError unless it is numbers with so many axes."""
    try:
        values = np.asarray(x)
    except ValueError:  # lists of unequal lengths
        raise InputError(f"{name} holds rows of unequal lengths, expected {wanted}") from None
    if values.dtype.kind not in "biuf" or values.ndim not in axes:
        raise InputError(f"{name} is {values.dtype} of shape {values.shape}, expected {wanted}")
    return values


def column_of(columns: Mapping[str, Any], name: str, origin: str) -> Sequence[Any]:
    """A column; raises InputError where there is none."""
    if name not in columns:
        there = ", ".join(list(columns)[:12])
        raise InputError(f"{origin} has no column '{name}' (it has: {there})")
    return columns[name]


def numbers_of(columns: Mapping[str, Any], name: str, origin: str) -> NDArray[np.float64]:
    """A column of numbers, NaN where it is empty; rows are counted from 2, below the header."""
    cells = column_of(columns, name, origin)
    found = [number(Path(origin), i, name, cell) for i, cell in enumerate(cells, 2)]
    values = np.array(found, dtype=np.float64)
    for i in np.flatnonzero(np.isinf(values))[:1]:
        raise InputError(f"{origin}: row {i + 2}, column '{name}' is infinite: correct it")
    return values


def check_finite(values: NDArray[Any], columns: Sequence[str], where: str, first: int = 0) -> None:
    """Raises InputError where a cell of (t c) is infinite; its first row has the number `first`."""
    for t, c in np.argwhere(np.isinf(values))[:1]:
        raise InputError(f"{where}: row {first + t}, column '{columns[c]}' is infinite: correct it")


def stamps_of(columns: Mapping[str, Any], names: Sequence[str], origin: str) -> Stamps:
    """Time stamps of one column such as 2024-01-31 12:00, or of year, month, day ...

    Raises:
        InputError: one is empty or none; names the row.
    """
    parts = [column_of(columns, name, origin) for name in names]
    if not len(parts[0]):
        raise InputError(f"{origin} has no rows")
    if len(names) == 1:
        _check_dates(parts[0], names[0], origin)
    found = []
    for i, cells in enumerate(zip(*parts, strict=True), 2):
        try:
            one = _joined(names, cells) if len(names) > 1 else _written(cells[0])
            found.append(np.datetime64(one, "s"))
        except (ValueError, TypeError):
            said = " ".join(str(cell) for cell in cells)[:30]
            raise InputError(
                f"{origin}: row {i}, column '{names[0]}': '{said}' is no time stamp such as "
                "2024-01-31, 2024-01-31 12:00 or 2024/01/31 12:00:00: rewrite the column so"
            ) from None
        if np.isnat(found[-1]):
            raise InputError(f"{origin}: row {i}, column '{names[0]}' is empty: it has no stamp")
    return np.array(found, dtype="datetime64[s]")


def _check_dates(cells: Sequence[Any], name: str, origin: str) -> None:
    """Raises InputError where a number stands: it may be a year, or count seconds."""
    for i, one in enumerate(cells, 2):
        try:
            wrong = isinstance(one, (str, int, float, np.number)) and np.isfinite(float(one))
        except ValueError:
            continue
        if wrong:
            raise InputError(
                f"{origin}: row {i}, column '{name}' holds numbers, not dates such as "
                f"2024-01-31 12:00: '{str(one)[:30]}'"
            )


def _written(cell: Any) -> Any:
    return cell.strip().replace("/", "-") if isinstance(cell, str) else cell


def _joined(names: Sequence[str], cells: Sequence[Any]) -> str:
    given = {name: int(float(cell)) for name, cell in zip(names, cells, strict=True)}
    year, month, day, *rest = (given.get(name, name in PARTS_OF_TIME[:3]) for name in PARTS_OF_TIME)
    clock = ":".join(f"{int(one):02d}" for one in rest)
    return f"{int(year):04d}-{int(month):02d}-{int(day):02d}T{clock}"


def clock_places(stamps: Stamps, step: int | None, gaps: str, where: str) -> NDArray[np.int64]:
    """(n) the step of the clock that each row stands at.

    Args:
        stamps: of the rows of one series.
        step: seconds; None: as most rows have it.
        gaps: `refuse`, `fill` or `ignore` (rows are the clock).
        where: begins an error message.

    Raises:
        InputError: stamps do not increase, are missing, or off the step.
    """
    seconds = np.diff(stamps).astype(np.int64)
    for i in np.flatnonzero(seconds <= 0)[:1]:
        said = str(stamps[i + 1]).replace("T", " ")
        raise InputError(f"{where}: {said} is not later than the row above it: sort the rows")
    if gaps == "ignore" or not len(seconds):
        return np.arange(len(stamps))
    step = step or int(np.median(seconds))
    for i in np.flatnonzero(seconds % step)[:1]:
        said = str(stamps[i + 1]).replace("T", " ")
        raise InputError(f"{where}: {said} is off the step of {step} s: put rows onto one clock")
    for i in np.flatnonzero(seconds > step)[: gaps == "refuse"]:
        said = str(stamps[i]).replace("T", " ")
        raise InputError(f"{where}: time stamps are missing behind {said}: add their rows")
    return (stamps - stamps[0]).astype(np.int64) // step


def on_clock(values: NDArray[Any], places: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """(size) values at their steps, NaN at the others."""
    found = np.full(size, np.nan)
    inside = places < size
    found[places[inside]] = values[inside]
    return found


def calendar_of(stamps: Stamps, name: str) -> NDArray[np.float64]:
    """(n 2) sine and cosine of a place in the calendar; NaN where there is no stamp."""
    day = stamps.astype("datetime64[D]")
    month, year = stamps.astype("datetime64[M]"), stamps.astype("datetime64[Y]")
    place = {
        "hour": (stamps - day) // np.timedelta64(3600, "s"),
        "weekday": (day.astype(np.int64) + 3) % 7,  # day 0 was a Thursday
        "day": (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        "month": (month - year.astype("datetime64[M]")).astype(np.int64) + 1,
        "dayofyear": (day - year.astype("datetime64[D]")).astype(np.int64) + 1,
    }[name]
    angle = np.asarray(place, dtype=np.float64) * (2 * np.pi / CALENDAR_PERIODS[name])
    angle[np.isnat(stamps)] = np.nan
    return np.column_stack([np.sin(angle), np.cos(angle)])


def carried_on(values: NDArray[Any]) -> NDArray[Any]:
    """(t c) with the last value going on where one is missing; NaN before the first."""
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(rows, axis=0)
    return np.where(last < 0, np.nan, np.take_along_axis(values, last.clip(min=0), axis=0))
