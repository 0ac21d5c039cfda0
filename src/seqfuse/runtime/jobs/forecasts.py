"""Forecasts of tables and of rows on disk, in the user's units."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.engine import Engine, Feeds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations import explained
from seqfuse.runtime.explanations.cases import Case, Input, Wanted
from seqfuse.runtime.explanations.scores import Linear, chosen
from seqfuse.runtime.files import path_in
from seqfuse.runtime.jobs.adaptive import Adaptive
from seqfuse.runtime.jobs.classes import ALONE
from seqfuse.runtime.jobs.job import Job, joined
from seqfuse.runtime.jobs.numbers import deviation
from seqfuse.runtime.naive import Comparison, season_within
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read.numbers import as_numbers, check_finite
from seqfuse.runtime.read.table.cells import Cells, as_cells
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.rows import RowReader
from seqfuse.runtime.read.table.scenarios import with_scenario
from seqfuse.runtime.read.table.stamps import shown_in
from seqfuse.runtime.read.table.table import Table, log_returns
from seqfuse.runtime.windows import Windows, gather
from seqfuse.runtime.writer import Columns, Rows

READERS: dict[str, Any] = {"table": TableReader, "rows": RowReader}
PANELS = 12
"""Forecasts of a series that are drawn, at most, or one of each target."""


class Request(NamedTuple):
    """Which forecasts are made of a table: one behind the last row with a target, or others."""

    every: int | None = None
    """Forecasts from every n-th row: from `start` on, or counted back from the last."""
    start: Any = None
    """Stamp (or number of a row) at or after which the first horizon begins."""
    horizon: int | None = None
    """Steps, at most as many as were trained for; None: all of them."""
    known: Any = None
    """A scenario: what is known ahead, as a table of its own, in memory or in a file."""
    adaptive: bool | None = None
    """Whether bands follow the errors of the forecasts before (see `runtime.jobs.adaptive`)."""

    def changed(self, **given: Any) -> "Request":
        """A request with what is given in place of its own."""
        return self._replace(**{name: v for name, v in given.items() if v is not None})

    @property
    def looks_back(self) -> bool:
        """Whether what came behind an origin may be in the table."""
        return self.every is not None or self.start is not None


class Forecasts(NamedTuple):
    """Forecasts of a batch of windows; in the user's units, if nothing else is said."""

    starts: NDArray[np.int64]
    """(b) rows at which horizons begin."""
    past: NDArray[np.float32]
    """(b t k) what was looked back on, scaled; its first steps, where it is shorter."""
    steps: NDArray[np.int64]
    """(b) of each look-back."""
    quantiles: NDArray[np.float64]
    """(b h k p)"""
    weights: NDArray[np.float32]
    """(b q t') attention."""
    apart: NDArray[np.float64] | None
    """(b h k) standard deviation of the medians of an ensemble's members."""


class Panel(NamedTuple):
    """One forecast of a target beside what happened, to be drawn."""

    time: NDArray[np.datetime64] | NDArray[np.int64]
    """(t + h) time stamps, or numbers of rows."""
    history: NDArray[np.float64]
    """(t)"""
    truth: NDArray[np.float64]
    """(h) NaN where it is not known."""
    prediction: NDArray[np.float64]
    """(h p) quantiles in order."""
    levels: Sequence[float]
    """(p)"""
    weights: NDArray[np.floating]
    """(t) attention relative to its mean over the whole look-back."""
    title: str


