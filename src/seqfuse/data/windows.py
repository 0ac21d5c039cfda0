"""Windows over tables and over files larger than the memory: splits by time."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from seqfuse.data.loader import ChunkShuffle, EpochShuffle
from seqfuse.data.read.files import TableFile
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.packed import pack
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.numbers import check_finite
from seqfuse.runtime.read.table.cells import LISTED
from seqfuse.runtime.read.table.rows import check_columns
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.shown import counted
from seqfuse.runtime.windows import Span, Windows, sliding

PARTS = ("train", "val", "calibration", "test")
BLOCKS = 64
CELLS = 2**22
"""Cells of all blocks that a scale is fitted to, where rows are on disk."""
BAND_WINDOWS = 19
"""Fewest targets that tell a band of 95 %: the largest of n errors bounds n / (n + 1) of new ones
(Vovk et al. 2005)."""
ENOUGH_WINDOWS = 50
"""Windows for which `split=auto` leaves a twentieth of the rows to calibrate, not a tenth."""
AUTO_SPLITS = ([0.7, 0.05, 0.05, 0.2], [0.6, 0.1, 0.1, 0.2], [0.7, 0.1, 0.2])
"""Fractions of `split=auto`, of many windows, of few, and of too few to calibrate."""
SEASONS = 7
"""Seasons of a look-back at `auto`: a week of hours, seven weeks of days."""
LONGEST_LOOK_BACK, LONGEST_HORIZON = 336, 96
"""Steps, of those that are left to `auto`."""
SEASONLESS_HORIZON = 24
"""Steps, where nothing repeats."""
SERIES_PER_BATCH = 256
"""Windows times targets of a batch that is left to `auto`: a net for single series takes them as
one batch."""


class Reader(Protocol):
    """Reader of a table: `TableReader` or `RowReader`."""

    @property
    def metadata(self) -> dict[str, Any]: ...

    def read(
        self,
        path: Any,
        clock: Clock | None,
        columns: Sequence[str],
        training: Callable[[Table], Sequence[Span]],
        holidays: Sequence[str],
        /,
    ) -> Table:
        """A file, whose words are those of a fitted pipeline's columns, or of the training rows."""
        ...

    def scaled(
        self, table: Table, pipeline: TablePipeline, end: int | None = None
    ) -> tuple[Any, Any]:
        """Rows before `end`, scaled, with NaN and with nothing missing."""
        ...


class WindowTensors(Dataset[Batch]):
    """Windows of one split.

    Args:
        windows: numpy arrays, which become tensors batch by batch.
        chunk: rows that are cheap to read together, where they are on disk.
        mix: chunks that are shuffled among each other.
    """

    per_step = True
    """Whether steps have targets of their own: those of the horizon."""

    def __init__(self, windows: Windows, chunk: int | None = None, mix: int = 1):
        self.windows, self.chunk, self.mix = windows, chunk, mix

    def __len__(self) -> int:
        return len(self.windows)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        if self.chunk is None:
            return EpochShuffle(len(self), seed)
        return ChunkShuffle(len(self), seed, self.chunk, self.mix, self._expect)

    def _expect(self, first: int, last: int) -> None:
        start, end = self.windows.at([first, last])
        self.windows.values.expect(start - self.windows.ahead, end + self.windows.horizon)

    @property
    def index(self) -> torch.Tensor:
        """(w) row of the first step of each horizon."""
        return torch.as_tensor(np.asarray(self.windows.starts))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """x (b t c), true for the look-back in mask (b t), y (b h k) with NaN where missing."""
        starts = self.windows.at(indices)
        x, y = torch.from_numpy(self.windows.x(starts)), torch.from_numpy(self.windows.y(starts))
        mask = torch.from_numpy(self.windows.mask(starts))
        return Batch(x, mask, y, torch.from_numpy(starts))


