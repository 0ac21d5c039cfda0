"""Forecasts of tables: a row for each step of each horizon, in the user's units."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from seqfuse.data.module import DataModule
from seqfuse.data.windows import Windows
from seqfuse.nn.shapes import Batch
from seqfuse.predictions.batches import READ, Part, in_parts
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work, one_by_one
from seqfuse.runtime.cells import TABLE_ENDINGS, Cells, as_cells
from seqfuse.runtime.errors import InputError


class Forecasts:
    """Columns: the group, if there is one; `from`, the last time stamp that was seen; `time`
    and `step`, from 1, of the forecast; `<target>`, and `<target>_q<level>` for its bands.

    Of a file, each series is forecast from its last row with a target on. A time is missing
    where the file has no such row and rows are the clock (data.gaps=ignore).

    Args:
        data: holds the fitted pipeline.
        forward: predicts quantiles.
        every: forecasts from every n-th row, counted from the last.

    Raises:
        InputError: `every` is out of range, or an output column would have the name of another.
    """

    endings: tuple[str, ...] = TABLE_ENDINGS
    knobs = ("every",)

    def __init__(self, data: DataModule, forward: Forward, every: int | None = None):
        if every is not None and (not isinstance(every, int) or every < 1):
            raise InputError(f"every={every} must be null or a whole number from 1")
        self.data = data
        self.splits: Windows = data.splits  # type: ignore[assignment]
        self.forward = forward
        self.every = every
        self.levels: list[float] = forward.task.record["config"]["task"]["quantiles"]
        self.head = self._head()
        self._check_names()

    def _head(self) -> list[str]:
        """Columns that say what a row is about."""
        group = self.splits.reader.group
        return [group, "from", "time", "step"] if group else ["from", "time", "step"]

    def _check_names(self) -> None:
        pipeline = self.splits.pipeline
        targets = [self._names(one) for one in pipeline.columns[: pipeline.num_targets]]
        names = [*self.head, *(name for names in targets for name in names)]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two columns of the output would be called '{name}'")

    def _names(self, target: str) -> list[str]:
        """Columns of a target: one for each output, then the truth."""
        levels = [target if q == 0.5 else f"{target}_q{q:g}" for q in self.levels]
        return [*levels, f"{target}_true"]

    def file(self, path: Path) -> Work:
        """Forecasts from a table, which is read whole."""
        return self._cells(self.splits.reader.cells(path))

    def frame(self, frame: pd.DataFrame) -> Work:
        """The same from a table in memory."""
        return self._cells(as_cells(frame))

    def _cells(self, cells: Cells) -> Work:
        table = self.splits.reader.ahead(cells, self.splits.pipeline, self.splits.horizon)
        windows = self.splits.ahead(table, self.every)
        return self._work(table, windows, in_parts(windows), truth=False)

    def split(self, split: str) -> Work:
        """Forecasts of a split, as the test step sees it, with `<target>_true`."""
        self._check_split()
        windows = self.data.tensors(split)
        return self._work(self.splits.table(), windows, self.data.loader(split, READ), truth=True)

    def _check_split(self) -> None:
        if self.every:
            raise InputError(f"every={self.every} is for input=<file>: a split has its own windows")

    def _work(self, table: Any, windows: Any, batches: Iterable[Batch], truth: bool) -> Work:
        found = self.forward.each(Part(batch) for batch in batches)
        frames = (self._frame(table, part.batch, outputs, truth) for part, outputs in found)
        return Work(len(windows) * self.splits.horizon, frames)

    def folder(self, paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
        """Forecasts from tables; the column `file` comes first."""
        return one_by_one(self.file, paths)

    def _frame(self, table: Any, batch: Batch, prediction: Tensor, truth: bool) -> pd.DataFrame:
        pipeline, rows = self.splits.pipeline, batch.index.numpy()
        values = pipeline.undo(prediction.numpy(), outputs=True)  # (b h k p)
        true = pipeline.undo(batch.y.numpy())
        columns = self._places(table, rows)
        for i in range(pipeline.num_targets):
            outputs = [*values[:, :, i].transpose(2, 0, 1), true[..., i]]
            named = dict(zip(self._names(pipeline.columns[i]), outputs, strict=True))
            shown = [pipeline.columns[i], *named] if truth else [pipeline.columns[i], *named][:-1]
            columns |= {name: named[name].ravel() for name in shown}  # the median first
        return pd.DataFrame(columns)

    def _places(self, table: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What each row of the output is about."""
        steps = np.arange(self.splits.horizon)
        group = np.array(table.names)[np.searchsorted(table.offsets, rows, side="right") - 1]
        values = [
            np.repeat(table.time[rows - 1], len(steps)),
            table.time[rows[:, None] + steps].ravel(),
            np.tile(steps + 1, len(rows)),
        ]
        if len(self.head) == 4:
            values.insert(0, np.repeat(group, len(steps)))
        return dict(zip(self.head, values, strict=True))
