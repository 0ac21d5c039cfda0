"""Windows over a file larger than the memory: rows are the clock, and read when needed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.borders import PARTS, check_split, edges
from seqfuse.data.read.files import TableFile
from seqfuse.data.read.rows import Floats, Rows, open_rows
from seqfuse.data.views import RowWindows
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.scaling import TablePipeline
from seqfuse.runtime.stamps import check_finite

BLOCKS = 64
CELLS = 2**22


class MappedFile:
    """A .npy array (rows, columns) or a Parquet file, and what is taken from it.

    Args:
        source: the file.
        targets: columns to forecast; those of an array are numbered from 0; `all` takes
            every number column that is no covariate.
        covariates: columns known up to now.
        pool: MiB of rows that are shuffled among each other.

    Raises:
        InputError: a knob is out of range.
    """

    def __init__(
        self,
        source: TableFile,
        targets: str | Sequence[str | int] = "all",
        covariates: Sequence[str | int] = (),
        pool: int = 64,
    ):
        if pool < 1:
            raise InputError(f"data.pool={pool} must be at least 1")
        self.source, self.pool = source, pool
        self.targets = None if targets == "all" else _names(targets)
        self.covariates = _names(covariates)

    def open(self, path: Path | None = None) -> tuple[Rows, int]:
        """The rows, targets first, and the number of targets; of another file like it, too."""
        path = path or self.source.path()
        targets = self.targets
        if targets is None:
            there = open_rows(path, None, self.pool).columns
            targets = [name for name in there if name not in self.covariates]
        if not targets:
            raise InputError(f"{path}: data.targets leaves no column to forecast")
        return open_rows(path, [*targets, *self.covariates], self.pool), len(targets)


class Mapped:
    """Splits of a file by row; the scale is learnt from blocks all over the training rows.

    An empty cell counts as the mean of its column, and is not forecast. Training windows are
    shuffled by chunks (row groups of Parquet): chunks in a random order, and the windows of
    as many as make up the pool among each other.

    Args:
        file: what is read.
        pipeline: fitted on training rows alone.
        look_back: steps a forecast sees.
        horizon: steps to forecast.
        split: training, validation, perhaps calibration, and test, in this order: shares, or
            numbers of rows.
        season: steps after which the naive forecast, that errors are scaled by, repeats.

    Raises:
        InputError: a knob is out of range.
    """

    unit = "windows"
    has_validation = True

    def __init__(
        self,
        file: MappedFile,
        pipeline: TablePipeline,
        look_back: int = 336,
        horizon: int = 96,
        split: Sequence[Any] = (0.7, 0.1, 0.2),
        season: int = 1,
    ):
        for name, value in (("look_back", look_back), ("horizon", horizon), ("season", season)):
            if value < 1:
                raise InputError(f"data.{name}={value} must be at least 1")
        check_split(split)
        if not isinstance(split[0], (int, float)):
            raise InputError(f"data.split={list(split)}: rows have no dates here, give shares")
        self.file, self.pipeline = file, pipeline
        self.look_back, self.horizon, self.season = look_back, horizon, season
        self.split = list(split)
        self.fingerprints: dict[str, str] = {}
        self._rows: Rows | None = None
        self._windows: dict[str, RowWindows] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": None, "_windows": {}}  # another process opens the file

    def rows(self) -> Rows:
        """Those of the file."""
        if self._rows is None:
            self._rows, self.num_targets = self.file.open()
            self.check(self._rows, self.origin)
        return self._rows

    def check(self, rows: Rows, origin: str) -> None:
        """Raises InputError unless rows have the columns that were trained on, if any were."""
        known = self.pipeline.columns
        if known and rows.columns != known:
            raise InputError(
                f"{origin} has the columns {', '.join(rows.columns)}, training had "
                f"{', '.join(known)}: set data.targets and data.covariates alike"
            )

    def times(self, first: int, end: int) -> NDArray[Any]:
        """Numbers of rows: there is no other clock."""
        return np.arange(first, end)

    def fit(self) -> None:
        """Fits the pipeline to blocks of training rows."""
        starts, blocks = self._blocks()
        digest = hashlib.sha256(str(self.rows().size).encode())
        for first, block in zip(starts, blocks, strict=True):
            check_finite(block, self.rows().columns, self.origin, first)
            digest.update(block.tobytes())
        self.fingerprints["blocks"] = digest.hexdigest()[:16]
        try:
            self.pipeline.fit(np.concatenate(blocks), self.rows().columns, self.num_targets)
        except InputError as error:
            raise InputError(f"{self.origin}: {error}") from None
        self._naive_errors = self._seasonal(blocks)
        self.tensors("train")

    def _blocks(self) -> tuple[list[int], list[Floats]]:
        """Up to `BLOCKS` stretches of training rows, evenly spread, of `CELLS` cells in all: their
        first rows and their values."""
        rows, (first, end) = self.rows(), self._parts()["train"]
        if end - first <= self.season:
            raise InputError(
                f"{self.origin}: {end - first} rows to train on are too few for "
                f"data.season={self.season}"
            )
        most = max(CELLS // BLOCKS // len(rows.columns), self.season + 1)
        count = min(BLOCKS, -(-(end - first) // most))
        starts = np.linspace(first, max(end - most, first), count).astype(int).tolist()
        return starts, [rows[a : min(a + most, end)] for a in starts]

    def _seasonal(self, blocks: Sequence[Floats]) -> list[float]:
        """MAE of each target's value one season before, scaled."""
        scaled = [self.pipeline.transform(one)[:, : self.num_targets] for one in blocks]
        errors = [np.abs(one[self.season :] - one[: -self.season]) for one in scaled]
        mean = np.nanmean(np.concatenate(errors), axis=0, dtype=np.float64)
        return np.maximum(np.nan_to_num(mean, nan=1.0), 1e-8).tolist()

    def _parts(self) -> dict[str, tuple[int, int]]:
        return edges(self.split, 0, self.rows().size, self.origin)

    def tensors(self, split: str) -> RowWindows:
        """Windows whose horizon lies in `train`, `val`, `calibration` or `test`."""
        if split not in self._windows:
            first, end = self._parts()[split]
            horizons = range(max(first, self.look_back), end - self.horizon + 1)
            if not len(horizons):
                raise InputError(
                    f"{self.origin}: the {split} split has {end - first} rows, too few for "
                    f"data.look_back={self.look_back} and data.horizon={self.horizon}: type "
                    "smaller ones"
                )
            self._windows[split] = self.windows(self.rows(), horizons)
        return self._windows[split]

    def windows(self, rows: Rows, horizons: range) -> RowWindows:
        """Windows over these or other rows."""
        sizes = (self.look_back, self.horizon, self.file.pool)
        return RowWindows(rows, self.pipeline, horizons, *sizes)

    @property
    def has_calibration(self) -> bool:
        return len(self.split) == len(PARTS)

    @property
    def num_steps(self) -> int:
        return self.look_back

    @property
    def origin(self) -> str:
        """Where the rows are."""
        return str(self.file.source.path())

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        return {
            "channels": len(self.rows().columns),
            "num_targets": self.num_targets,
            "num_known": 0,
            "naive_errors": self._naive_errors,
        }

    def describe(self) -> str:
        """Sizes, for people."""
        return (
            f"{self.look_back} steps to {self.horizon}, {self.num_targets} targets, "
            f"{len(self.rows().columns) - self.num_targets} covariates; {self.rows().size:,} rows"
        )


def _names(names: str | int | Sequence[str | int]) -> list[str]:
    return [str(one) for one in ([names] if isinstance(names, (str, int)) else names)]
