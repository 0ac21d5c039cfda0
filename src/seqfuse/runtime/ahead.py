"""The ends of the series of a table, from which their horizons are forecast."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.records import Cells
from seqfuse.runtime.scaling import TablePipeline
from seqfuse.runtime.stamps import (
    CALENDAR_PERIODS,
    Stamps,
    calendar_of,
    carried_on,
    clock_places,
    column_of,
    groups_of,
    is_empty,
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

    def pieces(self, cells: Cells) -> list[Piece]:
        """One for each series of a table, in the order of their names.

        Raises:
            InputError: whatever is wrong; names the column, and the row where there is one.
        """
        stamps = stamps_of(cells, self.facts["time"], self.facts["time_format"])
        numbers = {name: numbers_of(cells, name) for name in self._number_columns(cells)}
        group = self.facts["group"]
        if not group:
            return [self._piece("", cells, numbers, stamps, np.arange(len(stamps)))]
        names = groups_of(cells, group)
        return [
            self._piece(name, cells, numbers, stamps, np.flatnonzero(names == name))
            for name in sorted(set(names.tolist()))
        ]

    def _number_columns(self, cells: Cells) -> list[str]:
        covariates = [*self.facts["covariates"], *self.facts["known"]]
        words = [one for one in covariates if one in self.facts["words"]]
        return [
            *self.targets,
            *(one for one in covariates if one not in words and not self._computed(one, cells)),
        ]

    def _computed(self, name: str, cells: Cells) -> bool:
        """Whether a covariate follows from the time stamp."""
        return name in CALENDAR_PERIODS and (
            name not in cells.columns or name in self.facts["time"]
        )

    def _piece(
        self,
        name: str,
        cells: Cells,
        numbers: Mapping[str, NDArray[np.float64]],
        stamps: Stamps,
        rows: NDArray[np.int64],
    ) -> Piece:
        """The last look-back of one series, with what is known of the horizon behind it."""
        where = f"{cells.origin} ({name})" if name else cells.origin
        step, stamps = self.pipeline.facts.get("step"), stamps[rows]
        gaps = self.facts["gaps"]

        def row(i: int) -> str:
            return cells.row(int(rows[i]))

        places = clock_places(stamps, step, gaps, where, row)
        targets = [numbers[one][rows] for one in self.targets]
        there = np.flatnonzero(~np.isnan(targets).all(axis=0))
        if not len(there):
            raise InputError(f"{where}: no row has a value in {', '.join(self.targets[:12])}")
        first = int(places[there[-1]]) + 1
        if first < self.look_back:
            raise InputError(
                f"{where}: {first} rows up to the last target are too few for a look-back of "
                f"{self.look_back}: add earlier rows"
            )
        times = self._times(stamps, places, first + self.horizon, step)
        found = [on_clock(one, places, first + self.horizon)[:, None] for one in targets]
        for one in (*self.facts["covariates"], *self.facts["known"]):
            if self._computed(one, cells):
                found.append(calendar_of(times, one))
            elif one in numbers:
                found.append(on_clock(numbers[one][rows], places, len(times))[:, None])
            else:
                found.append(self._words(one, cells, rows, places, len(times)))
        values = np.concatenate(found, axis=1)
        self._check_cells(values, first, where, row)
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

    def _words(
        self,
        name: str,
        cells: Cells,
        rows: NDArray[np.int64],
        places: NDArray[np.int64],
        size: int,
    ) -> NDArray[np.float64]:
        """(size w) a column of 0 and 1 for each word."""
        column = column_of(cells, name)
        words, last = np.full(size, "", dtype=object), ""
        given = dict(zip(places.tolist(), [column[i] for i in rows], strict=True))
        for t in range(size):
            last = last if is_empty(given.get(t)) else given[t]  # what is missing is as before
            words[t] = str(last)
        return np.column_stack([words == one for one in self.facts["words"][name]]).astype(float)

    def _check_cells(
        self, values: NDArray[np.float64], first: int, where: str, row: Callable[[int], str]
    ) -> None:
        """Raises InputError where a cell is empty that must not be."""
        known = len(self.columns) - self.facts["num_known"]
        check_known(values[first:, known:], self.columns[known:], where)
        past = np.isnan(values[:first]).T
        for c, t in np.argwhere(past)[: self.facts["gaps"] == "refuse"]:  # no row was added
            raise InputError(f"{where}: {row(int(t))}, column '{self.columns[c]}' is empty")


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
