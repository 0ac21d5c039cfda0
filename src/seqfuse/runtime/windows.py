"""Windows over series: a look-back, and the horizon behind or over it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import MAX_ITEMS, MAX_VALUES, MIN_CHANNELS
from seqfuse.runtime.engine import Feeds

Span = tuple[int, int]
"""First row, and row after the last."""


@dataclass(eq=False, repr=False)
class Windows:
    """Look-backs and what is to be predicted of each, gathered batch by batch.

    Args:
        values: (n c) scaled; targets first, covariates known ahead last; NaN is missing. An
            array, or rows that are read when they are gathered.
        filled: the same with nothing missing.
        starts: (w) row of the first step of each horizon.
        look_back: steps before it.
        horizon: steps to predict.
        num_targets: channels to predict.
        num_known: channels known ahead; without any, x ends with the look-back.
        overlap: last steps of the look-back that the horizon lies over; all of them where the
            look-back itself is to be reconstructed.
        codes: (r e) for each recording what x ends with, the same at every step.
        offsets: (r + 1) where recordings begin. A look-back that would reach before is shorter:
            its steps come first, and behind them it is masked and zero.
    """

    values: Any
    filled: Any
    starts: range | NDArray[np.int64]
    look_back: int
    horizon: int
    num_targets: int
    num_known: int = 0
    overlap: int = 0
    codes: NDArray[np.float32] | None = None
    offsets: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        self.ahead = self.look_back - self.overlap

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def steps(self) -> int:
        return self.look_back + (self.horizon if self.num_known else 0)

    def at(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """(b) where the horizons of these windows begin."""
        rows = np.asarray(rows, dtype=np.int64)
        if isinstance(self.starts, range):
            return self.starts.start + self.starts.step * (rows % len(self.starts))
        return self.starts[rows]

    def missing(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(b) steps of the look-back that would lie before the recording."""
        if self.offsets is None:
            return np.zeros(len(starts), dtype=np.int64)
        firsts = starts - self.ahead
        last = firsts + self.look_back - 1
        begins = self.offsets[np.searchsorted(self.offsets, last, side="right") - 1]
        return np.maximum(begins - firsts, 0)

    def mask(self, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b t) real steps of the look-back."""
        return np.arange(self.steps) < self.look_back - self.missing(starts)[:, None]

    def x(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """(b t c) the look-back and, of what is known ahead, the horizon."""
        firsts, missing = starts - self.ahead, self.missing(starts)
        if missing.any():
            rows = firsts[:, None] + np.arange(self.steps)
            rows[:, : self.look_back] += missing[:, None]
            x = self.filled[np.minimum(rows, len(self.filled) - 1)]
            x[:, : self.look_back][~self.mask(starts)[:, : self.look_back]] = 0.0
        else:
            x = gather(self.filled, firsts, self.steps)
        if self.num_known:
            x[:, self.look_back :, : -self.num_known] = 0.0
        if self.codes is None or self.offsets is None or not self.codes.shape[1]:
            return x
        owners = np.searchsorted(self.offsets, starts, side="right") - 1
        codes = np.broadcast_to(self.codes[owners][:, None], (*x.shape[:2], self.codes.shape[1]))
        return np.concatenate([x, codes], axis=2)

    def y(self, starts: NDArray[np.int64]) -> NDArray[np.float32]:
        """(b h k) the targets of the horizon, NaN where missing."""
        if isinstance(self.values, np.ndarray):
            return gather(self.values[:, : self.num_targets], starts, self.horizon)
        return gather(self.values, starts, self.horizon)[..., : self.num_targets]

    def feeds(self, batch_size: int | str = "auto") -> Iterator[tuple[NDArray[np.int64], Feeds]]:
        """Batches as an engine takes them, and where their horizons begin."""
        for first in itertools.count(0, limit := self._limit(batch_size)):
            if first >= len(self):
                return
            starts = self.at(np.arange(first, min(first + limit, len(self))))
            x = np.ascontiguousarray(self.x(starts), dtype=np.float32)
            yield starts, {"x": x, "mask": self.mask(starts)}

    def _limit(self, batch_size: int | str) -> int:
        if isinstance(batch_size, int):
            return batch_size
        channels = self.filled.shape[1] + (0 if self.codes is None else self.codes.shape[1])
        return max(1, min(MAX_ITEMS, MAX_VALUES // (self.steps * max(channels, MIN_CHANNELS))))


def gather(values: Any, firsts: NDArray[np.int64], steps: int) -> NDArray[Any]:
    """(b t c) stretches of rows (n c)."""
    if isinstance(values, np.ndarray):
        view = np.lib.stride_tricks.sliding_window_view(values, steps, axis=0)
        return view[firsts].transpose(0, 2, 1)
    return values.gather(firsts, steps)


def sliding(
    spans: Sequence[Span], offsets: Sequence[int], ahead: int, horizon: int, stride: int = 1
) -> range | NDArray[np.int64]:
    """First steps of horizons, the last one flush with the end of its span.

    Args:
        spans: of each recording the rows that horizons lie in; look-backs may reach before them.
        ahead: steps from the beginning of a look-back to that of its horizon.
        horizon: steps.
        stride: steps from one window to the next.
    """
    parts = []
    for (first, end), offset in zip(spans, offsets, strict=True):
        first, last = max(first, offset + ahead), end - horizon
        starts = range(first, last + 1, stride)
        flush = [last] if starts and starts[-1] != last else []
        parts.append(starts if not flush else np.append(np.arange(first, last + 1, stride), flush))
    return parts[0] if len(parts) == 1 else np.concatenate(parts).astype(np.int64)
