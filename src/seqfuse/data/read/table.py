"""Tables with time stamps: CSV or Parquet, plain or gzipped, checked row by row."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqfuse.data.read.clock import AHEAD, LINE, ROW, STAMP, regular, row_of
from seqfuse.data.read.columns import add_calendar, log_returns
from seqfuse.data.read.files import load_frame
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.numbers import numbers_in
from seqfuse.runtime.records import Cells, check_names
from seqfuse.runtime.stamps import (
    CALENDAR_PERIODS,
    check_time_format,
    groups_of,
    is_empty,
    stamps_of,
)

GAPS = ("refuse", "fill", "ignore")
MESSAGE = 12


class Table(NamedTuple):
    """One or several series, one row per time step."""

    time: NDArray[np.datetime64]
    """(n)"""
    values: NDArray[np.float64]
    """(n c) targets first, then covariates, those known ahead last; NaN is missing."""
    columns: list[str]
    num_targets: int
    num_known: int
    groups: list[tuple[str, int, int]]
    """Name, first row and row after the last, of each series."""
    origin: str

    def fingerprint(self) -> str:
        """SHA-256 of time stamps and values, first 16 digits."""
        digest = hashlib.sha256(self.time.astype("int64").tobytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()[:16]


class TableReader:
    """Reads a table and says which row and column is wrong.

    Args:
        time: column of time stamps, or several that make one up: [year, month, day, hour].
        group: column that tells series apart; windows never cross from one to the next.
        targets: columns to forecast; `all` takes every number column that is nothing else.
        covariates: columns known up to now.
        known: what is known ahead, too: columns, and hour, weekday, day, month or dayofyear
            from the time stamp.
        words: of text columns, the words that get a column of 0 and 1 each.
        gaps: missing time stamps and empty cells are `refuse`d, or `fill`ed (stamps are
            added; the last value goes on as input; nothing is scored there), or `ignore`d
            (rows are the clock, as for trading days).
        time_format: of time stamps as they are written, such as %d.%m.%Y (strptime); None: by
            ISO 8601, year first. Stamps with an offset (Z, +01:00) become UTC.
        returns: targets are log-returns of the columns, which hold prices.

    Raises:
        InputError: a knob is out of range.
    """

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
    ):
        if gaps not in GAPS:
            raise InputError(f"data.gaps={gaps} must be one of: {', '.join(GAPS)}")
        self.time = str(time) if isinstance(time, int) else time
        self.group, self.targets = group, targets
        self.covariates, self.known, self.words = list(covariates), list(known), dict(words or {})
        self.gaps, self.returns = gaps, returns
        check_time_format(time_format)
        if time_format and not isinstance(time, str):
            raise InputError(f"data.time_format={time_format} is for data.time=<one column>")
        self.time_format = time_format

    def read(self, path: Path, facts: dict[str, Any]) -> Table:
        """Reads a file; the step is put into `facts` or, once it is there, expected.

        Raises:
            InputError: whatever is wrong with the file, with its name, row and column.
        """
        return self.parse(self.load(path), str(path), facts)

    def load(self, path: Path) -> pd.DataFrame:
        """A file as it is, with the lines of its rows, if it is of text."""
        stamps = [self.time] if isinstance(self.time, str) else []
        return load_frame(path, [*self.words, *([self.group] if self.group else []), *stamps])

    def parse(
        self,
        frame: pd.DataFrame,
        path: str,
        facts: dict[str, Any],
        lengthen: Callable[[pd.DataFrame, str], pd.DataFrame] | None = None,
    ) -> Table:
        """The same of a frame; `lengthen` may change each series once its rows are regular."""
        try:
            check_names([str(name) for name in frame.columns])
        except InputError as error:
            raise InputError(f"{path}{error}") from None
        self._check_columns(frame, path)
        if LINE not in frame:
            frame = frame.assign(**{ROW: np.arange(len(frame)) + 2})
        frame = frame.assign(**{STAMP: self._stamps(frame, path)})
        frame = frame.assign(**{n: self._numbers(frame, n, path) for n in self._plain(frame)})
        pieces, groups, start = [], [], 0
        for name, piece in self._pieces(frame, path):
            where = f"{path}{f' ({name})' if name else ''}"
            piece = regular(piece, where, self.gaps, facts)
            piece = lengthen(piece, where) if lengthen else piece
            pieces.append(piece)
            groups.append((name, start, start + len(piece)))
            start += len(piece)
        return self._table(pd.concat(pieces, ignore_index=True), groups, path)

    def _table(self, frame: pd.DataFrame, groups: list[tuple[str, int, int]], path: str) -> Table:
        targets = self._targets(frame)
        covariates = [n for c in self.covariates for n in self._encode(frame, c)]
        known = [n for c in self.known for n in self._encode(frame, c)]
        columns = [*targets, *covariates, *known]
        for name in {one for one in columns if columns.count(one) > 1}:
            raise InputError(
                f"{path}: column '{name}' is named twice in data.targets, .covariates and .known"
            )
        if not targets:
            raise InputError(f"{path}: data.targets names no column to forecast")
        ahead = np.asarray(frame.get(AHEAD, np.zeros(len(frame))), dtype=bool)
        needed = [~ahead | (name in known) for name in columns]
        numbers = zip(columns, needed, strict=True)
        values = np.column_stack([self._full(frame, name, path, rows) for name, rows in numbers])
        if self.returns:
            prices = values[:, : len(targets)]
            row = partial(row_of, frame)
            values[:, : len(targets)] = log_returns(prices, groups, row, path)
        time = np.asarray(frame[STAMP], dtype="datetime64[s]")
        return Table(time, values, columns, len(targets), len(known), groups, path)

    def _check_columns(self, frame: pd.DataFrame, path: str) -> None:
        stamps = [self.time] if isinstance(self.time, str) else list(self.time)
        wanted = {"time": stamps, "group": [self.group] if self.group else []}
        wanted["targets"] = [] if self.targets == "all" else self._names(self.targets)
        wanted |= {"covariates": self.covariates, "known": self.known}
        for key, names in wanted.items():
            for name in names:
                if name not in frame.columns and not (key == "known" and name in CALENDAR_PERIODS):
                    known = ", ".join(str(one) for one in frame.columns[:MESSAGE] if one != LINE)
                    raise InputError(
                        f"{path} has no column '{name}' for data.{key} (it has: {known})"
                    )

    @staticmethod
    def _names(names: str | Sequence[str]) -> list[str]:
        return [str(names)] if isinstance(names, (str, int)) else list(names)

    def _targets(self, frame: pd.DataFrame) -> list[str]:
        if self.targets != "all":
            return self._names(self.targets)
        taken = {*self._names(self.time), self.group, *self.covariates, *self.known}
        taken |= {STAMP, LINE, ROW}
        return [str(name) for name in frame.columns if name not in taken]

    def _stamps(self, frame: pd.DataFrame, path: str) -> NDArray[np.datetime64]:
        names = self._names(self.time)
        return stamps_of(_cells(frame, names, path), names, self.time_format)

    def _pieces(self, frame: pd.DataFrame, path: str) -> list[tuple[str, pd.DataFrame]]:
        if self.group is None:
            return [("", frame)]
        names = groups_of(_cells(frame, [self.group], path), self.group)
        return [(str(name), piece) for name, piece in frame.groupby(names, sort=True)]

    def _encode(self, frame: pd.DataFrame, name: str) -> list[str]:
        """Names of the number columns that stand for a covariate, added where needed."""
        if self._computed(frame, name):
            return add_calendar(frame, name)
        if name not in self.words:
            return [name]
        text = frame[name].where(~frame[name].map(is_empty)).ffill().astype(str)
        for word in self.words[name]:
            frame[f"{name}={word}"] = (text == word).astype(float)
        return [f"{name}={word}" for word in self.words[name]]

    def _plain(self, frame: pd.DataFrame) -> list[str]:
        """Columns that hold numbers."""
        names = [*self._targets(frame), *self.covariates, *self.known]
        return [one for one in names if one not in self.words and not self._computed(frame, one)]

    def _computed(self, frame: pd.DataFrame, name: str) -> bool:
        """Whether a covariate follows from the time stamp."""
        return name in CALENDAR_PERIODS and (
            name not in frame.columns or name in self._names(self.time)
        )

    @staticmethod
    def _numbers(frame: pd.DataFrame, name: str, path: str) -> NDArray[np.float64]:
        return numbers_in(
            _raw(frame, name),
            lambda i: f"{path}: {row_of(frame, i)}, column '{name}'",
            f": leave it out, or type +data.words.{name}=[...] with all its words",
        )

    def _full(
        self, frame: pd.DataFrame, name: str, path: str, needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """A column; raises InputError where a cell is empty that must not be."""
        values = frame[name].to_numpy(dtype=np.float64)
        for i in np.flatnonzero(np.isnan(values) & needed)[: self.gaps == "refuse"]:
            raise InputError(
                f"{path}: {row_of(frame, i)}, column '{name}' is empty: type data.gaps=fill"
            )
        return values


def _cells(frame: pd.DataFrame, names: Sequence[str], origin: str) -> Cells:
    """Some columns as they are written."""
    unit, rows = ("line", LINE) if LINE in frame else ("row", ROW)
    columns = {name: _raw(frame, name) for name in names}
    return Cells(columns, origin, frame[rows].to_numpy(), unit)


def _raw(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """The cells of a column, None where one is missing."""
    column: Any = frame[name]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufM":
        return column.to_numpy()
    return column.astype(object).where(column.notna(), None).to_numpy()
