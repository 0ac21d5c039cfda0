"""Values that a table lacks, filled in the user's units."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.engine import Engine, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations import explained
from seqfuse.runtime.explanations.cases import Case, GappedInput, Wanted
from seqfuse.runtime.explanations.scores import Linear, chosen
from seqfuse.runtime.files import path_in
from seqfuse.runtime.gaps import held_out, seen
from seqfuse.runtime.jobs.job import Job, joined
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read.monitored import runs
from seqfuse.runtime.read.numbers import as_numbers, check_finite
from seqfuse.runtime.read.table.cells import Cells, as_cells, read_cells, read_table
from seqfuse.runtime.read.table.parquet import is_parquet
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.stamps import PARTS_OF_TIME, half_of_form, is_split, written
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.windows import Windows, gather, sliding
from seqfuse.runtime.writer import Columns, Rows

IMPUTED = "imputed"
"""Column that names what was filled in a row."""


class Gap(NamedTuple):
    """Values missing one behind the other in a column, and the window that they are seen in."""

    column: int
    first: int
    """Row of the first of them in this window."""
    last: int
    start: int
    """Row at which the window begins."""


class Imputer(Job):
    """Fills the gaps of a table.

    Windows overlap by half of their steps; a value is the mean of what they say of it, by how far
    it is from their ends. A series shorter than a window is one.

    Rows for people: those of the file, in its order, with all of its columns, of which the
    targets are filled; where rows follow a clock, a row for each stamp that is missing; and
    `imputed`, which names the columns that were filled in a row (a|b).

    A gap is explained whole, in the window that it is nearest to the middle of.
    """

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = "auto"):
        super().__init__(metadata, engine, batch_size)
        self.pipeline = unpack(metadata["pipeline"])
        options = dict(metadata["file_format"])
        del options["kind"]
        self.reader = TableReader(**options)
        self.endings: tuple[str, ...] = self.reader.endings
        self.columns: list[str] = self.pipeline.columns
        """Columns of an array: targets first, then covariates."""
        self.targets = self.columns[: self.pipeline.num_targets]
        self.look_back: int = metadata["look_back"]

    def predict(self, x: Any) -> Any:
        """A table with its gaps filled.

        Args:
            x: a table, as in training: a dict of columns, a frame, or the path of a file. Or
                (t c) in the user's units, in the order of `columns`; NaN is missing.

        Returns:
            columns as in a file; of an array the targets (t k).
        """
        if isinstance(x, (np.ndarray, list, tuple)):
            values = self._array(x)
            return self._filled(values, np.array([0, len(values)]))
        path = path_in(x, self.endings)
        return joined(self.rows(path) if path else self._rows(as_cells(x)))

    def cases_in(self, x: Any, wanted: Wanted) -> Iterator[Case]:
        if isinstance(x, (np.ndarray, list, tuple)):
            values = self._array(x)
            offsets, count = np.array([0, len(values)]), len(self.targets)
            table = Table(values, offsets, self.columns, origin="x", num_targets=count)
        else:
            table = self._table(as_cells(x))
        return self._cases_of(table, wanted, {})

    def cases_of(self, path: Path, wanted: Wanted, file: str | None = None) -> Iterator[Case]:
        names = {} if file is None else {"file": file}
        return self._cases_of(self._table(self._cells(path)), wanted, names)

    def cases_known(
        self,
        wanted: Wanted,
        table: Table,
        starts: Any,
        hidden: Callable[[int], NDArray[np.bool_]],
    ) -> Iterator[Case]:
        """Gaps that values held out of a split leave, to explain; arguments as of `known`."""
        allowed = self._explained(wanted)

        def of_split() -> Iterator[Gap]:
            for start in np.asarray(starts).tolist():
                rows = slice(start, start + self.look_back)
                is_seen = ~np.isnan(table.values[rows, : len(self.targets)])
                for column in allowed:
                    for first, last in runs(hidden(start)[:, column] & is_seen[:, column]):
                        yield Gap(column, start + first, start + last, start)

        return self._cases(table, of_split(), self.look_back, {}, hidden)

    def _explained(self, wanted: Wanted) -> list[int]:
        wanted.check_whole("filled gaps")
        every = np.arange(len(self.targets))
        return sorted({*chosen(wanted.target, self.targets, "target", every).tolist()})

    def _cases_of(self, table: Table, wanted: Wanted, names: Mapping[str, str]) -> Iterator[Case]:
        """Gaps of a table, which its series have in windows of as many steps."""
        allowed = self._explained(wanted)
        for first, end in itertools.pairwise(table.offsets.tolist()):
            steps = min(self.look_back, end - first)
            starts = np.asarray(sliding([(first, end)], [first], 0, steps, max(1, steps // 2)))
            gaps = []
            for column in allowed:
                for low, high in runs(np.isnan(table.values[first:end, column])):
                    middle = first + (low + high - steps + 1) / 2
                    start = int(starts[np.abs(starts - middle).argmin()])
                    last = min(first + high, start + steps - 1)
                    gaps.append(Gap(column, max(first + low, start), last, start))
            yield from self._cases(table, gaps, steps, names)

    def _cases(
        self,
        table: Table,
        gaps: Iterable[Gap],
        steps: int,
        names: Mapping[str, str],
        hidden: Callable[[int], NDArray[np.bool_]] | None = None,
    ) -> Iterator[Case]:
        """Batches of gaps, in windows of so many steps."""
        scaled, left = self.pipeline.transform(table.values), iter(gaps)
        size = self.batch_size if isinstance(self.batch_size, int) else explained.WINDOWS
        while batch := list(itertools.islice(left, size)):
            starts = np.array([gap.start for gap in batch])
            values = gather(scaled, starts, steps).copy()
            if hidden is not None:
                held = np.stack([hidden(start) for start in starts.tolist()])
                values[..., : len(self.targets)][held] = np.nan
            yield self._case(table, batch, values, names)

    def _case(
        self, table: Table, gaps: Sequence[Gap], values: NDArray[Any], names: Mapping[str, str]
    ) -> Case:
        x = seen(values)
        feeds = {"x": x, "mask": np.ones(x.shape[:2], dtype=bool)}
        prediction, weights, *_ = self._ask(x)
        of_gap = np.zeros((*x.shape[:2], len(self.targets)))
        for row, gap in enumerate(gaps):
            cells = slice(gap.first - gap.start, gap.last + 1 - gap.start)
            of_gap[row, cells, gap.column] = 1 / (gap.last + 1 - gap.first)
        steps, by_step = np.arange(x.shape[1]), of_gap.sum(axis=2)
        queries = np.full(weights.shape[:2], 1 / weights.shape[1])
        places = (np.array([getattr(gap, end) for gap in gaps]) for end in ("first", "last"))
        columns: dict[str, Any] = {name: [each] * len(gaps) for name, each in names.items()}
        if self.reader.group:
            series = np.searchsorted(table.offsets, [gap.first for gap in gaps], side="right") - 1
            columns[self.reader.group] = np.array(table.names)[series]
        columns["column"] = [self.targets[gap.column] for gap in gaps]
        columns |= zip(("from", "to"), map(table.written, places), strict=True)
        return Case(
            feeds,
            [
                GappedInput(
                    *("", "x", np.zeros_like(x), np.tile(np.arange(len(self.columns)), 2)),
                    *(self.columns, ~np.isnan(values)),
                )
            ],
            prediction,
            weights,
            by_step if queries.shape == by_step.shape else queries,
            self.metadata["stride"],
            self._score(gaps, of_gap, prediction),
            columns,
            [self._times(table, gap.start + steps) for gap in gaps],
        )

    @staticmethod
    def _times(table: Table, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Time stamps of rows, where there are some."""
        return {"time": table.written(rows)} if table.steps else {}

    def _score(self, gaps: Sequence[Gap], of_gap: NDArray[Any], prediction: NDArray[Any]) -> Linear:
        """The mean over a gap of what it is filled with, in the user's units."""
        selected = np.zeros(prediction.shape)
        selected[..., prediction.shape[-1] // 2] = of_gap
        offset = self.pipeline.undo(np.zeros(prediction.shape), outputs=True)
        weights = (self.pipeline.undo(np.ones(prediction.shape), outputs=True) - offset) * selected
        offsets = (offset * selected).reshape(len(gaps), -1).sum(axis=1)
        return Linear(weights, offsets, [self.targets[gap.column] for gap in gaps])

    def rows(self, path: str | Path) -> Rows:
        return self._rows(self._cells(Path(path)))

    @staticmethod
    def _cells(path: Path) -> Cells:
        """A table cell by cell: what is not filled is written as it was."""
        return read_table(path) if is_parquet(path) else read_cells(path)

    def known(self, table: Table, starts: Any, hidden: Callable[[int], NDArray[np.bool_]]) -> Rows:
        """Values held out of a split, as the test step sees them: a row for each.

        Windows begin at rows `starts` (w); `hidden` (t k) is held out of the window at a row.
        """
        return Rows(self._held_out(table, starts, hidden))

    def _held_out(self, table: Table, starts: Any, hidden: Callable) -> Iterator[Columns]:
        undo = self.pipeline.undo
        scaled = self.pipeline.transform(table.values)
        for firsts, values in self._windows(scaled, starts, self.look_back):
            x, y = held_out(values, np.stack([hidden(first) for first in firsts.tolist()]))
            filled, wanted = undo(self._answer(x)), undo(y)
            line = undo(x[..., : len(self.targets)])
            place = np.nonzero(~np.isnan(y))
            window, step, target = place
            columns: Columns = {}
            if self.reader.group:
                series = np.searchsorted(table.offsets, firsts[window], side="right") - 1
                columns[self.reader.group] = np.array(table.names)[series]
            yield {
                **columns,
                "from": table.written(firsts[window]),
                "time": table.written(firsts[window] + step),
                "column": np.array(self.targets)[target],
                "prediction": filled[place],
                "interpolation": line[place],
                "true": wanted[place],
            }

    def _array(self, x: Any) -> NDArray[np.float64]:
        values = as_numbers(x, "x", f"numbers (time, {len(self.columns)} columns)", (2,))
        values = values.astype(np.float64)
        if values.shape[1] != len(self.columns):
            raise InputError(
                f"x has {values.shape[1]} columns, training had {', '.join(self.columns)}"
            )
        if not len(values):
            raise InputError("there is nothing to fill: x is empty")
        check_finite(values, self.columns, "x")
        self._check_values(values, "x")
        return values

    def _table(self, cells: Cells) -> Table:
        table = self.reader.ahead(cells, self.pipeline, 0)
        for name, values in zip(table.names or (), table, strict=True):
            self._check_values(values, f"{table.origin} ({name})" if name else table.origin)
        self._check_columns(table)
        return table

    def _rows(self, cells: Cells) -> Rows:
        if IMPUTED in cells.columns:
            raise InputError(f"{cells.origin} has a column '{IMPUTED}' already: rename it")
        table = self._table(cells)
        gaps = np.isnan(table.values[:, : len(self.targets)])
        filled = self._filled(table.values, table.offsets)
        columns = self._columns(cells, table, filled, gaps)
        note = f"{gaps.sum():,} values are filled"
        if added := int((self._file_rows(table) < 0).sum()):
            note += f", {added:,} rows are added"
        lines = [f"note  {note if gaps.any() else 'no value is missing'}"]
        return Rows([columns], len(gaps), lambda: lines)

    def _check_values(self, values: NDArray[Any], where: str) -> None:
        """Raises InputError where a series has no value at all."""
        if np.isnan(values[:, : len(self.targets)]).all():
            raise InputError(
                f"{where}: no row has a value in {', '.join(self.targets[:12])}: there is nothing "
                "to fill by"
            )

    def _check_columns(self, table: Table) -> None:
        """Raises InputError where a column has no value in any series."""
        for i in np.flatnonzero(np.isnan(table.values[:, : len(self.targets)]).all(axis=0))[:1]:
            raise InputError(
                f"{table.origin}: column '{self.targets[i]}' has no value at all: add some, or "
                "train without it (data.targets)"
            )

    def _filled(
        self, values: NDArray[np.float64], offsets: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(n k) targets of series (n c), with gaps filled."""
        k = len(self.targets)
        missing, scaled = np.isnan(values[:, :k]), self.pipeline.transform(values)
        total, weight = np.zeros(missing.shape), np.zeros((len(values), 1))
        for steps, starts in self._looked_at(missing.any(axis=1), offsets).items():
            central = np.minimum(np.arange(1, steps + 1), np.arange(steps, 0, -1))[:, None]
            for firsts, window in self._windows(scaled, np.array(starts), steps):
                rows = firsts[:, None] + np.arange(steps)
                np.add.at(total, rows, central * self._answer(seen(window)))
                np.add.at(weight, rows, central)
        answers = self.pipeline.undo(total / np.maximum(weight, 1))
        return np.where(missing, answers, values[:, :k])

    def _looked_at(self, missing: Any, offsets: NDArray[np.int64]) -> dict[int, list[int]]:
        """By their steps, where windows begin that have a gap: of rows `missing` (n), in series
        that begin at `offsets` (r + 1)."""
        before = np.concatenate([[0], missing.cumsum()])
        starts_of: dict[int, list[int]] = {}
        for first, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            steps = min(self.look_back, end - first)
            starts = sliding([(first, end)], [first], 0, steps, max(1, steps // 2))
            chosen = [start for start in starts if before[start + steps] > before[start]]
            starts_of.setdefault(steps, []).extend(chosen)
        return {steps: starts for steps, starts in starts_of.items() if starts}

    def _windows(
        self, scaled: NDArray[np.float32], starts: Any, steps: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Where windows begin, and windows (b t c), NaN where a value is missing."""
        sizes = (steps, steps, len(self.targets))
        windows = Windows(scaled, scaled, starts, *sizes, overlap=steps)
        for firsts, feeds in windows.feeds(self.batch_size):
            yield firsts, feeds["x"]

    def _ask(self, x: NDArray[np.float32]) -> Predicted:
        """Scaled targets (b t k p), and attention."""
        answer = self.engine({"x": x, "mask": np.ones(x.shape[:2], dtype=bool)})
        predicted, steps = answer.prediction.shape[1], x.shape[1]
        if predicted != steps:
            raise InputError(
                f"the net predicts {predicted} steps, a series has {steps}: type "
                "model=imputation, which takes any number"
            )
        return answer

    def _answer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(b t k) scaled targets, the middle output of each."""
        prediction = self._ask(x).prediction
        return prediction[..., prediction.shape[-1] // 2].astype(np.float64)

    def _columns(
        self,
        cells: Cells,
        table: Table,
        filled: NDArray[np.float64],
        gaps: NDArray[np.bool_],
    ) -> Columns:
        """Columns of the file, in the order of its rows; added ones behind those before them."""
        rows = self._file_rows(table)
        # Each series begins with a row of the file.
        last = np.concatenate([
            np.maximum.accumulate(rows[first:end])
            for first, end in zip(table.offsets[:-1], table.offsets[1:], strict=True)
        ])  # fmt: skip
        order = np.lexsort((np.arange(len(rows)), last))
        rows, last = rows[order], last[order]
        columns: Columns = {}
        for name, column in cells.columns.items():
            if name in self.targets:
                columns[name] = filled[order, self.targets.index(name)]
            else:
                added = {
                    int(i): self._added(name, column[last[i]], table.time[order[i]])
                    for i in np.flatnonzero(rows < 0)
                }
                columns[name] = _spread(column, rows, added)
        names = np.array(self.targets, dtype=object)
        columns[IMPUTED] = np.array(["|".join(names[row]) for row in gaps[order]])
        return columns

    @staticmethod
    def _file_rows(table: Table) -> NDArray[np.int64]:
        assert table.rows is not None
        return table.rows

    def _added(self, name: str, before: Any, stamp: Any) -> Any:
        """A cell of a row that is added behind one of the file, which has `before` there."""
        if name == self.reader.group or name in self.reader.static:
            return before
        if name in self.reader.stamps:
            part = name if name.lower() in PARTS_OF_TIME else None
            form = self.reader.time_format
            if form and is_split(self.reader.stamps):
                form = half_of_form(form, before, name == self.reader.stamps[0])
            return written(stamp, before, form, part)
        return None


def _spread(column: Any, rows: NDArray[np.int64], added: Mapping[int, Any]) -> Any:
    """Cells of a column at rows of the file, and where they are -1 those that are added."""
    if isinstance(column, np.ndarray) and (not added or column.dtype.kind in "fM"):
        cells = column[rows.clip(min=0)]
        for i, cell in added.items():
            cells[i] = np.nan if cell is None and column.dtype.kind == "f" else cell
        return cells
    plain = column.tolist() if isinstance(column, np.ndarray) else column
    return [added[i] if row < 0 else plain[row] for i, row in enumerate(rows.tolist())]
