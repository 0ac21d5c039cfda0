"""Forecasts from an exported folder: a look-back in, the user's units out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.arrays import load_arrays
from seqfuse.runtime.cells import Cells, as_cells, numbers_of, read_cells
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines import unpack
from seqfuse.runtime.stamps import as_numbers, carried_on, check_finite
from seqfuse.runtime.tables import Table, TableReader, log_returns
from seqfuse.runtime.writer import Columns


class Forecaster:
    """Forecasts of tables, from the last row of each series.

    Args:
        metadata: what a fitted data module says of itself.
        engine: predicts.
    """

    fills = True
    """Whether the last value goes on where one is missing; else it counts as the mean."""

    options = ()

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = "auto"):
        self.metadata, self.engine = metadata, engine
        self.pipeline = unpack(metadata["pipeline"])
        self.columns: list[str] = self.pipeline.columns
        """Of an array: targets first, then covariates, those known ahead last."""
        self.targets = self.columns[: self.pipeline.num_targets]
        self.quantiles: list[float] = self.metadata["quantiles"]
        self.look_back, self.horizon = self.metadata["look_back"], self.metadata["horizon"]
        self.steps = self.look_back + (self.horizon if self.metadata["num_known"] else 0)
        self.reader = TableReader(**self.metadata["table"])

    def predict(self, x: Any) -> Any:
        """Forecasts of arrays, or of a table.

        Args:
            x: (t c) or (b t c) in the user's units, NaN where missing, of at least `look_back`
                steps in the order of `columns`; where some are known ahead, `horizon` more,
                whose other cells are not looked at. Or a table: a dict of columns, or a frame.

        Returns:
            (h k p) or (b h k p), targets by quantiles; of a table columns as in a file.

        Raises:
            InputError: whatever does not fit.
        """
        if not isinstance(x, (np.ndarray, list, tuple)):
            return self._frame(self._ahead(as_cells(x)))
        array = as_numbers(x, "x", "numbers (time, columns) or (windows, time, columns)", (2, 3))
        if not len(array):
            raise InputError("there is nothing to forecast: x is empty")
        found = self._forecast(
            np.stack([self._end(one) for one in (array if array.ndim == 3 else [array])])
        )
        return found[0] if array.ndim == 2 else found

    def rows(self, path: str | Path) -> Iterator[Columns]:
        """Rows for people: group, from, time, step, targets and their bands.

        Raises:
            InputError: whatever is wrong with the file; names row and column.
        """
        yield self._frame(self._ahead(self.reader.cells(Path(path))))

    def _ahead(self, cells: Cells) -> Table:
        return self.reader.ahead(cells, self.pipeline, self.horizon)

    def _end(self, window: NDArray[Any]) -> NDArray[np.float64]:
        """The last steps of a window, its targets as returns where they are prices."""
        if window.shape[1] != len(self.columns) or len(window) < self.steps:
            raise InputError(
                f"x has shape {window.shape}, expected {self.steps} steps or more of the "
                f"{len(self.columns)} columns {', '.join(self.columns[:12])}"
            )
        window = window.astype(np.float64)
        self._check(window)
        k = len(self.targets)
        if self.reader.returns:
            if (window[:, :k] <= 0).any():
                raise InputError("x: returns need prices above 0")
            window[:, :k] = log_returns(window[:, :k], [0])
        return window[-self.steps :]

    def _check(self, window: NDArray[np.float64]) -> None:
        end = len(window) - self.steps + self.look_back
        past, k = window[:end], len(self.targets)
        check_finite(past, self.columns, "x")
        if self.fills and np.isnan(past[-self.look_back :, :k]).all():
            raise InputError(
                f"x: none of the last {self.look_back} rows up to row {end - 1} has a value in "
                f"{', '.join(self.targets[:12])}"
            )
        first = len(self.columns) - self.metadata["num_known"]
        ahead, known = window[end:, first:], self.columns[first:]
        check_finite(ahead, known, "x", end)
        for t, c in np.argwhere(np.isnan(ahead))[:1]:
            raise InputError(
                f"x: column '{known[c]}' is to be known ahead, but step {t + 1} of the "
                f"{len(ahead)} behind the last target has no value: add its row"
            )

    def _forecast(self, windows: NDArray[np.float64]) -> NDArray[Any]:
        """(b t c) raw to (b h k p) in the user's units."""
        scaled = self.pipeline.transform(windows)
        return self._predicted(np.stack([carried_on(x) for x in scaled]) if self.fills else scaled)

    def _predicted(self, scaled: NDArray[np.float32]) -> NDArray[Any]:
        x = np.nan_to_num(scaled).astype(np.float32)
        if self.metadata["num_known"]:
            x[:, self.look_back :, : -self.metadata["num_known"]] = 0
        mask = np.broadcast_to(np.arange(x.shape[1]) < self.look_back, x.shape[:2])
        prediction, _ = self.engine({"x": x, "mask": np.ascontiguousarray(mask)})
        return self.pipeline.undo(prediction, outputs=True)

    def _frame(self, table: Table) -> Columns:
        rows = table.ends(self.look_back, self.horizon)[:, None]
        scaled = self.pipeline.transform(table.values)
        filled = np.concatenate([carried_on(one) for one in np.split(scaled, table.offsets[1:-1])])
        x = filled[rows - self.look_back + np.arange(self.steps)]
        steps = np.arange(self.horizon)
        head: Columns = {}
        if self.reader.group:
            head[self.reader.group] = np.repeat(np.array(table.names), self.horizon)
        head["from"] = np.repeat(table.time[rows - 1], self.horizon)
        head["time"] = table.time[rows + steps].ravel()
        return {**head, "step": np.tile(steps + 1, len(rows)), **self._outputs(self._predicted(x))}

    def _outputs(self, found: NDArray[Any]) -> Columns:
        """Of each target the median, then its bands."""
        rows: Columns = {}
        for i, target in enumerate(self.targets):
            rows[target] = found[:, :, i, len(self.quantiles) // 2].ravel()
            for p, level in enumerate(self.quantiles):
                if level != 0.5:
                    rows[f"{target}_q{level:g}"] = found[:, :, i, p].ravel()
        return rows


class RowForecaster(Forecaster):
    """Forecasts of rows without time stamps, from the last one."""

    fills = False

    def rows(self, path: str | Path) -> Iterator[Columns]:
        """Rows for people: from (the last row that was seen, from 0), step, targets and bands.

        Raises:
            InputError: whatever is wrong with the file (.npy, or a table with the columns).
        """
        path = Path(path)
        if path.suffix == ".npy":
            array = load_arrays(path)["x"]
            if not array.ndim:
                raise InputError(f"{path} holds a single value, expected rows of numbers")
            array = array.reshape(len(array), -1)
            columns = {str(i): array[:, i] for i in range(array.shape[1])}
            cells = Cells(columns, str(path), range(len(array)), "row")
        else:
            cells = read_cells(path)
        values = [numbers_of(cells, name) for name in self.columns]
        try:
            found = self.predict(np.stack(values, axis=1))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        steps = np.arange(self.horizon)
        seen = np.full(self.horizon, len(values[0]) - 1)
        yield {"from": seen, "step": steps + 1, **self._outputs(found[None])}
