"""Tables with time stamps: CSV or Parquet, plain or gzipped, checked row by row."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqfuse.data.clock import AHEAD, ROW, STAMP, regular
from seqfuse.data.columns import CALENDAR, add_calendar, log_returns
from seqfuse.data.files import load_frame
from seqfuse.plain.errors import InputError

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
    ):
        if gaps not in GAPS:
            raise InputError(f"data.gaps={gaps} must be one of: {', '.join(GAPS)}")
        self.time, self.group, self.targets = time, group, targets
        self.covariates, self.known, self.words = list(covariates), list(known), dict(words or {})
        self.gaps, self.returns = gaps, returns

    def read(self, path: Path, facts: dict[str, Any]) -> Table:
        """Reads a file; the step is put into `facts` or, once it is there, expected.

        Raises:
            InputError: whatever is wrong with the file, with its name, row and column.
        """
        return self.parse(load_frame(path), str(path), facts)

    def parse(
        self,
        frame: pd.DataFrame,
        path: str,
        facts: dict[str, Any],
        lengthen: Callable[[pd.DataFrame, str], pd.DataFrame] | None = None,
    ) -> Table:
        """The same of a frame; `lengthen` may change each series once its rows are regular."""
        self._check_columns(frame, path)
        frame = frame.assign(**{STAMP: self._stamps(frame, path), ROW: np.arange(len(frame)) + 2})
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
        values = np.column_stack([self._numbers(frame, name, path, rows) for name, rows in numbers])
        if self.returns:
            prices = values[:, : len(targets)]
            values[:, : len(targets)] = log_returns(prices, groups, np.asarray(frame[ROW]), path)
        time = np.asarray(frame[STAMP], dtype="datetime64[s]")
        return Table(time, values, columns, len(targets), len(known), groups, path)

    def _check_columns(self, frame: pd.DataFrame, path: str) -> None:
        stamps = [self.time] if isinstance(self.time, str) else list(self.time)
        wanted = {"time": stamps, "group": [self.group] if self.group else []}
        wanted["targets"] = [] if self.targets == "all" else self._names(self.targets)
        wanted |= {"covariates": self.covariates, "known": self.known}
        for key, names in wanted.items():
            for name in names:
                if name not in frame.columns and not (key == "known" and name in CALENDAR):
                    known = ", ".join(map(str, frame.columns[:MESSAGE]))
                    raise InputError(
                        f"{path} has no column '{name}' for data.{key} (it has: {known})"
                    )

    @staticmethod
    def _names(names: str | Sequence[str]) -> list[str]:
        return [names] if isinstance(names, str) else list(names)

    def _targets(self, frame: pd.DataFrame) -> list[str]:
        if self.targets != "all":
            return self._names(self.targets)
        taken = {*self._names(self.time), self.group, STAMP, ROW, *self.covariates, *self.known}
        return [str(name) for name in frame.columns if name not in taken]

    def _stamps(self, frame: pd.DataFrame, path: str) -> pd.Series:
        if isinstance(self.time, str) and pd.api.types.is_numeric_dtype(frame[self.time]):
            raise InputError(
                f"{path}: data.time={self.time} holds numbers, not dates such as 2024-01-31 12:00"
            )
        for name in self._names(self.time):
            for i in np.flatnonzero(frame[name].isna())[:1]:
                raise InputError(f"{path}: row {i + 2}, column '{name}' is empty: it has no stamp")
        try:
            if isinstance(self.time, str):
                return pd.to_datetime(frame[self.time])
            return pd.to_datetime(frame[list(self.time)])
        except (ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: data.time={self.time} is no time stamp: {reason}") from None

    def _pieces(self, frame: pd.DataFrame, path: str) -> list[tuple[str, pd.DataFrame]]:
        if self.group is None:
            return [("", frame)]
        for i in np.flatnonzero(frame[self.group].isna())[:1]:
            row = int(frame[ROW].iloc[i])
            raise InputError(f"{path}: row {row}, column '{self.group}' is empty: name its series")
        return [(str(name), piece) for name, piece in frame.groupby(self.group, sort=True)]

    def _encode(self, frame: pd.DataFrame, name: str) -> list[str]:
        """Names of the number columns that stand for a covariate, added where needed."""
        if name in CALENDAR and (name not in frame.columns or name in self._names(self.time)):
            return add_calendar(frame, name)
        if name not in self.words:
            return [name]
        text = frame[name].ffill().astype(str)
        for word in self.words[name]:
            frame[f"{name}={word}"] = (text == word).astype(float)
        return [f"{name}={word}" for word in self.words[name]]

    def _numbers(
        self, frame: pd.DataFrame, name: str, path: str, needed: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        numbers = np.asarray(pd.to_numeric(frame[name], errors="coerce"), dtype=np.float64)
        missing = np.isnan(numbers)
        for i in np.flatnonzero(missing & frame[name].notna())[:1]:
            word = frame[name].iloc[i]
            raise InputError(
                f"{path}: row {frame[ROW].iloc[i]:.0f}, column '{name}': '{word}' is no number: "
                f"leave it out, or type data.words={{{name}:[{word},...]}} with all its words"
            )
        for i in np.flatnonzero(np.isinf(numbers))[:1]:
            raise InputError(
                f"{path}: row {frame[ROW].iloc[i]:.0f}, column '{name}' is infinite: correct it"
            )
        for i in np.flatnonzero(missing & needed)[: self.gaps == "refuse"]:
            raise InputError(
                f"{path}: row {frame[ROW].iloc[i]:.0f}, column '{name}' is empty: "
                "type data.gaps=fill"
            )
        return numbers
