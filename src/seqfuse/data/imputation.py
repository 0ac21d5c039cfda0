"""Windows of a table in which values are held out, to be filled from the others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seqfuse.data.interfaces import LARGEST_BATCH
from seqfuse.data.loader import EpochShuffle
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import AUTO_SPLITS, TimeSplits, WindowTensors
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.gaps import held_out
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.cells import LISTED
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.windows import Windows, sliding

LOOK_BACK, MIN_LOOK_BACK = 96, 4
"""Steps of a window that is left to `auto`: at most, and at least."""


class Masking:
    """Gaps drawn at random: any value is in one with the same probability.

    A gap begins at any step with the probability that makes a fraction `rate` of the values lie
    in gaps, which may touch. All gaps of a column in a window are of one length.

    Args:
        rate: fraction of the values.
        lengths: steps of the shortest and of the longest gap; [1, 1] draws each value on its own;
            `auto`: from 1 to a quarter of the window.
        together: fraction of the windows in which all columns have their gaps at the same steps.
    """

    def __init__(
        self, rate: float = 0.25, lengths: Sequence[int] | str = "auto", together: float = 0.5
    ):
        if not 0 < rate < 1:
            raise InputError(f"data.masking.rate={rate} must be above 0 and below 1")
        if lengths != "auto":
            whole = len(lengths) == 2 and all(type(length) is int for length in lengths)
            if not whole or not 1 <= lengths[0] <= lengths[1]:  # type: ignore[operator]
                raise InputError(
                    f"data.masking.lengths={list(lengths)} must be auto or two whole numbers from "
                    "1, in order"
                )
        if not 0 <= together <= 1:
            raise InputError(f"data.masking.together={together} must be from 0 to 1")
        self.rate, self.together = rate, together
        self._lengths: Any = lengths

    def lengths(self, steps: int) -> tuple[int, int]:
        """Steps of the shortest and of the longest gap in a window of so many."""
        if self._lengths == "auto":
            return 1, max(steps // 4, 1)
        return self._lengths[0], self._lengths[1]

    def __call__(
        self, generator: np.random.Generator, steps: int, columns: int
    ) -> NDArray[np.bool_]:
        """(t k) where values are held out."""
        shortest, longest = self.lengths(steps)
        drawn = 1 if generator.random() < self.together else columns
        length = generator.integers(shortest, longest + 1, drawn)
        probability = 1 - (1 - self.rate) ** (1 / length)
        begins = generator.random((longest - 1 + steps, drawn)) < probability
        begun = np.concatenate([np.zeros((1, drawn), dtype=np.int64), begins.cumsum(axis=0)])
        # A step lies in a gap where one began at it, or at one of the steps before.
        end = np.arange(longest, longest + steps)[:, None]
        inside = begun[end, np.arange(drawn)] > begun[end - length, np.arange(drawn)]
        return np.broadcast_to(inside, (steps, columns))


class EpochDraws(EpochShuffle):
    """A new order each epoch, of windows with new gaps: n windows are n to 2n - 1 in the first."""

    def __iter__(self) -> Iterator[int]:
        first = (self.epoch + 1) * self.size
        return (first + window for window in super().__iter__())


class MaskedTensors(WindowTensors):
    """Windows of one split with gaps, which are the same in every validation and test.

    The horizon of a window of scaled values is the window itself; `seed` is of the training gaps.
    """

    def __init__(self, windows: Windows, masking: Masking, seed: int):
        super().__init__(windows)
        self.masking, self.seed = masking, seed

    def shuffled(self, seed: int, batch_size: int) -> EpochDraws:
        return EpochDraws(len(self), seed)

    def hidden(self, start: int, draw: int = 0) -> NDArray[np.bool_]:
        """(t k) where values are held out of the window that begins at a row; draw 0 is the one
        of validation and test, whatever the seed of the run."""
        generator = np.random.default_rng((self.seed if draw else 0, draw, start))
        return self.masking(generator, self.windows.look_back, self.windows.num_targets)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """x (b t 2c) with gaps interpolated and where values are seen, y (b t k) with those held
        out, NaN elsewhere."""
        draws, rows = np.divmod(np.asarray(indices, dtype=np.int64), len(self))
        starts = self.windows.at(rows)
        pairs = zip(starts.tolist(), draws.tolist(), strict=True)
        hidden = np.stack([self.hidden(*pair) for pair in pairs])
        x, y = map(torch.from_numpy, held_out(self.windows.x(starts), hidden))
        return Batch(x, torch.ones(x.shape[:2], dtype=torch.bool), y, torch.from_numpy(starts))


class MaskedSplits(TimeSplits):
    """Splits of a table by time, whose windows lie in one split each.

    Values that the table lacks are never asked for; of the others some are held out.

    Args:
        reader: of the table; its targets are filled, covariates are seen.
        pipeline: fitted on the training rows alone.
        masking: draws what is held out.
        look_back: steps of a window; `auto`: 96, or half of the smallest part of the split where
            that is less.
        horizon: the same.
        split: as in `TimeSplits`, without calibration.
        season: as in `TimeSplits`.
        min_look_back: None: a window lies in one series.
        seed: of the gaps of training.
    """

    def __init__(
        self,
        reader: TableReader,
        pipeline: TablePipeline,
        source: TableFile,
        masking: Masking,
        look_back: int | str = 96,
        horizon: int | str = 96,
        split: Sequence[Any] | str = "auto",
        season: int | str = 1,
        min_look_back: int | None = None,
        seed: int = 0,
    ):
        super().__init__(reader, pipeline, source, look_back, horizon, split, season)
        if horizon != look_back:
            raise InputError(f"data.horizon={horizon} follows data.look_back: leave it out")
        if min_look_back is not None:
            raise InputError(f"data.min_look_back={min_look_back} is for forecasts: leave it out")
        if reader.gaps == "refuse":
            raise InputError(
                "data.gaps=refuse leaves nothing to fill: type data.gaps=fill, or ignore where "
                "rows are the clock"
            )
        if reader.returns:
            raise InputError("data.returns=true is for forecasts: leave it out")
        if pipeline.scaling != "channel":
            raise InputError(
                f"data.scaling={pipeline.scaling}: a window without any value begins at the mean, "
                "which is 0 after data.scaling=channel: leave it out"
            )
        self.masking, self.seed = masking, seed
        if look_back != "auto":
            self._check_gaps()

    def _check_gaps(self) -> None:
        lengths = self.masking.lengths(self.look_back)
        if lengths[1] >= self.look_back:
            raise InputError(
                f"data.masking.lengths={list(lengths)}: gaps must be shorter than a window, "
                f"data.look_back={self.look_back}"
            )

    def _choose(self, table: Table) -> None:
        """The steps of a window by the rows of the parts of the split."""
        parts = self._part_sizes(table)
        if min(parts) < 2 * MIN_LOOK_BACK:
            self._refuse_few(table, "look_back", parts, 2 * MIN_LOOK_BACK)
        self.look_back = self.horizon = min(LOOK_BACK, min(parts) // 2)
        self._check_gaps()

    @property
    def largest_batch(self) -> int:
        return LARGEST_BATCH  # windows go through the net whole

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "job": "imputations"}

    def rows(self, split: str) -> tuple[Table, Any, Callable[[int], NDArray[np.bool_]]]:  # type: ignore[override]
        tensors = self.tensors(split)
        return self.table(), tensors.windows.starts, tensors.hidden

    def _starts(self, split: str) -> Any:
        firsts = self.table().offsets[:-1].tolist()
        return sliding(self.spans(split), firsts, 0, self.look_back)

    def tensors(self, split: str) -> MaskedTensors:
        if split not in self._tensors:
            table, starts = super().rows(split)
            values = self.pipeline.transform(table.values)
            sizes = (self.look_back, self.look_back, table.num_targets)
            windows = Windows(values, values, starts, *sizes, overlap=self.look_back)
            self._tensors[split] = MaskedTensors(windows, self.masking, self.seed)
        return self._tensors[split]  # type: ignore[return-value]

    def _split(self, table: Table) -> Sequence[Any]:
        return AUTO_SPLITS[2] if self.split == "auto" else super()._split(table)

    def sizes(self) -> dict[str, Any]:
        columns = len(self.table().columns)
        more = {"num_columns": columns, "channels": 2 * columns, "num_known": 0}
        return {**super().sizes(), **more}

    def describe(self) -> str:
        table = self.table()
        covariates = len(table.columns) - table.num_targets
        return (
            f"{self.look_back} steps, {table.num_targets} columns to fill, {covariates} covariates;"
            f" {table.offsets[-1]:,} rows"
        )

    def notes(self) -> Iterator[str]:
        table = self.table()
        targets = table.values[:, : table.num_targets]
        missing = int(np.isnan(targets).sum())
        yield f"{missing:,} of {targets.size:,} values are missing; some of the others are held out"
        if self._chosen:
            yield f"data.look_back={self.look_back} steps of a window, by the rows that there are"
        if table.left_out:
            listed = ", ".join(table.left_out[:LISTED])
            yield f"columns that are not read, and written back as they are: {listed}"