class Forecaster(Job):
    """Forecasts from the last row of each series with a target on, or from earlier ones.

    Rows for people: the group, if there is one; `from`, the last time stamp (or number of a row)
    that was seen; `time` (where there are stamps) and `step`, from 1; `<target>` and
    `<target>_q<level>` for its bands; from earlier rows on `<target>_true`, as far as it is known;
    of an ensemble `<target>_disagreement`. A time is missing where a table has no such row and
    rows are the clock.

    Args:
        metadata, engine, batch_size: as of a `Job`.
        every, start, horizon, known, adaptive: as in `Request`.
    """

    options = Request._fields

    def __init__(
        self,
        metadata: Mapping[str, Any],
        engine: Engine,
        batch_size: int | str = "auto",
        every: int | None = None,
        start: Any = None,
        horizon: int | None = None,
        known: Any = None,
        adaptive: bool | None = None,
    ):
        super().__init__(metadata, engine, batch_size)
        self.pipeline = unpack(metadata["pipeline"])
        options = dict(metadata["file_format"])
        self.reader = READERS[options.pop("kind")](**options)
        self.endings: tuple[str, ...] = self.reader.endings
        self.columns: list[str] = self.pipeline.columns
        """Columns of an array: targets first, then covariates, those known ahead last."""
        self.targets = self.columns[: self.pipeline.num_targets]
        self.quantiles: list[float] = metadata["quantiles"]
        self.look_back, self.horizon = metadata["look_back"], metadata["horizon"]
        self.min_look_back: int = metadata["min_look_back"]
        self.request = self._checked(Request(every, start, horizon, known, adaptive))
        names = [f"{name}_true" for name in self.targets]
        if "members" in metadata:
            names += [f"{name}_disagreement" for name in self.targets]
        names += [*self.reader.head, *(n for name in self.targets for n in self._levels(name))]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two columns of the output would be called '{name}'")

    def predict(
        self,
        x: Any,
        every: int | None = None,
        start: Any = None,
        horizon: int | None = None,
        known: Any = None,
        adaptive: bool | None = None,
    ) -> Any:
        """Forecasts of arrays, or of a table in memory or in a file.

        Args:
            x: (t c) or (b t c) in the user's units, NaN where missing, of at least
                `min_look_back` steps in the order of `columns`; where some are known ahead, as
                many more as the horizon that was trained for, whose other cells are not looked at.
                Or a table: a dict of columns, a frame, or the path of a file.
            every, start, horizon, known, adaptive: as in `Request`; all but `horizon` of tables
            alone.

        Returns:
            (h k p) or (b h k p), targets by quantiles; of a table columns as in a file.
        """
        given = {"every": every, "start": start, "known": known, "adaptive": adaptive}
        request = self._checked(self.request.changed(horizon=horizon, **given))
        if not isinstance(x, (np.ndarray, list, tuple)):
            table, starts = self.windows(path_in(x, self.endings) or as_cells(x), request)
            return joined(self._rows(table, starts, request.looks_back, request))
        for name, value in given.items():
            if value is not None:
                raise InputError(f"{name}={value} is for tables, and x is an array: leave it out")
        parts = [part.quantiles[:, : request.horizon] for part in self._of_array(x)]
        return np.concatenate(parts)[0] if np.ndim(x) == 2 else np.concatenate(parts)

    def disagreement(self, x: Any) -> NDArray[np.float64]:
        """(h k) or (b h k) the standard deviation of the medians of an ensemble, of arrays."""
        parts = [part.apart for part in self._of_array(x) if part.apart is not None]
        if not parts:
            raise InputError(ALONE)
        return np.concatenate(parts)[0] if np.ndim(x) == 2 else np.concatenate(parts)

    def _attributions(self, x: Any, cases: Iterable[Case], method: str, segment: int | None) -> Any:
        if not isinstance(x, (np.ndarray, list, tuple)):
            return super()._attributions(x, cases, method, segment)
        attributions = explained.arrays(self.engine, cases, method, segment)
        return attributions[0] if np.ndim(x) == 2 else attributions

    def cases_in(self, x: Any, wanted: Wanted) -> Iterator[Case]:
        if isinstance(x, (np.ndarray, list, tuple)):
            return self._cases(*self._array_windows(x), wanted)
        return self.cases_known(wanted, *self.windows(as_cells(x)))

    def cases_of(self, path: Path, wanted: Wanted, file: str | None = None) -> Iterator[Case]:
        names = {} if file is None else {"file": file}
        return self.cases_known(wanted, *self.windows(path), **names)

    def cases_known(
        self, wanted: Wanted, table: Table, starts: Any, **names: str
    ) -> Iterator[Case]:
        return self._cases(table, self._windows(table, starts), wanted, names)

    def _cases(
        self, table: Table, windows: Windows, wanted: Wanted, names: Mapping[str, str] | None = None
    ) -> Iterator[Case]:
        size = self.batch_size if isinstance(self.batch_size, int) else explained.WINDOWS
        for rows, feeds in windows.feeds(size):
            prediction, weights, *_ = self.engine(feeds)
            yield Case(
                feeds,
                [self._input(feeds)],
                prediction,
                weights,
                self._queries(weights, wanted),
                self.metadata["stride"],
                self._score(table, rows, prediction, wanted),
                self._origins(table, rows, names or {}),
                [
                    self._steps(table, row, mask)
                    for row, mask in zip(rows, feeds["mask"], strict=True)
                ],
            )

    def _input(self, feeds: Feeds) -> Input:
        """Columns of windows: their training means stand for none."""
        x, num_known = feeds["x"], self.pipeline.num_known
        present = np.repeat(feeds["mask"][:, :, None], x.shape[2], axis=2)
        if num_known:
            present[:, self.look_back :, -num_known:] = True
        columns = np.arange(x.shape[2])
        return Input("", "x", np.zeros_like(x), columns, self.columns, present)

    def _queries(self, weights: NDArray[Any], wanted: Wanted) -> NDArray[np.float64]:
        """(b q) how much each query, of a segment of the horizon, counts."""
        count = weights.shape[1]
        if wanted.step is None:
            return np.full(weights.shape[:2], 1 / count)
        segment = (wanted.step - 1) // -(-self.horizon // count)
        return np.repeat(np.eye(count)[segment : segment + 1], len(weights), axis=0)

    def _score(
        self, table: Table, rows: NDArray[np.int64], prediction: NDArray[Any], wanted: Wanted
    ) -> Linear:
        """The median of a target in its own units: at a step, or the mean over the horizon."""
        step, horizon = wanted.step, self.request.horizon or self.horizon
        if step is not None and (type(step) is not int or not 1 <= step <= horizon):
            raise InputError(f"step={step} must be a whole number from 1 to {horizon}")
        [target] = chosen(wanted.target, self.targets, "target", np.zeros(1, dtype=np.int64))
        selected = np.zeros(prediction.shape[1:])
        steps = slice(0, horizon) if step is None else slice(step - 1, step)
        selected[steps, target, self.quantiles.index(0.5)] = 1 if step else 1 / horizon

        def undo(outputs: NDArray[Any]) -> NDArray[np.float64]:
            return table.undo(self.pipeline.undo(outputs, outputs=True), rows)

        offset = undo(np.zeros(prediction.shape))
        weights = (undo(np.ones(prediction.shape)) - offset) * selected
        offsets = (offset * selected).reshape(len(rows), -1).sum(axis=1)
        name = self.targets[target] + (f" at step {step}" if step else "")
        return Linear(weights, offsets, [name] * len(rows))

    def _origins(
        self, table: Table, rows: NDArray[np.int64], names: Mapping[str, str]
    ) -> dict[str, Sequence[Any]]:
        """Name of each forecast for people: its group, and the last stamp that was seen."""
        places = self._places(table, rows, 1)
        kept = {name: places[name] for name in (self.reader.group, "from") if name in places}
        return {**{name: [each] * len(rows) for name, each in names.items()}, **kept}

    def _steps(self, table: Table, row: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Steps of a window, 0 the last that was looked back on, and their stamps."""
        past, ahead = int(mask.sum()), len(mask) - self.look_back
        steps = np.arange(1 - past, 1 + ahead)
        stamps = {"time": table.written(row - 1 + steps)} if table.steps else {}
        return {"step": steps, **stamps}

    def _of_array(self, x: Any) -> Iterator[Forecasts]:
        return self._outputs(*self._array_windows(x))

    def _array_windows(self, x: Any) -> tuple[Table, Windows]:
        """An array as a table, and a window at the end of each of its series."""
        array = as_numbers(x, "x", "numbers (time, columns) or (windows, time, columns)", (2, 3))
        if not len(array):
            raise InputError("there is nothing to forecast: x is empty")
        ends = [self._end(window) for window in (array if array.ndim == 3 else [array])]
        offsets = np.arange(len(ends) + 1) * len(ends[0])
        sizes = {"num_targets": len(self.targets), "num_known": self.pipeline.num_known}
        table = Table(np.concatenate(ends), offsets, self.columns, origin="x", **sizes)
        starts = offsets[1:] - self._steps_ahead
        table = self._in_own_units(table, starts)
        return table, self._windows(table, starts)

    def rows(self, path: str | Path) -> Rows:
        table, starts = self.windows(Path(path))
        return self._rows(table, starts, self.request.looks_back, self.request)

    def known(self, table: Table, starts: Any) -> Rows:
        """Rows for people of a split, as the test step sees it, with `<target>_true`."""
        for name, value in self.request._replace(horizon=None, adaptive=None)._asdict().items():
            if value is not None:
                raise InputError(f"{name}={value} is for input=<file>: a split has its own windows")
        return self._rows(table, starts, True, self.request)

    def windows(
        self, given: Path | Cells, request: Request | None = None
    ) -> tuple[Table, NDArray[np.int64]]:
        """A table that goes on for a horizon, and (w) the rows at which its horizons begin."""
        request = request or self.request
        start = None if request.start is None else self.reader.moment(request.start)
        if request.known is not None:
            given = self._with_scenario(given, request.known)
        table = self.reader.ahead(given, self.pipeline, self.horizon, request.looks_back)
        starts = table.ends(self.min_look_back, request.every, start)
        return self._in_own_units(table, starts), starts

    def _in_own_units(self, table: Table, starts: NDArray[np.int64]) -> Table:
        """A table whose new series are scaled by the rows before their first forecast."""
        firsts = starts[np.searchsorted(table.owners(starts), np.arange(len(table)))]
        spans = list(zip(table.offsets[:-1].tolist(), firsts.tolist(), strict=True))
        return table.in_own_units(self.pipeline, spans)

    def panels(self, table: Table, starts: Any) -> Iterator[tuple[str, list[Panel]]]:
        """Panels of each series to draw, and its name: forecasts all over it, the last one among
        them."""
        starts, maximum = np.asarray(starts), max(PANELS // len(self.targets), 1)
        edges = np.flatnonzero(np.diff(table.owners(starts))) + 1
        chosen = []
        for rows in np.split(starts, edges):
            places = np.linspace(0, len(rows) - 1, min(maximum, len(rows))).round().astype(int)
            chosen.append(rows[places] if len(places) > 1 else rows[-1:])
        windows = self._windows(table, np.concatenate(chosen))

        def drawn() -> Iterator[tuple[int, Panel]]:
            for part in self._outputs(table, windows):
                truth = self._truth(table, windows, part.starts)
                for i, owner in enumerate(table.owners(part.starts).tolist()):
                    for target in range(len(self.targets)):
                        yield owner, self._panel(table, part, truth, i, target)

        for owner, pairs in itertools.groupby(drawn(), key=lambda pair: pair[0]):
            yield table.names[owner] if table.names else "", [panel for _, panel in pairs]

    def _panel(self, table: Table, part: Forecasts, truth: Any, i: int, target: int) -> Panel:
        horizon, row = self.request.horizon or self.horizon, part.starts[i]
        steps = int(part.steps[i])
        shown = min(steps, 3 * self.horizon)
        time = table.times(np.arange(row - shown, row + horizon))
        dated = time.dtype.kind == "M" and not np.isnat(time).any()
        weights = part.weights[i].mean(axis=0)
        weights = np.repeat(weights, self.metadata["stride"])[:steps]
        past = self._past(table, part, slice(i, i + 1), steps)[0]
        return Panel(
            time if dated else np.arange(row - shown, row + horizon),
            past[-shown:, target],
            truth[i, :horizon, target],
            part.quantiles[i, :horizon, target],
            self.quantiles,
            (weights / weights.mean())[-shown:],
            f"{self.targets[target]}, from {shown_in(time, shown)}",
        )

    def _past(self, table: Table, part: Forecasts, rows: Any, steps: int) -> NDArray[np.float64]:
        """(b t k) look-backs of so many steps, in the user's units."""
        return table.undo(self.pipeline.undo(part.past[rows, :steps]), part.starts[rows])

    def _with_scenario(self, given: Path | Cells, known: Any) -> Cells:
        if not self.reader.known:
            raise InputError(
                f"known={known if isinstance(known, (str, Path)) else '<table>'}: the net was "
                "trained without anything known ahead (data.known): leave it out"
            )
        scenario = path_in(known, self.endings) or as_cells(known)
        words = [n for n in self.reader.known if any(c.startswith(f"{n}=") for c in self.columns)]
        tables = self.reader.cells(given), self.reader.cells(scenario)
        return with_scenario(*tables, self.reader, self.targets, words)

    def _checked(self, request: Request) -> Request:
        """A request, once it can be fulfilled."""
        every, horizon = request.every, request.horizon
        if every is not None and (type(every) is not int or every < 1):
            raise InputError(f"every={every} must be null or a whole number from 1")
        if horizon is not None and (type(horizon) is not int or not 1 <= horizon <= self.horizon):
            raise InputError(
                f"horizon={horizon}: the net was trained to forecast {self.horizon} steps: give a "
                f"whole number from 1 to {self.horizon}"
            )
        if request.start is not None:
            self.reader.moment(request.start)
        if request.adaptive not in (None, True, False):
            raise InputError(f"adaptive={request.adaptive} must be true or false")
        if request.adaptive and len(self.quantiles) < 2:
            raise InputError(
                "adaptive=true: the net has no bands (task/loss=pinball): leave it out"
            )
        return request

    def _rows(self, table: Table, starts: Any, truth: bool, request: Request) -> Rows:
        steps = request.horizon or self.horizon
        season = season_within(self.metadata["season"], self.look_back)
        comparison = Comparison(self.targets, season)
        bands = self._bands(table, starts, truth, steps) if request.adaptive else None
        columns = self._columns(table, starts, comparison if truth else None, steps, bands)

        def notes() -> Iterator[str]:
            yield from comparison.lines()
            if bands is not None:
                yield from bands.lines()

        return Rows(columns, len(starts) * steps, notes)

    def _bands(self, table: Table, starts: Any, truth: bool, horizon: int) -> Adaptive:
        """Bands that follow the forecasts before, of which there must be some."""
        if not truth:
            raise InputError(
                "adaptive=true learns from forecasts whose outcome is known: type every=1, too"
            )
        starts = np.asarray(starts)
        ends = np.asarray(table.offsets[1:]) - table.ahead
        return Adaptive(self.quantiles, starts, table.owners(starts), ends, horizon)

    def _columns(
        self,
        table: Table,
        starts: Any,
        comparison: Comparison | None,
        horizon: int,
        bands: Adaptive | None = None,
    ) -> Iterator[Columns]:
        """Rows batch by batch; with what came behind each origin, where that is compared."""
        windows = self._windows(table, starts)
        for part in self._outputs(table, windows):
            columns = self._places(table, part.starts, horizon)
            quantiles, true = part.quantiles[:, :horizon], None
            if comparison is not None:
                true = self._truth(table, windows, part.starts)[:, :horizon]
                median = quantiles[..., self.quantiles.index(0.5)]
                scale = self._scale(table, part.starts)
                for steps in np.unique(part.steps):  # few: of most batches one
                    rows = part.steps == steps
                    past = self._past(table, part, rows, steps)
                    comparison.update(past, true[rows], median[rows], scale[rows])
                if bands is not None:
                    quantiles = bands(part.starts, table.owners(part.starts), quantiles, true)
            for i, target in enumerate(self.targets):
                levels = dict(
                    zip(self._levels(target), np.moveaxis(quantiles[:, :, i], 2, 0), strict=True)
                )
                columns[target] = levels[target].ravel()  # the median first
                columns |= {name: level.ravel() for name, level in levels.items()}
                columns |= {} if true is None else {f"{target}_true": true[..., i].ravel()}
                if part.apart is not None:
                    columns[f"{target}_disagreement"] = part.apart[:, :horizon, i].ravel()
            yield columns

    def _windows(self, table: Table, starts: Any) -> Windows:
        values, filled = self.reader.scaled(table, self.pipeline)
        sizes = (self.look_back, self.horizon, self.pipeline.num_targets, self.pipeline.num_known)
        return Windows(values, filled, starts, *sizes, offsets=table.offsets)

    @property
    def _steps_ahead(self) -> int:
        """Steps behind the look-back that an array has, too."""
        return self.horizon if self.pipeline.num_known else 0

    def _outputs(self, table: Table, windows: Windows) -> Iterator[Forecasts]:
        for rows, feeds in windows.feeds(self.batch_size):

            def undo(outputs: NDArray[Any], rows: NDArray[np.int64] = rows) -> NDArray[np.float64]:
                return table.undo(self.pipeline.undo(outputs, outputs=True), rows)

            predicted = self.engine(feeds)
            past = feeds["x"][:, : self.look_back, : len(self.targets)]
            steps = feeds["mask"][:, : self.look_back].sum(axis=1)
            apart = predicted.disagreement
            spread = None if apart is None else deviation(apart, undo)
            values = undo(predicted.prediction)
            yield Forecasts(rows, past, steps, values, predicted.weights, spread)

    def _scale(self, table: Table, starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """(b k) standard deviations of the targets, of each series where it has its own."""
        unit = np.ones((len(starts), 1, len(self.targets)))
        zero = table.undo(self.pipeline.undo(0 * unit), starts)
        return (table.undo(self.pipeline.undo(unit), starts) - zero)[:, 0]

    def _truth(
        self, table: Table, windows: Windows, starts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(b h k) what came behind each origin, NaN where it is missing or not yet known."""
        rows = windows.values.shape[0]
        truth = np.full((len(starts), self.horizon, len(self.targets)), np.nan, np.float32)
        inside = starts + self.horizon <= rows
        if inside.any():
            truth[inside] = windows.y(starts[inside])
        for i in np.flatnonzero(~inside & (starts < rows)):  # where rows are not added
            steps = rows - int(starts[i])
            rest = gather(windows.values, starts[i : i + 1], steps)[0]
            truth[i, :steps] = rest[:, : truth.shape[2]]
        return table.undo(self.pipeline.undo(truth), starts)

    def _places(self, table: Table, rows: NDArray[np.int64], horizon: int) -> Columns:
        steps = np.arange(horizon)
        columns: Columns = {}
        if self.reader.group:
            series = np.searchsorted(table.offsets, rows, side="right") - 1
            columns[self.reader.group] = np.repeat(np.array(table.names)[series], horizon)
        columns["from"] = np.repeat(table.written(rows - 1), horizon)
        if table.steps:
            columns["time"] = table.written(rows[:, None] + steps).ravel()
        return {**columns, "step": np.tile(steps + 1, len(rows))}

    def _levels(self, target: str) -> list[str]:
        """Columns of the outputs of a target."""
        return [target if q == 0.5 else f"{target}_q{q:g}" for q in self.quantiles]

    def _end(self, window: NDArray[Any]) -> NDArray[np.float64]:
        """The last steps of a window, its targets as returns where they are prices."""
        k, num_known = len(self.targets), self.pipeline.num_known
        minimum = self.min_look_back + self._steps_ahead
        if window.shape[1] != len(self.columns) or len(window) < minimum:
            raise InputError(
                f"x has shape {window.shape}, expected {minimum} steps or more of the "
                f"{len(self.columns)} columns {', '.join(self.columns[:12])}"
            )
        window = window.astype(np.float64)
        end = len(window) - self._steps_ahead
        seen, ahead = window[:end], window[end:, len(self.columns) - num_known :]
        check_finite(seen, self.columns, "x")
        if self.reader.fills and np.isnan(seen[-self.look_back :, :k]).all():
            raise InputError(
                f"x: none of the last {self.look_back} rows up to row {end - 1} has a value in "
                f"{', '.join(self.targets[:12])}"
            )
        names = self.columns[len(self.columns) - num_known :]
        check_finite(ahead, names, "x", end)
        for t, c in np.argwhere(np.isnan(ahead))[:1]:
            raise InputError(
                f"x: column '{names[c]}' is to be known ahead, but step {t + 1} of the "
                f"{len(ahead)} behind the last target has no value: add its row"
            )
        if self.reader.returns:
            if (window[:, :k] <= 0).any():
                raise InputError("x: returns need prices above 0")
            window[:, :k] = log_returns(window[:, :k], [0])
        return window[-self.look_back - self._steps_ahead :]
