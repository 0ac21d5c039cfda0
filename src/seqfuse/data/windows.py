"""Windows over tables: a look-back and the horizon after it, as views on one series."""

import itertools
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqfuse.data.borders import borders, check_split
from seqfuse.data.read.files import TableFile
from seqfuse.data.views import WindowTensors
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.scaling import TablePipeline
from seqfuse.runtime.stamps import carried_on
from seqfuse.runtime.tables import Table, TableReader


class Windows:
    """Splits of a table by time.

    Args:
        reader: of the table.
        pipeline: fitted on the training rows alone.
        source: the file.
        look_back: steps a forecast sees.
        horizon: steps to forecast.
        split: training, validation, perhaps calibration (of prediction intervals), and test,
            in this order: shares of each series, numbers of rows (what is left over is not
            used), or the dates on which all but the first begin.
        season: steps after which the naive forecast, that errors are scaled by, repeats.

    Raises:
        InputError: a knob is out of range.
    """

    unit = "windows"

    def __init__(
        self,
        reader: TableReader,
        pipeline: TablePipeline,
        source: TableFile,
        look_back: int = 336,
        horizon: int = 96,
        split: Sequence[Any] = (0.7, 0.1, 0.2),
        season: int = 1,
    ):
        for name, value in (("look_back", look_back), ("horizon", horizon), ("season", season)):
            if value < 1:
                raise InputError(f"data.{name}={value} must be at least 1")
        check_split(split)
        self.reader = reader
        self.pipeline = pipeline
        self.source = source
        self.look_back, self.horizon = look_back, horizon
        self.split = [str(s) if isinstance(s, date) else s for s in split]
        self.season = season
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, WindowTensors] = {}
        self._table: Table | None = None

    def fit(self) -> None:
        """Reads the table and fits the pipeline to the training rows."""
        table = self.table()
        rows = np.concatenate([np.arange(*part["train"]) for part in borders(table, self.split)])
        if not len(rows):
            span = f"{table.time.min()} to {table.time.max()}".replace("T", " ")
            raise InputError(
                f"{table.origin}: data.split={self.split} leaves no row to train on, of {span}"
            )
        lengths = [part["train"][1] - part["train"][0] for part in borders(table, self.split)]
        if max(lengths) <= self.season:
            raise InputError(
                f"{table.origin}: the rows to train on are too few for data.season={self.season}"
            )
        try:
            self.pipeline.fit(table.values[rows], table.columns, table.num_targets, table.step)
        except InputError as error:
            raise InputError(f"{table.origin}: {error}") from None
        self.tensors("train")

    def table(self) -> Table:
        """All rows, as they were read."""
        if self._table is None:
            self._table = self.reader.read(self.source.path(), self.pipeline.step)
            known = self.pipeline.columns
            if known and (self._table.columns, self._table.num_targets) != (
                known,
                self.pipeline.num_targets,
            ):
                raise InputError(
                    f"{self._table.origin} gives the columns {', '.join(self._table.columns)}, "
                    f"training had {', '.join(known)} (the first {self.pipeline.num_targets} "
                    "are targets): set data.targets, data.covariates and data.known alike"
                )
            self.fingerprints["table"] = self._table.fingerprint()
        return self._table

    def times(self, first: int, end: int) -> NDArray[np.datetime64]:
        """Time stamps of rows."""
        return self.table().time[first:end]

    def tensors(self, split: str) -> WindowTensors:
        """Windows whose horizon lies in `train`, `val`, `calibration` or `test`."""
        if split not in self._tensors:
            table, parts = self.table(), borders(self.table(), self.split)
            starts = [
                np.arange(
                    max(part[split][0], first + self.look_back), part[split][1] - self.horizon + 1
                )
                for part, first in zip(parts, table.offsets[:-1], strict=True)
            ]
            if not sum(map(len, starts)):
                raise InputError(self._too_short(table, parts, split))
            values, filled = self.scaled(table, max(part[split][1] for part in parts))
            sizes = (self.look_back, self.horizon, table.num_targets, table.num_known)
            self._tensors[split] = WindowTensors(values, filled, np.concatenate(starts), *sizes)
        return self._tensors[split]

    def scaled(self, table: Table, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows before `end`, with NaN and with the last value going on; none after it."""
        values = self.pipeline.transform(table.values[:end])
        edges = itertools.pairwise(table.offsets)
        filled = [np.nan_to_num(carried_on(values[a:b])) for a, b in edges if a < end]
        return torch.from_numpy(values), torch.from_numpy(np.concatenate(filled))

    def ahead(self, table: Table, every: int | None) -> WindowTensors:
        """Windows over a table that goes on: of each series the last, or every n-th."""
        starts = table.ends(self.look_back, self.horizon, every)
        values, filled = self.scaled(table, len(table.time))
        sizes = (self.look_back, self.horizon, table.num_targets, table.num_known)
        return WindowTensors(values, filled, starts, *sizes)

    def _too_short(self, table: Table, parts: list[dict[str, tuple[int, int]]], split: str) -> str:
        rows = max(part[split][1] - part[split][0] for part in parts)
        return (
            f"{table.origin}: the {split} split has {rows} rows, too few for data.look_back="
            f"{self.look_back} and data.horizon={self.horizon}: type smaller ones, or "
            "another data.split"
        )

    @property
    def has_calibration(self) -> bool:
        return len(self.split) + isinstance(self.split[0], str) == 4

    @property
    def has_validation(self) -> bool:
        return True

    @property
    def num_steps(self) -> int:
        return self.look_back

    @property
    def origin(self) -> str:
        """Where the table was read."""
        return str(self.source.path())

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        table = self.table()
        return {
            "channels": len(table.columns),
            "num_targets": table.num_targets,
            "num_known": table.num_known,
            "naive_errors": self._naive_errors(table),
        }

    def _naive_errors(self, table: Table) -> list[float]:
        """MAE of each target's value one season before, on scaled training rows."""
        parts, k = [part["train"] for part in borders(table, self.split)], table.num_targets
        values = self.scaled(table, max(end for _, end in parts))[0].numpy()[:, :k]
        errors = [
            values[a + self.season : b] - values[a : max(b - self.season, a)] for a, b in parts
        ]
        mean = np.nanmean(np.abs(np.concatenate(errors)), axis=0, dtype=np.float64)
        return np.maximum(np.nan_to_num(mean, nan=1.0), 1e-8).tolist()

    def describe(self) -> str:
        """Sizes, for people."""
        table = self.table()
        return (
            f"{self.look_back} steps to {self.horizon}, {table.num_targets} targets, "
            f"{len(table.columns) - table.num_targets} covariates ({table.num_known} known ahead)"
        )