class TimeSplits:
    """Splits of a table by time.

    Training windows over rows on disk are shuffled by chunks (row groups of Parquet): chunks in
    a random order, and the windows of as many as make up the pool among each other.

    Args:
        pipeline: fitted on the training rows alone; of rows on disk, on blocks all over them.
        look_back: steps a forecast sees; `auto`: 7 seasons (or horizons, where these are longer),
            at most 336 steps and a third of the training rows, in whole seasons.
        horizon: steps to forecast; `auto`: a season (24 steps where nothing repeats), at most 96
            steps and half of the smallest part of the split.
        split: training, validation, perhaps calibration (of prediction intervals), and test,
            in this order: fractions of each series, numbers of rows (what is left over is not
            used), or the dates on which all but the first begin. `auto`: a fifth to test, and a
            twentieth each for validation and calibration, or a tenth where that leaves few windows;
            no calibration where that leaves too few, too.
        season: steps after which the naive forecast, that errors are scaled by, repeats; `auto`:
            by the step of the clock (see `season_of`).
        min_look_back: steps that a forecast sees at least, at the beginning of a series; None:
            all of `look_back`.
    """

    unit = "windows"
    has_validation = True

    def __init__(
        self,
        reader: Reader,
        pipeline: TablePipeline,
        source: TableFile,
        look_back: int | str = 336,
        horizon: int | str = 96,
        split: Sequence[Any] | str = (0.7, 0.1, 0.2),
        season: int | str = 1,
        min_look_back: int | None = None,
    ):
        for name, value in (("look_back", look_back), ("horizon", horizon), ("season", season)):
            if value != "auto" and (not isinstance(value, int) or value < 1):
                raise InputError(f"data.{name}={value} must be at least 1")
        if split != "auto":
            check_split(split)
        self.reader, self.pipeline, self.source = reader, pipeline, source
        self.look_back: Any = look_back
        self.horizon: Any = horizon
        self.season: Any = season
        """All three are numbers once the table is read, where they were `auto` (`_training`)."""
        self.skipped_season = 0
        """Steps of the season that `auto` would have taken, where the training rows hold none."""
        sizes = {"look_back": look_back, "horizon": horizon}
        self._chosen = [f"data.{name}" for name, value in sizes.items() if value == "auto"]
        self._min_look_back = min_look_back
        self.split = (
            split
            if isinstance(split, str)
            else [str(part) if isinstance(part, date) else part for part in split]
        )
        self.fingerprints: dict[str, str] = {}
        self._tensors: dict[str, WindowTensors] = {}
        self._scaled: dict[int | None, tuple[Any, Any]] = {}
        self._table: Table | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            **self.__dict__,
            "_table": None,
            "_tensors": {},
            "_scaled": {},
        }  # another process opens the file

    @property
    def min_look_back(self) -> int:
        """Steps that a forecast sees at least."""
        minimum = self._min_look_back
        if minimum is not None and not 1 <= minimum <= self.look_back:
            raise InputError(
                f"data.min_look_back={minimum} must be from 1 to data.look_back={self.look_back}"
            )
        return self.look_back if minimum is None else minimum

    def metadata(self) -> dict[str, Any]:
        return {
            "job": "forecasts",
            "pipeline": pack(self.pipeline),
            "file_format": self.reader.metadata,
            "look_back": self.look_back,
            "horizon": self.horizon,
            "season": self.season,
            "min_look_back": self.min_look_back,
        }

    def table(self) -> Table:
        """All rows, as they were read."""
        if self._table is None:
            fitted = self.pipeline
            fitted_on = (fitted.clock, fitted.columns, self._training, fitted.holidays)
            self._table = self.reader.read(self.source.path(), *fitted_on)
            check_columns(self._table, self.pipeline)
            if "auto" in (self.look_back, self.horizon, self.season):
                self._training(self._table)
            self._table = self._in_own_units(self._table)
            if isinstance(self._table.values, np.ndarray):
                self.fingerprints["table"] = self._table.fingerprint()
        return self._table

    def _in_own_units(self, table: Table) -> Table:
        """The table with targets scaled by series, which are fitted where they are not yet."""
        if self.pipeline.scaling != "series":
            return table
        if not isinstance(table.values, np.ndarray):
            raise InputError("data.scaling=series is for data=csv: type data.scaling=channel")
        spans, k = self._training(table), table.num_targets
        if not self.pipeline.columns:
            parts = [table.values[first:end, :k] for first, end in spans]
            self.pipeline.fit_series(table.names or [""], parts)
        # A series that begins after the training rows: what its first forecast sees.
        first = np.minimum(table.offsets[:-1] + self.min_look_back, table.offsets[1:]).tolist()
        spans = [(a, b if b > a else end) for (a, b), end in zip(spans, first, strict=True)]
        return table.in_own_units(self.pipeline, spans)

    def fit(self) -> None:
        table, spans = self.table(), self.spans("train")
        longest = max(end - first for first, end in spans)
        if not longest and "time" in table.steps:
            span = f"{table.time.min()} to {table.time.max()}".replace("T", " ")
            raise InputError(
                f"{table.origin}: data.split={self.split} leaves no row to train on, of {span}"
            )
        if longest <= self.season:
            raise InputError(
                f"{table.origin}: {longest} rows to train on are too few for "
                f"data.season={self.season}"
            )
        starts, blocks = self._blocks()
        if not isinstance(table.values, np.ndarray):
            digest = hashlib.sha256(str(table.values.shape[0]).encode())
            for first, block in zip(starts, blocks, strict=True):
                check_finite(block, table.columns, table.origin, first)
                digest.update(block.tobytes())
            self.fingerprints["blocks"] = digest.hexdigest()[:16]
        try:
            sizes = (table.num_targets, table.num_known, table.clock, table.holidays)
            self.pipeline.fit(np.concatenate(blocks), table.columns, *sizes)
        except InputError as error:
            raise InputError(f"{table.origin}: {error}") from None
        self._naive_errors = self._seasonal(blocks)
        self.tensors("train")

    def _training(self, table: Table) -> list[Span]:
        """Rows to train on of each series of a table, whose sizes at `auto` are chosen now."""
        if "auto" in (self.look_back, self.horizon):
            self._choose(table)
        spans = [parts[0] for parts in self._borders(table)]
        if self.season == "auto":
            self.season, longest = season_of(table), max(end - first for first, end in spans)
            if self.season >= longest:
                self.skipped_season, self.season = self.season if self.season > 1 else 0, 1
        return spans

    def _choose(self, table: Table) -> None:
        """Look-back and horizon by the season, and by the rows of the parts of the split."""
        parts = self._part_sizes(table)
        season = season_of(table) if self.season == "auto" else self.season
        if self.horizon == "auto":
            if min(parts) < 2:
                self._refuse_few(table, "horizon", parts, 2)
            wanted = season if season > 1 else SEASONLESS_HORIZON
            self.horizon = min(wanted, LONGEST_HORIZON, min(parts) // 2)
        if self.look_back == "auto":
            steps = min(SEASONS * max(season, self.horizon), LONGEST_LOOK_BACK, parts[0] // 3)
            self.look_back = max(steps - steps % season if steps >= season else steps, 1)

    def _part_sizes(self, table: Table) -> list[int]:
        """Rows of each part of the split, of the series in the middle."""
        sizes = np.diff(self._borders(table), axis=2)[..., 0]  # (series, parts)
        return np.median(sizes, axis=0).astype(int).tolist()

    def _refuse_few(self, table: Table, key: str, parts: Sequence[int], minimum: int) -> None:
        """Says how many rows a size at `auto` needs, where these are too few."""
        needed = f"the parts of data.split={self.split} have {parts}, and each needs {minimum}"
        if self.split == "auto":
            needed = f"{10 * minimum} are enough"
        unit = "rows" if len(table) == 1 else "rows of a series"
        raise InputError(
            f"{table.origin}: {np.median(table.lengths):g} {unit} are too few for "
            f"data.{key}=auto: {needed}"
        )

    def _borders(self, table: Table) -> list[list[Span]]:
        """Parts of each series of a table."""
        split, edges = self._split(table), itertools.pairwise(table.offsets.tolist())
        return [borders(table, split, *edge) for edge in edges]

    def _blocks(self) -> tuple[list[int], list[NDArray[Any]]]:
        """Stretches of training rows and their first rows: all of them; on disk up to `BLOCKS`,
        evenly spread, of `CELLS` cells in all."""
        table, spans = self.table(), self.spans("train")
        if isinstance(table.values, np.ndarray):
            return [a for a, _ in spans], [table.values[a:b] for a, b in spans]
        [(first, end)] = spans
        size = max(CELLS // BLOCKS // len(table.columns), self.season + 1)
        count = min(BLOCKS, -(-(end - first) // size))
        starts = np.linspace(first, max(end - size, first), count).astype(int).tolist()
        return starts, [table.values[a : min(a + size, end)] for a in starts]

    def _seasonal(self, blocks: Sequence[NDArray[Any]]) -> list[float]:
        """MAE of each target's value one season before, scaled."""
        k, season = self.table().num_targets, self.season
        scaled = [self.pipeline.transform(block)[:, :k] for block in blocks]
        errors = [values[season:] - values[: max(len(values) - season, 0)] for values in scaled]
        mean = np.nanmean(np.abs(np.concatenate(errors)), axis=0, dtype=np.float64)
        return np.maximum(np.nan_to_num(mean, nan=1.0), 1e-8).tolist()

    def spans(self, split: str) -> list[Span]:
        """Rows of `train`, `val`, `calibration` or `test` in each series."""
        table, index = self.table(), self._parts().index(split)
        return [parts[index] for parts in self._borders(table)]

    def _split(self, table: Table) -> Sequence[Any]:
        if self.split != "auto":
            if isinstance(self.split[0], str) and "time" not in table.steps:
                raise InputError(
                    f"data.split={self.split}: rows have no dates here, give fractions"
                )
            return self.split
        if self.horizon == "auto":  # which then suits a tenth, the smallest part that may come
            return AUTO_SPLITS[1]
        windows = 0
        for split in AUTO_SPLITS[:2]:
            rows = [int(split[1] * n) for n in table.lengths.tolist()]
            windows = sum(max(size - self.horizon + 1, 0) for size in rows)
            if windows >= ENOUGH_WINDOWS:
                return split
        return AUTO_SPLITS[1] if windows >= BAND_WINDOWS else AUTO_SPLITS[2]

    def _parts(self) -> list[str]:
        return [part for part in PARTS if part != "calibration" or self.has_calibration]

    def rows(self, split: str) -> tuple[Table, Any]:
        table, starts = self.table(), self._starts(split)
        if not len(starts):
            size = max(end - first for first, end in self.spans(split))
            raise InputError(
                f"{table.origin}: the {split} split has {size} rows, too few for data.look_back="
                f"{self.look_back} and data.horizon={self.horizon}: type smaller ones, or another "
                "data.split"
            )
        return table, starts

    def _starts(self, split: str) -> Any:
        firsts = self.table().offsets[:-1].tolist()
        return sliding(self.spans(split), firsts, self.min_look_back, self.horizon)

    def tensors(self, split: str) -> WindowTensors:
        if split not in self._tensors:
            table, starts = self.rows(split)
            # Of several series each has an end, and all splits share the rows.
            end = self.spans(split)[0][1] if len(table) == 1 else None
            if end not in self._scaled:
                self._scaled[end] = self.reader.scaled(table, self.pipeline, end)
            values, filled = self._scaled[end]
            sizes = (self.look_back, self.horizon, table.num_targets, table.num_known)
            windows = Windows(values, filled, starts, *sizes, offsets=table.offsets)
            on_disk = not isinstance(table.values, np.ndarray)
            shuffle = (table.values.chunk, table.values.mix) if on_disk else ()
            self._tensors[split] = WindowTensors(windows, *shuffle)
        return self._tensors[split]

    def undo(self, targets: NDArray[Any], row: int, outputs: bool = False) -> NDArray[np.float64]:
        """Scaled targets (h k), or (h k p) with several outputs, of the series of a horizon that
        begins at this row, in the user's units."""
        scaled = self.pipeline.undo(targets, outputs)
        return self.table().undo(scaled[None], np.array([row]))[0]

    def times(self, first: int, end: int) -> NDArray[Any]:
        """Time stamps of rows, or their numbers."""
        return self.table().times(np.arange(first, end))

    def name(self, row: int) -> str:
        """The series of the window whose horizon begins at a row; empty of a single one."""
        table = self.table()
        return str(table.names[table.owners(np.array([row]))[0]]) if table.names else ""

    @property
    def has_calibration(self) -> bool:
        parts = self._split(self.table()) if self.split == "auto" else self.split
        return len(parts) + isinstance(parts[0], str) == 4

    @property
    def calibrates_apart(self) -> bool:
        return self.has_calibration

    @property
    def largest_batch(self) -> int:
        return max(SERIES_PER_BATCH // self.table().num_targets, 1)

    @property
    def num_steps(self) -> int:
        return self.look_back

    @property
    def num_test(self) -> int | None:
        return len(self._starts("test"))

    @property
    def origin(self) -> str:
        return self.table().origin

    def sizes(self) -> dict[str, Any]:
        table = self.table()
        return {
            "channels": len(table.columns),
            "num_targets": table.num_targets,
            "num_known": table.num_known,
            "naive_errors": self._naive_errors,
            "season": self.season,
            "look_back": self.look_back,
            "horizon": self.horizon,
        }

    def describe(self) -> str:
        table = self.table()
        covariates = len(table.columns) - table.num_targets
        ahead = f" ({table.num_known} known ahead)" if table.num_known else ""
        given = f"{counted(covariates, 'covariate')}{ahead}" if covariates else "no covariates"
        targets = counted(table.num_targets, "target")
        return (
            f"{self.look_back} steps to {self.horizon}, {targets}, {given}; "
            f"{table.offsets[-1]:,} rows"
        )

    def notes(self) -> Iterator[str]:
        if left_out := self.table().left_out:
            yield (
                f"columns that are not read: {', '.join(left_out[:LISTED])}; covariates up to now "
                f"are data.covariates=[{left_out[0]}], more to forecast data.targets"
            )
        if self._chosen:
            season = f"a season of {self.season} steps" if self.season > 1 else "no season"
            yield (
                f"{' and '.join(self._chosen)} by {season} and the rows that there are: "
                f"data.look_back={self.look_back} data.horizon={self.horizon}"
            )
        spans, offsets = np.array(self.spans("train")), self.table().offsets[:-1]
        if self.table().steps:  # it lies in memory
            rows = np.concatenate([self.table().values[first:end] for first, end in spans])
            yield from _odd_columns(rows, self.table().columns, self.table().num_targets)
        if self.skipped_season:
            yield (
                f"a season of {self.skipped_season} steps is longer than the "
                f"{np.diff(spans).max()} rows to train on: data.season=1, and no naive forecast "
                "is seasonal"
            )
        first = np.maximum(spans[:, 0], offsets + self.min_look_back)
        if self.pipeline.scaling == "series":
            yield (
                "scaled errors (mse, mae, crps): in standard deviations of each series, over its "
                "own training rows (data.scaling=series)"
            )
        if few := int((spans[:, 1] - first < self.horizon).sum()):
            yield (
                f"{few:,} of {len(spans):,} series are too short to train on: data.look_back="
                f"{self.look_back} may reach before their beginning with data.min_look_back=1"
            )
        windows = len(self._starts("calibration")) if self.has_calibration else 0
        if windows < BAND_WINDOWS and (self.has_calibration or self.split == "auto"):
            held = f"{windows} windows calibrate them" if windows else "they are not calibrated"
            yield (
                f"bands: {held}, and one of 95 % needs {BAND_WINDOWS}: add rows, shorten "
                f"data.horizon={self.horizon}, or give calibration more of data.split"
            )


def season_of(table: Table) -> int:
    """Steps after which days, weeks or years repeat, by the clock.

    Where rows are the clock, as for trading days, only months and quarters count.
    """
    if "time" not in table.steps or table.lengths[0] < 2:
        return 1
    clock = table.clock or Clock.of(table.time[: table.offsets[1]])
    return clock.season if table.clock or clock.unit == "month" else 1


def borders(table: Table, split: Sequence[Any], first: int, end: int) -> list[Span]:
    """First row and row after the last of each part of a series."""
    if isinstance(split[0], str):
        days = np.array(split, dtype="datetime64[s]")
        edges = [*(first + np.searchsorted(table.time[first:end], days)).tolist(), end]
    else:
        size = end - first if isinstance(split[0], float) else 1
        edges = [first + int(size * fraction + 1e-6) for fraction in np.cumsum(split)]
    if edges[-1] > end:
        raise InputError(
            f"{table.origin}: data.split={list(split)} is more than its {end - first} rows"
        )
    return list(itertools.pairwise([first, *edges]))


MARKS = (-999, -9999, -99999, -99.9, -999.9, -9999.9, 999, 9999, 99999)
"""Numbers that some files have where a value is missing."""


def _odd_columns(rows: NDArray[Any], columns: Sequence[str], targets: int) -> Iterator[str]:
    """Notes about columns (n c) with a number that may stand for a missing value, and about targets
    that never change."""
    for number, (name, column) in enumerate(zip(columns, rows.T, strict=True)):
        known = column[np.isfinite(column)]
        for mark in MARKS:
            others = known[known != mark]
            if not len(others) or len(others) == len(known):
                continue
            if np.abs(others - mark).min() > 3 * max(np.ptp(others), 1):
                yield (
                    f"column {name} is {mark:g} in {len(known) - len(others):,} of the training "
                    "rows, far from all other values: if that means missing, empty those cells "
                    "and type data.gaps=fill"
                )
        if number < targets and len(known) > 1 and not np.ptp(known):
            yield f"column {name} is {known[0]:g} in all training rows: there is nothing to learn"


def check_split(split: Sequence[Any]) -> None:
    """Raises InputError unless it is fractions, numbers of rows, or dates."""
    if not isinstance(split, Sequence) or isinstance(split, str):
        raise InputError(f"data.split={split}: give a list, such as [0.7,0.1,0.2]")
    dates = len(split) in (2, 3) and all(isinstance(s, (str, date)) for s in split)
    if dates:
        _check_dates([str(day) for day in split])
    counts = len(split) in (3, 4) and all(isinstance(s, int) and s > 0 for s in split)
    fractions = len(split) in (3, 4) and all(isinstance(s, float) and 0 < s < 1 for s in split)
    if not (dates or counts or (fractions and abs(sum(split) - 1) < 1e-6)):
        raise InputError(
            f"data.split={list(split)}: give fractions that add up to 1, such as [0.7,0.1,0.2], "
            "numbers of rows, or the dates on which validation and test begin"
        )


def _check_dates(days: list[str]) -> None:
    try:
        stamps = np.array(days, dtype="datetime64[s]")
    except ValueError as error:
        raise InputError(f"data.split={days}: {error}") from None
    if not np.all(stamps[1:] > stamps[:-1]):
        raise InputError(f"data.split={days}: give the dates in order")
