"""The ends of the series of a table, from which their horizons are forecast."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.plain.errors import InputError
from seqfuse.plain.items import Columns
from seqfuse.plain.scaling import TablePipeline
from seqfuse.plain.stamps import (
    CALENDAR_PERIODS,
    Stamps,
    calendar_of,
    carried_on,
    clock_places,
    column_of,
    numbers_of,
    on_clock,
    stamps_of,
)


class Piece(NamedTuple):
    """The end of one series, and what is known of the horizon."""

    name: str
    values: NDArray[np.float64]
    """(look_back, or look_back + horizon, c) raw, in the order of the columns."""
    seen: np.datetime64
    """Of the last row with a target."""
    times: Stamps
    """(horizon)"""


class Ahead:
    """Reads tables like the training one.

    Args:
        facts: of the exported folder.
        pipeline: fitted.
    """

    def __init__(self, facts: Mapping[str, Any], pipeline: TablePipeline):
        self.facts, self.pipeline = facts, pipeline
        self.columns = pipeline.columns
        self.targets = self.columns[: pipeline.num_targets]
        self.look_back, self.horizon = facts["look_back"], facts["horizon"]
        self.steps = self.look_back + (self.horizon if facts["num_known"] else 0)

    def pieces(self, columns: Columns, origin: str) -> list[Piece]:
        """One for each series of a table, in the order of their names.

        Raises:
            InputError: whatever is wrong; names the column, and the row where there is one.
        """
        stamps = stamps_of(columns, self.facts["time"], origin)
        group = self.facts["group"]
        if not group:
            return [self._piece("", columns, stamps, np.arange(len(stamps)), origin)]
        names = np.array([str(name) for name in column_of(columns, group, origin)])
        return [
            self._piece(name, columns, stamps, np.flatnonzero(names == name), f"{origin} ({name})")
            for name in sorted(set(names.tolist()))
        ]

    def _piece(
        self, name: str, columns: Columns, stamps: Stamps, rows: NDArray[np.int64], where: str
    ) -> Piece:
        """The last look-back of one series, with what is known of the horizon behind it."""
        step = self.pipeline.facts.get("step")
        places = clock_places(stamps[rows], step, self.facts["gaps"], where)
        targets = [numbers_of(columns, one, where)[rows] for one in self.targets]
        there = np.flatnonzero(~np.isnan(targets).all(axis=0))
        if not len(there):
            raise InputError(f"{where}: no row has a value in {', '.join(self.targets[:12])}")
        first = int(places[there[-1]]) + 1
        if first < self.look_back:
            raise InputError(
                f"{where}: {first} rows up to the last target are too few for a look-back of "
                f"{self.look_back}: add earlier rows"
            )
        times = self._times(stamps[rows], places, first + self.horizon, step)
        found = [on_clock(one, places, first + self.horizon)[:, None] for one in targets]
        for one in (*self.facts["covariates"], *self.facts["known"]):
            found.append(self._encoded(one, columns, rows, places, times, where))
        values = np.concatenate(found, axis=1)
        self._check_cells(values, first, where)
        values = np.concatenate([returns_of(values[:first], self.facts, where), values[first:]])
        filled = carried_on(values[:first])
        values = np.concatenate([filled[-self.look_back :], values[first:]])
        return Piece(name, values[: self.steps], times[first - 1], times[first:])

    def _times(
        self, stamps: Stamps, places: NDArray[np.int64], size: int, step: int | None
    ) -> Stamps:
        """(size) of each step of the clock; unknown behind the last row, where rows are it."""
        if step and self.facts["gaps"] != "ignore":
            return stamps[0] + np.arange(size) * np.timedelta64(step, "s")
        found = np.full(size, np.datetime64("NaT", "s"))
        inside = places < size
        found[places[inside]] = stamps[inside]
        return found

    def _encoded(
        self,
        name: str,
        columns: Columns,
        rows: NDArray[np.int64],
        places: NDArray[np.int64],
        times: Stamps,
        where: str,
    ) -> NDArray[np.float64]:
        """(t e) the number columns that stand for a covariate."""
        if name in CALENDAR_PERIODS and (name not in columns or name in self.facts["time"]):
            return calendar_of(times, name)
        if name not in self.facts["words"]:
            return on_clock(numbers_of(columns, name, where)[rows], places, len(times))[:, None]
        cells = column_of(columns, name, where)
        words, last = np.full(len(times), "", dtype=object), ""
        given = dict(zip(places.tolist(), [cells[i] for i in rows], strict=True))
        for t in range(len(times)):
            last = given.get(t) or last  # what is missing is as before
            words[t] = str(last)
        return np.column_stack([words == one for one in self.facts["words"][name]]).astype(float)

    def _check_cells(self, values: NDArray[np.float64], first: int, where: str) -> None:
        """Raises InputError where a cell is empty that must not be."""
        known = len(self.columns) - self.facts["num_known"]
        check_known(values[first:, known:], self.columns[known:], where)
        past = np.isnan(values[:first])
        for t, c in np.argwhere(past)[: self.facts["gaps"] == "refuse"]:
            raise InputError(
                f"{where}: row {t + 1} of the series, column '{self.columns[c]}' is empty"
            )


def check_known(ahead: NDArray[np.float64], columns: Sequence[str], where: str) -> None:
    """Raises InputError where a cell of (horizon, c) is empty."""
    for t, c in np.argwhere(np.isnan(ahead))[:1]:
        raise InputError(
            f"{where}: column '{columns[c]}' is to be known ahead, but step {t + 1} of the "
            f"{len(ahead)} behind the last target has no value: add its row"
        )


def returns_of(
    values: NDArray[np.float64], facts: Mapping[str, Any], where: str
) -> NDArray[np.float64]:
    """(t c) with log-returns in the place of targets that are prices; the first one is 0.

    Raises:
        InputError: a price is not above 0.
    """
    if not facts["returns"]:
        return values
    values, k = values.copy(), facts["pipeline"]["state"]["num_targets"]
    if (values[:, :k] <= 0).any():
        raise InputError(f"{where}: returns need prices above 0")
    logs = np.log(values[:, :k])
    values[:, :k] = np.diff(logs, axis=0, prepend=logs[:1])
    return values
