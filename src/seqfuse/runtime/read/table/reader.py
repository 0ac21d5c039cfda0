"""Tables of one or several series, a row for each step: read, checked, made ready to forecast."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.records import check_names
from seqfuse.runtime.read.table.calendar import CALENDAR, calendar_of, is_holiday, place_of
from seqfuse.runtime.read.table.cells import (
    LISTED,
    TABLE_ENDINGS,
    Cells,
    groups_of,
    is_empty,
    numbers_of,
    read_table,
)
from seqfuse.runtime.read.table.stamps import (
    TIME,
    Stamps,
    check_time_format,
    dated_columns,
    is_split,
    shown,
    stamp_of,
    stamps_of,
)
from seqfuse.runtime.read.table.steps import carried_on, clock_places, is_newest_first, on_clock
from seqfuse.runtime.read.table.table import Table, log_returns
from seqfuse.runtime.read.table.words import (
    MAX_CATEGORIES,
    as_word,
    check_number,
    coded,
    holds_words,
    one_hot,
    words_in,
)
from seqfuse.runtime.windows import Span

GAPS = ("refuse", "fill", "ignore")
DUPLICATES = ("refuse", "first", "last")
HOLIDAY = "holiday"
"""Column that follows from the time stamp and the dates of holidays."""


class Sheet(NamedTuple):
    """A table as it is written, its time stamps and its columns of numbers."""

    cells: Cells
    stamps: Stamps
    """(rows)"""
    targets: list[str]
    numbers: Mapping[str, NDArray[np.float64]]
    """By column, (rows) NaN where a cell is empty; of a column of words, their codes."""
    words: Mapping[str, Mapping[str, int]]
    """By column of words, the code of each of its words."""


class Series(NamedTuple):
    """The rows of one series, and the step of the clock that each stands at."""

    name: str
    where: str
    """Begins an error message."""
    rows: NDArray[np.int64]
    """(m) in the table."""
    places: NDArray[np.int64]
    """(m)"""
    time: Stamps
    """(n) of each step of the clock; unknown behind the last row, where rows are the clock."""
    clock: Clock | None
    """None: rows are the clock."""
    ahead: int = 0
    """Last steps, which lie behind the last target."""

    def on_clock(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """(n) a column of the table, NaN at steps without a row."""
        return on_clock(column[self.rows], self.places, len(self.time))

    def row_at(self) -> NDArray[np.int64]:
        """(n) the row of the table at each step, -1 where there is none."""
        rows = np.full(len(self.time), -1)
        inside = self.places < len(self.time)
        rows[self.places[inside]] = self.rows[inside]
        return rows


class TableReader:
    """Reads a table and says which row and column is wrong.

    The last value goes on where one is missing; before the first one, it is the mean.

    Args:
        time: column of time stamps, or several that make one up: [year, month, day, hour], or a
            date and a time.
        group: column that tells series apart; windows never cross from one to the next.
        targets: columns to forecast; `all` takes every number column that is nothing else.
        covariates: columns known up to now.
        static: columns with one value for each series, of numbers or words; one cell of a series
            is enough.
        known: what is known ahead, too: columns, and hour, weekday, day, month or dayofyear
            from the time stamp.
        holidays: dates, YYYY-MM-DD; there is a column `holiday` of 0 and 1 then, known ahead.
        categories: columns among these three whose cells are words, even if they look like
            numbers; hour to dayofyear get a column for each of their values.
        words: of columns of words, those that get a column of 0 and 1 each; of a column that is
            not named here, those of the training rows, of `categories` the most frequent ones.
            Any other word is 0 in all of them.
        gaps: missing time stamps and empty cells are `refuse`d, or `fill`ed (stamps are
            added; the last value goes on as input; nothing is scored there), or `ignore`d
            (rows are the clock, as for trading days).
        duplicates: of rows with the same stamp, which follow each other, all but the `first` or the
            `last` are left out, or they are `refuse`d.
        returns: targets are log-returns of the columns, which hold prices.
        time_format: of time stamps as they are written, such as %d.%m.%Y (strptime); None: by
            ISO 8601, year first, and as `stamps_of` says. Stamps with an offset (Z, +01:00) become
            UTC. Rows may begin with the newest.
    """

    endings = TABLE_ENDINGS
    fills = True
    """Whether the last value goes on where one is missing."""

    def __init__(
        self,
        time: str | Sequence[str] = "date",
        group: str | None = None,
        targets: str | Sequence[str] = "all",
        covariates: Sequence[str] = (),
        known: Sequence[str] = (),
        words: Mapping[str, Sequence[str]] | None = None,
        gaps: str = "refuse",
        returns: bool = False,
        time_format: str | None = None,
        static: Sequence[str] = (),
        categories: Sequence[str] = (),
        holidays: Iterable[str] = (),
        duplicates: str = "refuse",
    ):
        check_option(GAPS, gaps=gaps)
        check_option(DUPLICATES, duplicates=duplicates)
        self.stamps = as_list(time)
        self.group = group
        self.targets = None if targets == "all" else as_list(targets)
        self.covariates, self.known = list(covariates), list(known)
        self.static, self.categories = list(static), list(categories)
        self._holidays, self._has_holidays = holidays, bool(holidays)
        if holidays and HOLIDAY not in self.known:
            self.known.insert(0, HOLIDAY)  # what is known last may be a clock
        if static and not group:
            raise InputError(
                f"data.static={self.static} has one value for each series: name the column that "
                "tells series apart, data.group="
            )
        for name in self.categories:
            if name not in self.inputs:
                raise InputError(
                    f"data.categories names '{name}', which is in none of data.covariates, "
                    "data.static and data.known: add it to one of them"
                )
        self.words = {name: [as_word(w) for w in chosen] for name, chosen in (words or {}).items()}
        self.gaps, self.duplicates, self.returns = gaps, duplicates, returns
        check_time_format(time_format)
        if time_format and not isinstance(time, (str, int)) and not is_split(self.stamps):
            raise InputError(f"data.time_format={time_format} is for data.time=<one column>")
        self.time_format = time_format

    @property
    def metadata(self) -> dict[str, Any]:
        """Kind and options of the reader, as plain data."""
        return {"kind": "table", **self.options}

    @property
    def head(self) -> list[str]:
        """Columns that say what a forecast is about."""
        return [*([self.group] if self.group else []), "from", "time", "step"]

    @property
    def inputs(self) -> list[str]:
        """Inputs beside the targets, in the order of the columns."""
        return [*self.covariates, *self.static, *self.known]

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that make such a reader."""
        return {
            "time": self.stamps if len(self.stamps) > 1 else self.stamps[0],
            "group": self.group,
            "targets": "all" if self.targets is None else self.targets,
            "covariates": self.covariates,
            "known": self.known,
            "words": self.words,
            "gaps": self.gaps,
            "returns": self.returns,
            "time_format": self.time_format,
            "static": self.static,
            "categories": self.categories,
            "duplicates": self.duplicates,
        }

    @cached_property
    def holidays(self) -> list[str]:
        """Dates, YYYY-MM-DD."""
        return [str(stamp_of(day, None, "data.holidays"))[:10] for day in self._holidays]

    def moment(self, start: Any) -> np.datetime64:
        """The stamp at or after which the first horizon begins."""
        return stamp_of(start, self.time_format, "start")

    def cells(self, given: Path | Cells) -> Cells:
        """The columns of a file, or of a table in memory, as they are written."""
        if isinstance(given, Cells):
            return given
        stamps = self.stamps if len(self.stamps) == 1 or is_split(self.stamps) else []
        texts = [*self.words, *self.categories, *([self.group] if self.group else []), *stamps]
        return read_table(given, texts)

    def read(
        self,
        given: Path | Cells,
        clock: Clock | None = None,
        columns: Sequence[str] = (),
        training: Callable[[Table], Sequence[Span]] | None = None,
        holidays: Sequence[str] = (),
    ) -> Table:
        """A table of a file, or of what lies in memory.

        Args:
            columns: of a pipeline that was fitted, whose words are taken.
            training: gives the rows whose words are learnt, where there is no such pipeline.
            holidays: of a pipeline that was fitted.
        """
        cells = self.cells(given)
        if columns:
            self.holidays = list(holidays)
        texts = self._texts(cells) if columns or training else []
        for name in texts if training and not columns else ():
            if name not in self.categories:
                check_number(cells, name)
        sheet, series = self._laid_out(cells, clock, texts=texts)
        if columns:
            words = words_in(columns, texts)
            self.words |= {name: words.get(name, []) for name in texts}
        elif training:
            self.words |= self._learnt(sheet, series, texts, training)
        return self._table(sheet, series)

    def _texts(self, cells: Cells) -> list[str]:
        """Columns of words for which none are named."""
        return [
            name
            for name in self.inputs
            if name in cells.columns
            and name not in self.words
            and (name in self.categories or holds_words(cells, name))
        ]

    def _learnt(
        self,
        sheet: Sheet,
        series: Sequence[Series],
        texts: Sequence[str],
        training: Callable[[Table], Sequence[Span]],
    ) -> dict[str, list[str]]:
        """The words of the training rows, of columns of words."""
        if not texts:
            return {}
        cells, learnt = sheet.cells, {}
        rows = np.concatenate([part.row_at() for part in series])
        spans = training(_without_values(sheet, series))
        rows = np.concatenate([rows[first:end] for first, end in spans])
        for name in texts:
            words = list(sheet.words[name])
            codes = sheet.numbers[name][rows[rows >= 0]]
            counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(words))
            frequent = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
            learnt[name] = [words[i] for i in sorted(frequent.tolist()) if counts[i]]
            if not learnt[name]:
                raise InputError(
                    f"{cells.origin}: column '{name}' has no value in the training rows: leave it "
                    "out"
                )
        return learnt

    def parse(
        self, cells: Cells, clock: Clock | None = None, horizon: int = 0, to_test: bool = False
    ) -> Table:
        """A table whose series, with a `horizon`, go on for so many steps after the last target.

        Rows that are there hold what is known ahead, with empty targets. Missing ones are added
        where the calendar alone, or nothing, is known ahead. `to_test`: where too little is known
        ahead, the last horizon is over the last rows with all that is known.
        """
        return self._table(*self._laid_out(cells, clock, horizon, to_test=to_test), horizon)

    def _laid_out(
        self,
        cells: Cells,
        clock: Clock | None,
        horizon: int = 0,
        texts: Sequence[str] = (),
        to_test: bool = False,
    ) -> tuple[Sheet, list[Series]]:
        """The cells, and where the rows of each series stand on its clock."""
        sheet = self._sheet(cells, texts)
        series: list[Series] = []
        for name, rows in self._groups(cells, len(sheet.stamps)):
            part = self._series(name, cells, rows, sheet.stamps[rows], clock)
            if horizon:
                part = self._lengthened(part, sheet, horizon, to_test)
            series.append(part)
            clock = clock or part.clock
        return sheet, series

    def _table(self, sheet: Sheet, series: Sequence[Series], horizon: int = 0) -> Table:
        cells = sheet.cells
        columns, num_known = self._columns(sheet)
        rows = np.concatenate([part.row_at() for part in series])
        table = replace(
            _without_values(sheet, series),
            values=np.concatenate([self._values(part, sheet) for part in series]),
            columns=columns,
            num_known=num_known,
            ahead=horizon,
            holidays=tuple(self.holidays),
            left_out=tuple(name for name in cells.columns if name not in self._named(sheet)),
            rows=rows,
        )
        if self.gaps == "refuse":
            _check_whole(table, rows, cells)
        return _as_returns(table, rows, cells) if self.returns else table

    def _sheet(self, cells: Cells, texts: Sequence[str] = ()) -> Sheet:
        """The cells, once all columns are there and hold stamps, numbers and words."""
        try:
            check_names([str(name) for name in cells.columns])
        except InputError as error:
            raise InputError(f"{cells.origin}{error}") from None
        self._check_columns(cells)
        stamps = stamps_of(cells, self.stamps, self.time_format)
        if self.group is None:
            _check_one_series(cells, stamps, {*self.stamps, *(self.targets or ())})
        targets = self._targets(cells)
        numbers: dict[str, NDArray[np.float64]] = {}
        words: dict[str, dict[str, int]] = {}
        for name in (*targets, *self.inputs):
            if self._computed(name, cells):
                continue
            if name in self.words or name in texts:
                numbers[name], words[name] = coded(cells.columns[name])
            else:
                numbers[name] = numbers_of(cells, name, _fix(cells, name))
        return Sheet(cells, stamps, targets, numbers, words)

    def _named(self, sheet: Sheet) -> set[str | None]:
        """Columns of the file that are read."""
        return {*sheet.targets, *self.stamps, self.group, *self.inputs}

    def ahead(
        self, given: Path | Cells, pipeline: TablePipeline, horizon: int, to_test: bool = False
    ) -> Table:
        """A table like the training one, whose series go on for a horizon after the last target;
        `to_test`: or end with one, see `parse`."""
        cells = self.cells(given)
        targets = pipeline.columns[: pipeline.num_targets]
        words = {**words_in(pipeline.columns, self._texts(cells)), **self.words}
        learnt = {"targets": targets, "words": words, "holidays": pipeline.holidays}
        reader = TableReader(**{**self.options, **learnt})
        table = reader.parse(cells, pipeline.clock, horizon, to_test)
        names = {*targets, *self.stamps, self.group, *self.inputs}
        for name in cells.columns if self.targets is None else ():
            if name not in names:
                known = ", ".join([column for column in cells.columns if column in names][:LISTED])
                raise InputError(
                    f"{cells.origin} has a column '{name}' that the training data did not have: "
                    f"leave it out (known: {known})"
                )
        if table.columns != pipeline.columns:
            raise InputError(
                f"{cells.origin} is read as the columns {', '.join(table.columns)}, but the "
                f"training data as {', '.join(pipeline.columns)}: bring it into the same form"
            )
        return table

    def scaled(
        self, table: Table, pipeline: TablePipeline, end: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n c) rows before `end`, with NaN and with the last value going on; none after it."""
        values = pipeline.transform(table.values[:end])
        if not np.isnan(values).any():
            return values, values
        parts = np.split(values, [edge for edge in table.offsets[1:-1] if edge < len(values)])
        return values, np.concatenate([np.nan_to_num(carried_on(part)) for part in parts])

    def _check_columns(self, cells: Cells) -> None:
        if self._has_holidays and HOLIDAY in cells.columns:
            raise InputError(
                f"{cells.origin} has a column '{HOLIDAY}', which data.holidays would add: rename "
                "it, or leave out data.holidays and name it in data.known"
            )
        wanted = {
            "time": self.stamps,
            "group": [self.group] if self.group else [],
            "targets": self.targets or [],
            "covariates": self.covariates,
            "static": self.static,
            "known": self.known,
        }
        for key, names in wanted.items():
            for name in names:
                if name not in cells.columns and not (
                    key == "known" and self._computed(name, cells)
                ):
                    columns = [str(column) for column in cells.columns]
                    near = difflib.get_close_matches(name, columns, n=1)
                    dated = dated_columns(cells, self.time_format) if key == "time" else []
                    fix = f"did you mean {near[0]}?" if near else "rename one, or name another"
                    if key == "time" and not near:
                        fix = "add a column of time stamps, or name another"
                    if dated:
                        fix = f"type data.time={dated[0]}"
                    if key == "known" and name == HOLIDAY:
                        fix = "say whose holidays, such as data.holidays=DE"
                    raise InputError(
                        f"{cells.origin} has no column '{name}' for data.{key} "
                        f"(it has: {', '.join(columns[:LISTED])}): {fix}"
                    )

    def _targets(self, cells: Cells) -> list[str]:
        if self.targets is not None:
            return self.targets
        others = {*self.stamps, self.group, *self.inputs}
        return [name for name in cells.columns if name not in others]

    def _computed(self, name: str, cells: Cells) -> bool:
        """Whether a covariate follows from the time stamp."""
        follows = name in CALENDAR or (name == HOLIDAY and self._has_holidays)
        return follows and (name not in cells.columns or name in self.stamps)

    def _columns(self, sheet: Sheet) -> tuple[list[str], int]:
        """Names of the columns of numbers, and how many are known ahead."""
        cells, targets = sheet.cells, sheet.targets

        def encoded(name: str) -> list[str]:
            if self._computed(name, cells):
                if name == HOLIDAY:
                    return [name]
                if name in self.categories:
                    return [f"{name}={place}" for place in CALENDAR[name]]
                return [f"{name}_sin", f"{name}_cos"]
            if name in sheet.words:
                return [f"{name}={word}" for word in self.words[name]]
            return [name]

        covariates = [c for name in (*self.covariates, *self.static) for c in encoded(name)]
        ahead = [column for name in self.known for column in encoded(name)]
        columns = [*targets, *covariates, *ahead]
        for name in {name for name in columns if columns.count(name) > 1}:
            raise InputError(
                f"{cells.origin}: column '{name}' is named twice in data.targets, .covariates, "
                ".static and .known"
            )
        if not targets:
            raise InputError(f"{cells.origin}: data.targets names no column to forecast")
        return columns, len(ahead)

    def _groups(self, cells: Cells, size: int) -> list[tuple[str, NDArray[np.int64]]]:
        """Name and rows of each series, in the order of their names."""
        if self.group is None:
            return [("", np.arange(size))]
        names = groups_of(cells, self.group)
        numbers = {name: i for i, name in enumerate(sorted(set(names)))}
        codes = np.array([numbers[name] for name in names])
        rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        return list(zip(numbers, rows, strict=True))

    def _series(
        self,
        name: str,
        cells: Cells,
        rows: NDArray[np.int64],
        stamps: Stamps,
        clock: Clock | None,
    ) -> Series:
        where = f"{cells.origin} ({name})" if name else cells.origin
        if self.duplicates != "refuse":
            changes = np.diff(stamps) != np.timedelta64(0, "s")
            kept = (
                np.append(changes, True) if self.duplicates == "last" else np.append(True, changes)
            )
            rows, stamps = rows[kept], stamps[kept]
        if is_newest_first(stamps):
            rows, stamps = rows[::-1], stamps[::-1]
        finer = self._finer(cells, rows, stamps)
        if finer.any() and self.gaps != "ignore":
            raise InputError(
                f"{where}: time stamps are finer than a second, such as "
                f"'{cells.columns[self.stamps[0]][rows[1]]}': type data.gaps=ignore, so that rows "
                "are the clock"
            )
        places = clock_places(
            stamps, clock, self.gaps, where, lambda i: cells.row(int(rows[i])), finer
        )
        if self.gaps == "ignore":
            return Series(name, where, rows, places, stamps, None)
        if len(stamps) > 1:
            clock = clock or Clock.of(stamps)
        time = clock.after(stamps[0], np.arange(places[-1] + 1)) if clock else stamps
        return Series(name, where, rows, places, time, clock)

    def _finer(self, cells: Cells, rows: NDArray[np.int64], stamps: Stamps) -> NDArray[np.bool_]:
        """(n - 1) whether a row is in the same second as the one above it, but written apart."""
        same, column = np.diff(stamps) == np.timedelta64(0, "s"), cells.columns[self.stamps[0]]
        for i in np.flatnonzero(same) if len(self.stamps) == 1 else ():
            same[i] = str(column[rows[i]]) != str(column[rows[i + 1]])
        return same & (len(self.stamps) == 1)

    def _lengthened(self, series: Series, sheet: Sheet, horizon: int, to_test: bool) -> Series:
        """A series that ends `horizon` steps after its last row with a target; `to_test`: or
        where the last horizon ends of which all is known that has to be."""
        cells, targets = sheet.cells, sheet.targets
        seen = ~np.isnan([series.on_clock(sheet.numbers[name]) for name in targets]).all(axis=0)
        if not seen.any():
            raise InputError(f"{series.where}: no row has a value in {', '.join(targets[:LISTED])}")
        first = end = int(np.flatnonzero(seen)[-1]) + 1
        for name in self.known:
            if self._computed(name, cells) and series.clock:
                continue
            present = np.flatnonzero(~self._empty(name, series, sheet))
            row = max(end, *(present[-1:] + 1))
            if to_test and row > horizon:
                first = min(first, row - horizon)
            elif row < first + horizon:
                raise InputError(
                    f"{series.where}: column '{name}' is to be known ahead, but "
                    f"{_place(series, cells, row)} (step {row - first + 1} of data.horizon="
                    f"{horizon}) has no value: add what is known, with the targets left empty, "
                    "or give a table of it, known=plan.csv"
                )
        size = first + horizon
        added = np.arange(1, max(size - len(series.time), 0) + 1)
        unknown = np.full(len(added), np.datetime64("NaT", "s"))
        later = series.clock.after(series.time[-1], added) if series.clock else unknown
        time = np.concatenate([series.time, later])
        return series._replace(time=time[:size], ahead=horizon)

    def _empty(self, name: str, series: Series, sheet: Sheet) -> NDArray[np.bool_]:
        """(n) where something that is to be known ahead has no value."""
        if self._computed(name, sheet.cells):
            return series.row_at() < 0
        return np.isnan(series.on_clock(sheet.numbers[name]))

    def _values(self, series: Series, sheet: Sheet) -> NDArray[np.float64]:
        """(n c) in the order of the columns."""

        def encoded(name: str) -> NDArray[np.float64]:
            if self._computed(name, sheet.cells):
                if name == HOLIDAY:
                    return is_holiday(series.time, self.holidays)[:, None]
                if name in self.categories:
                    return one_hot(place_of(series.time, name), CALENDAR[name])
                return calendar_of(series.time, name)
            column = self._column(name, series, sheet)
            if name not in sheet.words:
                return column[:, None]
            codes = [sheet.words[name].get(word, -1) for word in self.words[name]]
            return (carried_on(column[:, None]) == codes).astype(np.float64)

        return np.concatenate([encoded(name) for name in (*sheet.targets, *self.inputs)], axis=1)

    def _column(self, name: str, series: Series, sheet: Sheet) -> NDArray[np.float64]:
        """(n) a column of a series; a static one has its value at every step."""
        if name not in self.static:
            return series.on_clock(sheet.numbers[name])
        column = sheet.numbers[name][series.rows]
        rows = np.flatnonzero(~np.isnan(column))
        for i in rows[column[rows] != column[rows[:1]]][:1]:
            cells, row, first = sheet.cells, int(series.rows[i]), int(series.rows[rows[0]])
            raise InputError(
                f"{cells.place(name, row)}: '{cells.columns[name][row]}' differs from "
                f"'{cells.columns[name][first]}' in {cells.row(first)}, and data.static has one "
                "value for each series: name it in data.covariates"
            )
        return np.full(len(series.time), column[rows[0]] if len(rows) else np.nan)


def _without_values(sheet: Sheet, series: Sequence[Series]) -> Table:
    """A table of the steps of series, without columns."""
    offsets = np.cumsum([0, *(len(part.time) for part in series)])
    return Table(
        np.empty((offsets[-1], 0)),
        offsets,
        names=[part.name for part in series],
        steps={"time": np.concatenate([part.time for part in series])},  # type: ignore[dict-item]
        origin=sheet.cells.origin,
        num_targets=len(sheet.targets),
        clock=next((part.clock for part in series if part.clock), None),
    )


def _fix(cells: Cells, name: str) -> str:
    """The end of the message about a word in a column of numbers."""
    if not holds_words(cells, name):
        return ": correct it, or leave the column out of data.targets"
    words = sorted({str(cell) for cell in cells.columns[name] if not is_empty(cell)})
    listed = ",".join(words) if len(words) <= LISTED else "..."
    return (
        f": leave it out of data.targets, or type data.covariates=[{name}] "
        f"+data.words.{name}=[{listed}]"
    )


def _check_one_series(cells: Cells, stamps: Stamps, others: set[str]) -> None:
    """Raises InputError where stamps begin anew, and a column says of which series each row is."""
    if is_newest_first(stamps) and (np.diff(stamps) != np.timedelta64(0, "s")).all():
        return
    back = np.flatnonzero(np.diff(stamps) <= np.timedelta64(0, "s")) + 1
    groups: dict[str, int] = {}
    for name, column in cells.columns.items() if len(back) else ():
        if TIME.fullmatch(str(column[0]).strip()) and name not in others:
            raise InputError(
                f"{cells.origin}: {cells.row(back[0])}: {shown(stamps[back[0]])} is no later than "
                f"the row above, but column '{name}' has the time of day: type data.time="
                f"[<column of the date>,{name}]"
            )
    for name in cells.columns if len(back) else ():
        if name in others:
            continue
        names, codes = np.unique([str(cell) for cell in cells.columns[name]], return_inverse=True)
        order = np.argsort(codes, kind="stable")
        rises = np.diff(stamps[order]) > np.timedelta64(0, "s")
        if 1 < len(names) <= len(stamps) // 2 and (rises | (np.diff(codes[order]) > 0)).all():
            groups[name] = len(names)
    if groups:
        name = min(groups, key=lambda name: groups[name])
        raise InputError(
            f"{cells.origin}: {cells.row(back[0])}: {shown(stamps[back[0]])} is no later than the "
            f"row above, but column '{name}' tells {groups[name]} series apart: type "
            f"data.group={name}"
        )


def as_list(names: str | int | Sequence[str | int]) -> list[str]:
    """Names of columns, of one or of several."""
    return [str(n) for n in ([names] if isinstance(names, (str, int)) else names)]


def _place(series: Series, cells: Cells, step: int) -> str:
    """The row of the file, if it is there, and its time stamp, if that can be told."""
    if step < len(series.time):
        row, stamp = series.row_at()[step], shown(series.time[step])
        return stamp if row < 0 else f"{cells.row(row)}, {stamp},"
    behind = step - len(series.time) + 1
    if series.clock:
        return shown(series.clock.after(series.time[-1], np.array([behind]))[0])
    return f"the {behind}. row after the last, {shown(series.time[-1])},"


def _check_whole(table: Table, rows: NDArray[np.int64], cells: Cells) -> None:
    """Raises InputError where a cell is empty, up to the last target, or known ahead."""
    seen = np.arange(len(rows)) < np.repeat(table.offsets[1:] - table.ahead, table.lengths)
    is_known = np.arange(len(table.columns)) >= len(table.columns) - table.num_known
    empty = np.isnan(table.values) & (seen[:, None] | is_known)
    for c, i in np.argwhere(empty.T)[:1].tolist():
        place = cells.place(table.columns[int(c)], int(rows[i]))
        raise InputError(f"{place} is empty: type data.gaps=fill")


def _as_returns(table: Table, rows: NDArray[np.int64], cells: Cells) -> Table:
    """The table with log-returns of its targets, which are prices."""
    prices = table.values[:, : table.num_targets]
    for i in np.flatnonzero((prices <= 0).any(axis=1))[:1]:
        row = cells.row(int(rows[i]))
        raise InputError(f"{cells.origin}: {row}: data.returns needs prices above 0")
    changes = log_returns(prices, table.offsets[:-1])
    return replace(table, values=np.hstack([changes, table.values[:, table.num_targets :]]))
