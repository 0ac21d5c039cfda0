"""Views on one long series: a look-back and a horizon, gathered batch by batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from seqfuse.data.loader import ChunkShuffle, EpochShuffle
from seqfuse.data.read.rows import MIB, Rows
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.numbers import LARGEST
from seqfuse.runtime.scaling import TablePipeline
from seqfuse.runtime.stamps import check_finite


class WindowTensors(Dataset[Batch]):
    """Windows of one split; a batch is one gather from a view.

    Args:
        values: (n c) scaled; targets first, covariates known ahead last; NaN is missing.
        filled: the same, with nothing missing.
        starts: (w) row of the first step of each horizon.
        look_back: steps before it.
        horizon: steps to forecast.
        num_targets: channels to forecast.
        num_known: channels known ahead; without any, x ends with the look-back.
        overlap: last steps of the look-back that the horizon lies over; all of them where
            the look-back itself is to be reconstructed.
    """

    def __init__(
        self,
        values: torch.Tensor,
        filled: torch.Tensor,
        starts: np.ndarray,
        look_back: int,
        horizon: int,
        num_targets: int,
        num_known: int,
        overlap: int = 0,
    ):
        self.look_back, self.num_known, self.before = look_back, num_known, look_back - overlap
        self.targets = values[:, :num_targets].unfold(0, horizon, 1)
        self.past = filled.unfold(0, look_back + (horizon if num_known else 0), 1)
        self.index = torch.from_numpy(starts)

    def __len__(self) -> int:
        return len(self.index)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        return EpochShuffle(len(self), seed)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """x (b t c), true for the look-back in mask (b t), y (b h k) with NaN where missing."""
        rows = self.index[torch.as_tensor(indices)]
        x = self.past[rows - self.before].transpose(1, 2)
        mask = (torch.arange(x.shape[1]) < self.look_back).expand(len(x), -1)
        if self.num_known:
            x[:, self.look_back :, : -self.num_known] = 0.0
        return Batch(x, mask, self.targets[rows].transpose(1, 2), rows)


class RecordingTensors(WindowTensors):
    """Windows whose x ends with the code of their recording, the same at every step.

    Args:
        values: (n c) scaled, of all recordings.
        starts: (w) row of the first step of each horizon.
        look_back: steps of x.
        horizon: steps of y.
        codes: (recordings e)
        owners: (n) the recording of each row.
        overlap: as for `WindowTensors`.
    """

    def __init__(
        self,
        values: torch.Tensor,
        starts: np.ndarray,
        look_back: int,
        horizon: int,
        codes: torch.Tensor,
        owners: torch.Tensor,
        overlap: int = 0,
    ):
        super().__init__(values, values, starts, look_back, horizon, values.shape[1], 0, overlap)
        self.codes, self.owners = codes, owners

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        batch = super().__getitems__(indices)
        if not self.codes.shape[1]:
            return batch
        code = self.codes[self.owners[batch.index]].unsqueeze(1)
        return batch._replace(x=torch.cat([batch.x, code.expand(-1, self.look_back, -1)], dim=-1))


class RowWindows(Dataset[Batch]):
    """Windows that are read when a batch needs them.

    Args:
        rows: of the file.
        pipeline: fitted.
        horizons: rows at which horizons begin.
        look_back: steps before them.
        horizon: steps to forecast.
        pool: MiB of rows that are shuffled among each other.
    """

    def __init__(
        self,
        rows: Rows,
        pipeline: TablePipeline,
        horizons: range,
        look_back: int,
        horizon: int,
        pool: int = 64,
    ):
        self.rows, self.pipeline, self.horizons = rows, pipeline, horizons
        self.look_back, self.horizon = look_back, horizon
        self.chunk = rows.chunk
        self.mix = max(1, int(pool * MIB / (rows.chunk * max(len(rows.columns), 8) * 4)))
        """Chunks that are shuffled among each other."""

    def __len__(self) -> int:
        return len(self.horizons)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        return ChunkShuffle(len(self), seed, self.chunk, self.mix)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """x (b t c), all real in mask (b t), y (b h k) with NaN where missing or to come."""
        index = np.asarray(indices, dtype=np.int64)
        starts = self.horizons.start + self.horizons.step * index
        steps = min(self.look_back + self.horizon, self.rows.size - int(starts.max(initial=0))
                    + self.look_back)  # fmt: skip
        raw = self.rows.gather(starts - self.look_back, steps)
        self._check(raw, starts - self.look_back)
        values = self.pipeline.transform(raw)
        x = torch.from_numpy(np.nan_to_num(values[:, : self.look_back]))
        y = np.full((len(x), self.horizon, self.pipeline.num_targets), np.nan, dtype=np.float32)
        y[:, : steps - self.look_back] = values[:, self.look_back :, : y.shape[2]]
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        return Batch(x, mask, torch.from_numpy(y), torch.from_numpy(starts))

    def _check(self, raw: np.ndarray, firsts: np.ndarray) -> None:
        """Raises InputError where a value is infinite or too large; only here is every row seen."""
        if max(np.fmax.reduce(raw, axis=None), -np.fmin.reduce(raw, axis=None)) <= LARGEST:
            return
        for first, window in zip(firsts.tolist(), raw, strict=True):
            check_finite(window, self.rows.columns, self.rows.origin, first)
