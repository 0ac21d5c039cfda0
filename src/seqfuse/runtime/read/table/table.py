"""A table as it was read: series of numbers, their windows, and targets in the user's units."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.read.table.stamps import Stamps, shown
from seqfuse.runtime.read.table.steps import carried_on
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.windows import Span


@dataclass(frozen=True)
class Table(Recordings):
    """Series of numbers: targets first, then covariates, those known ahead last; NaN is missing."""

    num_targets: int = 0
    num_known: int = 0
    ahead: int = 0
    """Last steps of each series, which lie behind its last target."""
    left_out: tuple[str, ...] = ()
    """Columns of the file that are none of its own."""
    holidays: tuple[str, ...] = ()
    """Dates of the column `holiday`."""
    levels: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    """Mean and standard deviation (r k) of the targets of each series, which the values are
    measured in, where each series has its own."""
    rows: NDArray[np.int64] | None = None
    """(n) the row of the file at each step, counted from 0; -1 where the clock alone has one."""

    @property
    def time(self) -> Stamps:
        """(n)"""
        return self.steps["time"]  # type: ignore[return-value]

    def times(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Time stamps of rows; their numbers, where there are no stamps."""
        return self.time[rows] if "time" in self.steps else rows

    @cached_property
    def is_daily(self) -> bool:
        """Whether every time stamp is a midnight."""
        time = self.time if "time" in self.steps else None
        if time is None or np.isnat(time).all():
            return False
        return bool(((time == time.astype("datetime64[D]")) | np.isnat(time)).all())

    def written(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Time stamps of rows for people, as dates where every one of the table is a midnight."""
        return self.times(rows).astype("datetime64[D]") if self.is_daily else self.times(rows)

    def ends(
        self, look_back: int, every: int | None = None, start: Any = None
    ) -> NDArray[np.int64]:
        """(w) rows at which horizons begin.

        Of each series the one behind its last target, or every n-th row up to there; with a
        `start`, a stamp or the number of a row, the first at or after it, and every n-th from
        there on.
        """
        starts = []
        for i, (first, end) in enumerate(itertools.pairwise(self.offsets.tolist())):
            last, minimum = end - self.ahead, first + look_back
            if last < minimum:
                name = f" ({self.names[i]})" if self.names and self.names[i] else ""
                raise InputError(
                    f"{self.origin}{name}: {last - first} rows up to the last target are too few "
                    f"for data.look_back={look_back} (in training data.min_look_back may allow "
                    "less): add earlier rows, or leave it out"
                )
            if start is None:
                starts.append(np.arange(last, minimum - 1, -(every or end))[::-1])
            else:
                row = self._first(start, i, minimum, last)
                starts.append(np.arange(row, last + 1, every or end))
        return np.concatenate(starts)

    def in_own_units(self, pipeline: TablePipeline, spans: Sequence[Span]) -> "Table":
        """With targets standardised by series, if the pipeline wants that.

        Spans are the rows of each series that the scale of a new one is taken from.
        """
        if pipeline.scaling != "series":
            return self
        k, names = self.num_targets, self.names or [""] * len(self)
        scales = pipeline.of_series(names, [self.values[a:b, :k] for a, b in spans])
        mean = np.nan_to_num([scale.mean for scale in scales])
        std = np.array([scale.std for scale in scales])
        targets = self.values[:, :k] - np.repeat(mean, self.lengths, axis=0)
        targets /= np.repeat(std, self.lengths, axis=0)
        values = np.hstack([targets, self.values[:, k:]])
        return replace(self, values=values, levels=(mean, std))

    def undo(self, targets: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Targets (b h k ...) of windows with horizons from these rows on, in the user's units."""
        if self.levels is None:
            return targets
        owners = self.owners(rows)
        shape = (len(rows), 1, self.num_targets, *(1,) * (targets.ndim - 3))
        mean, std = (level[owners].reshape(shape) for level in self.levels)
        return targets * std + mean

    def owners(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(w) numbers of the series of windows whose horizons begin at these rows."""
        return np.searchsorted(self.offsets, starts - 1, side="right") - 1

    def _first(self, start: Any, series: int, minimum: int, last: int) -> int:
        """The row from `minimum` to `last` of a series that is the first at or after a start."""
        times = self.times(np.arange(self.offsets[series], last + 1))
        row = int(self.offsets[series] + np.searchsorted(times, start))
        latest = times[-1] if times.dtype.kind != "M" or not np.isnat(times[-1]) else times[-2]
        if row < minimum or not start <= latest:
            name = f" ({self.names[series]})" if self.names and self.names[series] else ""
            earliest = times[minimum - int(self.offsets[series])]
            raise InputError(
                f"{self.origin}{name}: start={shown(start)} must be from {shown(earliest)}, behind "
                f"the first look-back, to {shown(latest)}"
            )
        return row

    def fingerprint(self) -> str:
        """SHA-256 of time stamps and values, first 16 digits."""
        digest = hashlib.sha256(self.time.astype("int64").tobytes())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()[:16]


def windows_of(
    table: Table, starts: NDArray[np.int64], look_back: int, horizon: int = 0
) -> Recordings:
    """The `look_back` rows before each start, all columns; with a `horizon`, its labels, too.

    The last value goes on where one is missing. A label is the mean of each target over the
    horizon's observed values, NaN where there is none; windows without any, or before the first
    value of a series, are left out. A window is called by its series and its last time stamp.
    """
    k, numbers = table.num_targets, None
    filled = np.concatenate(
        [carried_on(part) for part in np.split(table.values, table.offsets[1:-1])]
    )
    back = np.arange(look_back, 0, -1)
    if horizon:
        ahead = table.values[starts[:, None] + np.arange(horizon), :k]
        observed = ~np.isnan(ahead)
        count = np.where(observed.any(axis=1), observed.sum(axis=1), np.nan)
        means = np.where(observed, ahead, 0).sum(axis=1) / count
        begun = ~np.isnan(filled[starts - 1]).all(axis=1)
        kept = begun & ~np.isnan(means).all(axis=1)
        starts, numbers = starts[kept], means[kept]
    whose = table.names if table.names is not None else [""] * len(table)
    stamps = zip(table.owners(starts), table.times(starts - 1), strict=True)
    return series(
        filled[starts[:, None] - back],
        numbers,
        names=[f"{whose[owner]} {shown(stamp)}".strip() for owner, stamp in stamps],
        label_type="numbers",
        columns=table.columns,
        targets=table.columns[:k],
        clock=table.clock,
        origin=table.origin,
        unit="windows",
    )


def log_returns(prices: NDArray[Any], firsts: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
    """(n k) logarithms of each price over the one before; 0 in the first row of a series."""
    logs = np.log(prices)
    change = np.diff(logs, axis=0, prepend=logs[:1])
    change[firsts] = 0.0
    return change
