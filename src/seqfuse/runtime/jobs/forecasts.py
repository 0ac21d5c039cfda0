"""Forecasts of tables and of rows on disk, in the user's units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import path_in
from seqfuse.runtime.jobs.classes import ALONE
from seqfuse.runtime.jobs.numbers import deviation
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read.cells import as_cells
from seqfuse.runtime.read.numbers import as_numbers, check_finite
from seqfuse.runtime.read.rows import RowReader
from seqfuse.runtime.read.tables import Table, TableReader, log_returns
from seqfuse.runtime.windows import Windows
from seqfuse.runtime.writer import Columns, Rows

Outputs = tuple[NDArray[np.int64], NDArray[Any], NDArray[Any] | None]
"""(b) rows at which horizons begin, and in the user's units (b h k p) forecasts and, of an
ensemble, (b h k) the standard deviation of its members' medians."""
READERS: dict[str, Any] = {"table": TableReader, "rows": RowReader}


class Forecaster:
    """Forecasts from the last row of each series with a target on.

    Rows for people: the group, if there is one; `from`, the last time stamp (or number of a row)
    that was seen; `time` (where there are stamps) and `step`, from 1; `<target>` and
    `<target>_q<level>` for its bands; of an ensemble `<target>_disagreement`. A time is missing
    where a table has no such row and rows are the clock.

    Args:
        metadata: what a fitted data module says of itself.
        engine: predicts.
        batch_size: windows at a time; `auto` as many as suit the memory.
        every: forecasts from every n-th row, counted from the last.
    """

    options = ("every",)

    def __init__(
        self,
        metadata: Mapping[str, Any],
        engine: Engine,
        batch_size: int | str = "auto",
        every: int | None = None,
    ):
        self.metadata, self.engine, self.batch_size = metadata, engine, batch_size
        check_batch_size(batch_size)
        self.every = _checked(every)
        self.pipeline = unpack(metadata["pipeline"])
        options = dict(metadata["reader"])
        self.reader = READERS[options.pop("kind")](**options)
        self.endings: tuple[str, ...] = self.reader.endings
        self.columns: list[str] = self.pipeline.columns
        """Columns of an array: targets first, then covariates, those known ahead last."""
        self.targets = self.columns[: self.pipeline.num_targets]
        self.quantiles: list[float] = metadata["quantiles"]
        self.look_back, self.horizon = metadata["look_back"], metadata["horizon"]
        self.min_look_back: int = metadata["min_look_back"]
        names = [f"{name}_true" for name in self.targets]
        if "members" in metadata:
            names += [f"{name}_disagreement" for name in self.targets]
        names += [*self.reader.head, *(n for name in self.targets for n in self._levels(name))]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two columns of the output would be called '{name}'")

    def predict(self, x: Any, every: int | None = None) -> Any:
        """Forecasts of arrays, or of a table in memory or in a file.

        Args:
            x: (t c) or (b t c) in the user's units, NaN where missing, of at least
                `min_look_back` steps in the order of `columns`; where some are known ahead,
                `horizon` more, whose other cells are not looked at. Or a table: a dict of
                columns, a frame, or the path of a file.
            every: of a table, forecasts from every n-th row, counted from the last.

        Returns:
            (h k p) or (b h k p), targets by quantiles; of a table columns as in a file.
        """
        if not isinstance(x, (np.ndarray, list, tuple)):
            given = path_in(x, self.endings) or as_cells(x)
            table = self.reader.ahead(given, self.pipeline, self.horizon)
            return joined(self._ahead(table, _checked(every) or self.every))
        outputs = np.concatenate([found for _, found, _ in self._of_array(x)])
        return outputs[0] if np.ndim(x) == 2 else outputs

    def disagreement(self, x: Any) -> NDArray[np.float64]:
        """(h k) or (b h k) the standard deviation of the medians of an ensemble, of arrays."""
        parts = [apart for _, _, apart in self._of_array(x) if apart is not None]
        if not parts:
            raise InputError(ALONE)
        return np.concatenate(parts)[0] if np.ndim(x) == 2 else np.concatenate(parts)

    def _of_array(self, x: Any) -> Iterator[Outputs]:
        """Outputs for an array, batch by batch."""
        array = as_numbers(x, "x", "numbers (time, columns) or (windows, time, columns)", (2, 3))
        if not len(array):
            raise InputError("there is nothing to forecast: x is empty")
        ends = [self._end(window) for window in (array if array.ndim == 3 else [array])]
        offsets = np.arange(len(ends) + 1) * len(ends[0])
        sizes = {"num_targets": len(self.targets), "num_known": self.pipeline.num_known}
        table = Table(np.concatenate(ends), offsets, self.columns, origin="x", **sizes)
        starts = offsets[1:] - self._steps_ahead
        table = self._in_own_units(table, starts)
        return self._outputs(table, self._windows(table, starts))

    def rows(self, path: str | Path) -> Rows:
        """Rows for people of a file."""
        table = self.reader.ahead(Path(path), self.pipeline, self.horizon)
        return self._ahead(table, self.every)

    def table(self, path: str | Path) -> Columns:
        """All rows of a file at once."""
        return joined(self.rows(path))

    def folder(self, paths: Sequence[Path]) -> Rows:
        """The same of files; the column `file` comes first."""
        return in_folder(self.rows, paths)

    def known(self, table: Table, starts: Any) -> Rows:
        """The same of a split, as the test step sees it, with `<target>_true`."""
        if self.every:
            raise InputError(f"every={self.every} is for input=<file>: a split has its own windows")
        return self._rows(table, starts, truth=True)

    def _ahead(self, table: Table, every: int | None) -> Rows:
        starts = table.ends(self.min_look_back, every)
        return self._rows(self._in_own_units(table, starts), starts, truth=False)

    def _in_own_units(self, table: Table, starts: NDArray[np.int64]) -> Table:
        """A table whose new series are scaled by the rows before their first forecast."""
        firsts = starts[np.searchsorted(table.owners(starts), np.arange(len(table)))]
        spans = list(zip(table.offsets[:-1].tolist(), firsts.tolist(), strict=True))
        return table.in_own_units(self.pipeline, spans)

    def _rows(self, table: Table, starts: Any, truth: bool) -> Rows:
        return Rows(self._columns(table, starts, truth), len(starts) * self.horizon)

    def _columns(self, table: Table, starts: Any, truth: bool) -> Iterator[Columns]:
        windows = self._windows(table, starts)
        for rows, outputs, apart in self._outputs(table, windows):
            columns = self._places(table, rows)
            true = table.undo(self.pipeline.undo(windows.y(rows)), rows) if truth else None
            for i, target in enumerate(self.targets):
                levels = dict(
                    zip(self._levels(target), np.moveaxis(outputs[:, :, i], 2, 0), strict=True)
                )
                columns[target] = levels[target].ravel()  # the median first
                columns |= {name: level.ravel() for name, level in levels.items()}
                columns |= {} if true is None else {f"{target}_true": true[..., i].ravel()}
                if apart is not None:
                    columns[f"{target}_disagreement"] = apart[..., i].ravel()
            yield columns

    def _windows(self, table: Table, starts: Any) -> Windows:
        values, filled = self.reader.scaled(table, self.pipeline)
        sizes = (self.look_back, self.horizon, self.pipeline.num_targets, self.pipeline.num_known)
        return Windows(values, filled, starts, *sizes, offsets=table.offsets)

    @property
    def _steps_ahead(self) -> int:
        """Steps behind the look-back that an array has, too."""
        return self.horizon if self.pipeline.num_known else 0

    def _outputs(self, table: Table, windows: Windows) -> Iterator[Outputs]:
        for rows, feeds in windows.feeds(self.batch_size):

            def undo(outputs: NDArray[Any], rows: NDArray[np.int64] = rows) -> NDArray[np.float64]:
                return table.undo(self.pipeline.undo(outputs, outputs=True), rows)

            prediction, _, *apart = self.engine(feeds)
            yield rows, undo(prediction), deviation(apart[0], undo) if apart else None

    def _places(self, table: Table, rows: NDArray[np.int64]) -> Columns:
        """Group, origin, time and step of each row of the output."""
        steps = np.arange(self.horizon)
        columns: Columns = {}
        if self.reader.group:
            series = np.searchsorted(table.offsets, rows, side="right") - 1
            columns[self.reader.group] = np.repeat(np.array(table.names)[series], self.horizon)
        columns["from"] = np.repeat(table.times(rows - 1), self.horizon)
        if table.steps:
            columns["time"] = table.times(rows[:, None] + steps).ravel()
        return {**columns, "step": np.tile(steps + 1, len(rows))}

    def _levels(self, target: str) -> list[str]:
        """Columns of the outputs of a target."""
        return [target if q == 0.5 else f"{target}_q{q:g}" for q in self.quantiles]

    def _end(self, window: NDArray[Any]) -> NDArray[np.float64]:
        """The last steps of a window, its targets as returns where they are prices."""
        k, num_known = len(self.targets), self.pipeline.num_known
        least = self.min_look_back + self._steps_ahead
        if window.shape[1] != len(self.columns) or len(window) < least:
            raise InputError(
                f"x has shape {window.shape}, expected {least} steps or more of the "
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


def _checked(every: int | None) -> int | None:
    if every is not None and (type(every) is not int or every < 1):
        raise InputError(f"every={every} must be null or a whole number from 1")
    return every


def in_folder(rows: Callable[[Path], Rows], paths: Sequence[Path]) -> Rows:
    """Predictions for files that share no batch; the column `file` comes first."""
    return Rows(
        {"file": np.repeat(path.name, len(next(iter(columns.values())))), **columns}
        for path in paths
        for columns in rows(path)
    )


def joined(blocks: Iterator[Columns]) -> Columns:
    """All rows at once."""
    parts = list(blocks)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
