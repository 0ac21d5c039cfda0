"""Time stamps of tables: the forms that are read, written and shown."""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.clock import Stamps
from seqfuse.runtime.read.table.cells import Cells, is_empty, numbers_of

PARTS_OF_TIME = {
    "year": (1000, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
"""Columns that make up a time stamp, and the range of each."""
SECONDS = {"hour": 3600, "minute": 60, "second": 1}
CANONICAL = {len(form): form for form in ("0000-00-00", "0000-00-00T00:00", "0000-00-00T00:00:00")}
YEAR = re.compile(r" *\d{4}(\.0)? *", re.ASCII)
TIME = re.compile(r"\d\d:\d\d(:\d\d)?", re.ASCII)
ISO = re.compile(
    r"(\d{4})([-/])(\d\d?)(?:\2(\d\d?)"
    r"(?:[T ] *(\d\d?)(?::(\d\d)(?::(\d\d)(?:\.\d+)?)?)? *(Z|[+-]\d\d:?\d\d)?)?)?",
    re.ASCII,
)


QUARTER = re.compile(r"(\d{4})([- ]?)Q([1-4])", re.ASCII)
"""A quarter of a year, as pandas writes it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SERIALS = {
    "unix": (EPOCH, 1.0),
    "unix_ms": (EPOCH, 1e-3),
    "unix_us": (EPOCH, 1e-6),
    "unix_ns": (EPOCH, 1e-9),
    "excel": (datetime(1899, 12, 30, tzinfo=UTC), 24.0 * 3600),
}
"""Forms of numbers that count time: when it begins, and the seconds of one unit."""
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Forms of dates without signs, by the number of their digits."""
UNIX = {10: "unix", 13: "unix_ms", 16: "unix_us", 19: "unix_ns"}
"""Units of time since 1970, by the number of digits that they have from the year 2001 to 2286."""


MEASURED = re.compile(r"[+-]?\d+\.\d+")
"""A number that no date and no time is written as."""
DECIMAL_ZERO = re.compile(r"\d+\.0", re.ASCII)
"""A whole number, as columns with an empty cell hold it."""


def check_time_format(form: str | None) -> None:
    """Raises InputError unless a form of time stamps can be read, and holds the year."""
    if form is None or form in SERIALS:
        return
    try:
        probe = datetime(2024, 1, 31, 12, tzinfo=UTC)
        year = datetime.strptime(probe.strftime(form), form).year
    except (ValueError, TypeError, re.error) as error:
        raise InputError(
            f"data.time_format={form} cannot be read ({error}): use directives of strptime, such "
            f"as %d.%m.%Y %H:%M, or {', '.join(SERIALS)}"
        ) from None
    if year != probe.year:
        raise InputError(f"data.time_format={form} has no year: add %Y")


def stamps_of(cells: Cells, names: Sequence[str], form: str | None = None) -> Stamps:
    """Time stamps of one column, or of columns for year, month, day and so on.

    A column is written by ISO 8601, year first: 2024-01, 2024-01-31, 2024-01-31 12:00, 2024/01/31
    12:00:30, 2024-01-31T12:00Z, 20240131, or as a quarter, 2024Q1; or it counts seconds since 1970
    (or thousandths, ...); or in another form, which then has to be named. Stamps with an offset (Z,
    +01:00) become UTC. Without a month it is January, without a day the first. A single column of
    years is called year.
    `form`, as of strptime, or of `SERIALS`, names it.
    """
    columns = [cells.column(name) for name in names]
    if not len(columns[0]):
        raise InputError(f"{cells.origin} has no rows")
    if is_split(names) and not all(MEASURED.fullmatch(str(column[0])) for column in columns):
        day, clock = columns
        written_out = [f"{a} {b}" if a and b else None for a, b in zip(day, clock, strict=True)]
        joined = " ".join(names)
        return stamps_of(cells._replace(columns={joined: written_out}), [joined], form)
    if len(names) > 1 or (names[0].lower() == "year" and YEAR.fullmatch(str(columns[0][0]))):
        return _from_parts(cells, names)
    form = form or _form_of_number(columns[0][0])
    if form in SERIALS:
        return _counted(cells, names[0], form)
    stamps = None if form else _canonical(columns[0])
    return _one_by_one(cells, names[0], form) if stamps is None else stamps


def is_split(names: Sequence[str]) -> bool:
    """Whether two columns make up a stamp, of which the first is a date, the second a time."""
    return len(names) == 2 and all(name.lower() not in PARTS_OF_TIME for name in names)


def stamp_of(value: Any, form: str | None, key: str) -> np.datetime64:
    """A single stamp, as it was typed, of ISO 8601 or another form of strptime, or a date in
    memory; `key` names it in the message."""
    if isinstance(value, np.datetime64) and not np.isnat(value):
        return value.astype("datetime64[s]")
    for each in {form, None}:
        try:
            moment = _moment(value, each)
        except (ValueError, TypeError, OverflowError, AttributeError):
            continue
        zoned = moment.tzinfo is not None
        moment = moment.astimezone(UTC).replace(tzinfo=None) if zoned else moment
        return np.datetime64(moment, "s")
    example = datetime(2024, 1, 31, 12).strftime(form) if form else "2024-01-31 12:00"
    raise InputError(f"{key}={value} is no time stamp such as {example}")


def dated_columns(cells: Cells, form: str | None) -> list[str]:
    """Names of the columns whose first cell is a time stamp, as far as one cell tells."""
    firsts = {name: column[0] for name, column in cells.columns.items() if len(column)}
    dated = []
    for name, first in firsts.items():
        try:
            stamp_of(first, form, name)
        except InputError:
            if not YEAR_LAST.fullmatch(str(first).strip()):
                continue
        dated.append(name)
    return sorted(dated, key=lambda name: _form_of_number(firsts[name]) is not None)


def _form_of_number(cell: Any) -> str | None:
    """Form of a stamp that is a number, as far as its digits leave no doubt; else None."""
    text = str(cell).strip().removesuffix(".0")
    whole = text.partition(".")[0]
    if not (whole.isascii() and whole.isdecimal()):
        return None
    form = DIGITS.get(len(text))
    with suppress(ValueError):
        if form and 1800 <= datetime.strptime(text, form).year < 2200:
            return form
    return UNIX.get(len(whole)) if whole[0] != "0" and text.count(".") < 2 else None


def _counted(cells: Cells, name: str, form: str) -> Stamps:
    """Time stamps from numbers that count time."""
    values, (start, unit) = numbers_of(cells, name), SERIALS[form]
    for i in np.flatnonzero(np.isnan(values))[:1]:
        raise InputError(f"{cells.place(name, int(i))} is empty: it has no stamp")
    low, high = ((datetime(y, 1, 1, tzinfo=UTC) - start).total_seconds() for y in (1800, 2200))
    seconds = values * unit
    for i in np.flatnonzero((seconds < low) | (seconds > high))[:1]:
        raise InputError(
            f"{cells.place(name, int(i))}: {values[i]:g} is not of the form data.time_format={form}"
            f", {unit:g} s each since {start:%Y-%m-%d}, of this time"
        )
    return np.datetime64(start.replace(tzinfo=None), "s") + np.rint(seconds).astype(
        "timedelta64[s]"
    )


def _canonical(column: Any) -> Stamps | None:
    """All stamps at once, where they are written alike, or are stamps; None elsewhere."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        return None if np.isnat(column).any() else column.astype("datetime64[s]")
    text = np.array(column, dtype=str)
    size = text.dtype.itemsize // 4
    form = CANONICAL.get(size)
    if form is None:
        return None
    codes = text.view(np.uint32).reshape(len(text), size).T
    for sign, code in zip(form, codes, strict=True):
        wanted = code - np.uint32(ord("0")) < 10 if sign == "0" else code == ord(sign)
        if not (wanted | (code == ord(" ")) if sign == "T" else wanted).all():
            return None
    try:
        return text.astype("datetime64[s]")
    except ValueError:
        return None


def _one_by_one(cells: Cells, name: str, form: str | None) -> Stamps:
    moments, offsets = [], set()
    for i, cell in enumerate(cells.column(name)):
        where = partial(cells.place, name, i)
        if is_empty(cell):
            raise InputError(f"{where()} is empty: it has no stamp")
        try:
            moment = _moment(cell, form)
        except (ValueError, TypeError, OverflowError):
            raise InputError(f"{where()}{_no_stamp(cell, form, cells.column(name))}") from None
        offsets.add(moment.tzinfo is not None)
        if len(offsets) > 1:
            raise InputError(
                f"{where()}: '{str(cell)[:30]}' {'has an' if moment.tzinfo else 'has no'} offset "
                "from UTC, unlike the rows above it: give it to all rows or to none"
            )
        moments.append(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
    return np.array(moments, dtype="datetime64[s]")


def _moment(cell: Any, form: str | None) -> datetime:
    """One stamp; raises ValueError or TypeError where it is none."""
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[s]").item()
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime(cell.year, cell.month, cell.day)
    if form in SERIALS:
        start, unit = SERIALS[form]
        return (start + timedelta(seconds=round(float(cell) * unit))).replace(tzinfo=None)
    text = str(cell).strip() if form else str.strip(cell)
    if form:
        return datetime.strptime(text[:-2] if DECIMAL_ZERO.fullmatch(text) else text, form)
    if quarter := QUARTER.fullmatch(text):
        return datetime(int(quarter[1]), 3 * int(quarter[3]) - 2, 1)
    parts = ISO.fullmatch(text)
    if parts is None:
        raise ValueError
    year, _, month, day, hour, minute, second, offset = parts.groups()
    zone = UTC if offset == "Z" else offset and datetime.strptime(offset, "%z").tzinfo
    clock = [int(part or 0) for part in (hour, minute, second)]
    return datetime(int(year), int(month), int(day or 1), *clock, tzinfo=zone or None)


def _no_stamp(cell: Any, form: str | None, column: Sequence[Any]) -> str:
    """Why a cell of a column is no time stamp."""
    text = str(cell)[:30]
    if form:
        return f": '{text}' is not of the form data.time_format={form}"
    try:
        is_number = not isinstance(cell, bool) and np.isfinite(float(cell))
    except (TypeError, ValueError):
        is_number = False
    if is_number:
        fix = ": type data.time_format=%Y" if YEAR.fullmatch(text) else ""
        if 20_000 <= float(cell) < 80_000:
            fix = ": if they are days since 1900, as in Excel, type data.time_format=excel"
        return f" holds numbers, not dates such as 2024-01-31 12:00: '{text}'{fix}"
    why = f": '{text}' is no time stamp with the year first, such as 2024-01-31 12:00"
    forms = [f"data.time_format='{form}'" for form in _year_last(cell, column)]
    if len(forms) > 1:
        return f"{why}: type {forms[0]} if the day comes first, {forms[1]} if the month does"
    if forms or (forms := [f"data.time_format='{form}'" for form in _spelt(column)]):
        return f"{why}: type {forms[0]}"
    return f"{why}: for another form name it, such as data.time_format='%d.%m.%Y %H:%M'"


YEAR_LAST = re.compile(
    r"(\d\d?)([./-])(\d\d?)\2(\d\d|\d{4})(?:( +|T)\d\d?:\d\d(:\d\d)?( ?[AaPp][Mm])?)?", re.ASCII
)


def _year_last(cell: Any, column: Sequence[Any]) -> list[str]:
    """Forms that a column of dates with the year last may have: day first, month first, or both.

    One of them is ruled out by a month above 12, and the second by points, which no country writes
    behind a month.
    """
    parts = YEAR_LAST.fullmatch(str(cell).strip())
    if parts is None:
        return []
    _, sign, _, digits, gap, seconds, half = parts.groups()
    year, clock = "%y" if len(digits) == 2 else "%Y", ""
    if gap:
        clock = gap + ("%I:%M" if half else "%H:%M") + (":%S" if seconds else "")
        clock += half[:-2] + "%p" if half else ""
    matches = [YEAR_LAST.fullmatch(str(other).strip()) for other in column]
    firsts, others = ([int(m[k]) for m in matches if m] for k in (1, 3))
    forms = [f"%d{sign}%m{sign}{year}{clock}"] if max(others) <= 12 else []
    if max(firsts) <= 12 and sign != ".":
        forms.append(f"%m{sign}%d{sign}{year}{clock}")
    return forms


def _spelt(column: Sequence[Any]) -> Iterator[str]:
    """Forms with names of months, years of two digits, or signs of their own, that a column has."""
    texts = list(dict.fromkeys(str(cell).strip() for cell in column if not is_empty(cell)))
    for day, clock in itertools.product(DAYS, CLOCKS):
        with suppress(ValueError):
            for text in texts:
                datetime.strptime(text, day + clock)
            yield day + clock


DAYS = (
    *("%Y.%m.%d", "%Y%m%d", "%Y-%m-%d", "%Y/%m/%d"),
    *(f"%d{sign}%{month}{sign}%{year}" for sign in "- ." for month in "bB" for year in "Yy"),
    *(f"%{month}{rest}" for rest in (" %d, %Y", " %Y", "-%Y", "-%y") for month in "bB"),
    "%Y年%m月%d日",
)
"""Forms of days, beside those that are read unasked and those with the year last in numbers."""
TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M:%S UTC", "%I:%M %p", "%I:%M:%S %p")
CLOCKS = ("", *(gap + time for gap in (" ", ", ", "T") for time in TIMES))
"""Forms of a time behind a day."""


def _from_parts(cells: Cells, names: Sequence[str]) -> Stamps:
    parts_of_time = list(PARTS_OF_TIME)
    for name in names:
        if name.lower() not in parts_of_time:
            raise InputError(f"data.time names '{name}', expected of {', '.join(parts_of_time)}")
    finest = max(parts_of_time.index(name.lower()) for name in names)
    for part in parts_of_time[: min(finest, 2) + 1]:
        if part not in {name.lower() for name in names}:
            raise InputError(f"data.time={list(names)} has no '{part}'")
    parts = {name: numbers_of(cells, name) for name in names}
    for name, values in parts.items():
        low, high = PARTS_OF_TIME[name.lower()]
        for i in np.flatnonzero(np.isnan(values))[:1]:
            raise InputError(f"{cells.place(name, int(i))} is empty: it has no stamp")
        wrong = (values < low) | (values > high) | (values % 1 != 0)
        for i in np.flatnonzero(wrong)[:1]:
            raise InputError(
                f"{cells.place(name, int(i))}: {values[i]:g} is no {name.lower()}, from {low} to "
                f"{high}"
            )
    whole = {name.lower(): values.astype(np.int64) for name, values in parts.items()}
    months = (whole["year"] - 1970) * 12 + whole.get("month", 1) - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (whole.get("day", 1) - 1)
    for i in np.flatnonzero(days.astype("datetime64[M]").astype(np.int64) != months)[:1]:
        (name,) = (name for name in names if name.lower() == "day")
        raise InputError(
            f"{cells.place(name, int(i))}: {whole['day'][i]} is no day of month {whole['month'][i]}"
        )
    seconds = sum(whole.get(name, 0) * size for name, size in SECONDS.items())
    return days.astype("datetime64[s]") + np.asarray(seconds, dtype="timedelta64[s]")


def written(stamp: Any, like: Any, form: str | None = None, part: str | None = None) -> Any:
    """A time stamp, datetime64[s], as another cell of its column is written.

    `part` is a column, of year, month and so on, that makes up a stamp, with others or alone.
    """
    moment = stamp.astype("datetime64[s]").item()
    form = form or _form_of_number(like)
    if form in SERIALS:
        return _count_of(moment, like, form)
    if form and isinstance(like, (int, float, np.number)):
        return type(like)(moment.strftime(form))
    if part and not ISO.fullmatch(str(like).strip()):
        return type(like)(getattr(moment, part.lower()))
    if not isinstance(like, str):
        return stamp if isinstance(like, np.datetime64) else moment
    if form:
        return moment.strftime(form)
    if quarter := QUARTER.fullmatch(like.strip()):
        return f"{moment.year}{quarter[2]}Q{(moment.month + 2) // 3}"
    if TIME.fullmatch(like.strip()):
        return str(moment.time())[: len(like.strip())]
    parts = ISO.fullmatch(like.strip())
    assert parts is not None  # it was read by this form
    _, sign, _, day_of_month, hour, _, second, offset = parts.groups()
    day, clock = str(stamp.astype("datetime64[s]")).split("T")
    day = day.replace("-", sign)
    if day_of_month is None:
        return day[: len("2024-01")]
    if hour is None:
        return day
    clock = clock if second else clock[:5]
    return f"{day}{'T' if 'T' in like else ' '}{clock}{'Z' if offset else ''}"


def half_of_form(form: str, like: Any, is_date: bool) -> str:
    """The form of a date, or of the time behind it, where each has a column of its own."""
    words, size = form.split(" "), len(str(like).strip().split(" "))
    return " ".join(words[:size] if is_date else words[-size:])


def _count_of(moment: datetime, like: Any, form: str) -> Any:
    """A moment as a number that counts time, as another cell of its column is written."""
    start, unit = SERIALS[form]
    count = (moment.replace(tzinfo=UTC) - start).total_seconds() / unit
    if form != "excel" or count.is_integer():
        return type(like)(round(count))
    text = f"{count:.10g}"
    return text if isinstance(like, str) else float(text)


def shown(stamp: Any) -> str:
    """A time stamp for people."""
    return str(stamp).replace("T", " ")


def shown_in(times: NDArray[Any], index: int) -> str:
    """One of several time stamps for people, a date alone where each is at midnight."""
    texts = [shown(time) for time in times]
    is_daily = all(text.endswith(" 00:00:00") for text in texts)
    return texts[index][:10] if is_daily else texts[index]
