"""Forecasts of files larger than the memory: by number of row, as there is no other clock."""

from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.data.mapped import Mapped
from seqfuse.data.module import DataModule
from seqfuse.data.views import RowWindows
from seqfuse.predictions.batches import READ, in_parts
from seqfuse.predictions.forecasts import Forecasts
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work
from seqfuse.runtime.errors import InputError


class RowForecasts(Forecasts):
    """Columns: `from`, the last row that was seen, counted from 0; `step`, from 1; `<target>`,
    and `<target>_q<level>` for its bands.

    Args:
        data: holds the fitted pipeline.
        forward: predicts quantiles.
        every: forecasts from every n-th row, counted from the last.

    Raises:
        InputError: `every` is out of range, or an output column would have the name of another.
    """

    endings = (".npy", ".parquet")

    def __init__(self, data: DataModule, forward: Forward, every: int | None = None):
        self.mapped: Mapped = data.splits  # type: ignore[assignment]
        super().__init__(data, forward, every)

    def _head(self) -> list[str]:
        return ["from", "step"]

    def file(self, path: Path) -> Work:
        """Forecasts from a file, which is read window by window."""
        rows, _ = self.mapped.file.open(path)
        self.mapped.check(rows, str(path))
        least = self.mapped.look_back
        if rows.size < least:
            raise InputError(f"{path} has {rows.size} rows, too few for data.look_back={least}")
        every = self.every or rows.size
        horizons = range(least + (rows.size - least) % every, rows.size + 1, every)
        windows = self.mapped.windows(rows, horizons)
        return self._work(None, windows, in_parts(windows), truth=False)

    def split(self, split: str) -> Work:
        """Forecasts of a split, as the test step sees it, with `<target>_true`."""
        self._check_split()
        windows: RowWindows = self.data.tensors(split)
        return self._work(None, windows, self.data.loader(split, READ), truth=True)

    def _places(self, table: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        steps = np.arange(self.mapped.horizon)
        places = [np.repeat(rows - 1, len(steps)), np.tile(steps + 1, len(rows))]
        return dict(zip(self.head, places, strict=True))
