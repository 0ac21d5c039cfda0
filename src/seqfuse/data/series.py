"""Series in memory: raw as a source reads them, and as tensors that a loader slices."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from seqfuse.data.labels import as_text, check_steps, texts_of
from seqfuse.data.loader import EpochShuffle
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.numbers import as_float32
from seqfuse.runtime.series import pad, value_name


class Series:
    """Labelled series of one split, as read: what a source returns.

    Args:
        x: (n t c) array, or a sequence of (t c) arrays of any lengths. NaN is a missing
            value; steps at the end of a series in which every channel is NaN are padding.
        y: n labels of any kind, or n sequences of one label per step; whole numbers and their
            text are the same label.
        groups: n group names; a group never stands on both sides of a validation split.
        origin: where it was read; error messages begin with it.
        first: number of the first series, in error messages.

    Raises:
        InputError: numbers of series, steps, labels and groups differ, or a series is empty.
    """

    def __init__(
        self,
        x: Sequence[ArrayLike] | np.ndarray,
        y: Sequence | np.ndarray,
        groups: Sequence | np.ndarray | None = None,
        origin: str = "the data",
        first: int = 0,
    ):
        self.origin = origin
        try:
            self.x: NDArray[np.float32] = _block(x, first)
        except InputError as error:
            raise InputError(f"{origin}: {error}") from None
        self.y = texts_of(y, origin)
        self.groups = None if groups is None else [str(group) for group in groups]
        for name, column in (("labels", self.y), ("groups", self.groups)):
            if column is not None and len(column) != len(self.x):
                raise InputError(f"{origin}: {len(self.x)} series but {len(column)} {name}")
        self.lengths = self._lengths(first)
        check_steps(self.y, self.lengths, origin)
        if np.isinf(self.x).any():
            row, step, channel = np.argwhere(np.isinf(self.x))[0]
            raise InputError(
                f"{origin}: row {first + row} has an infinite value at step {step}, "
                f"channel {channel}"
            )

    def _lengths(self, first: int) -> np.ndarray:
        real: NDArray[np.bool_] = np.asarray(~np.isnan(self.x).all(axis=2))
        empty = np.flatnonzero(~real.any(axis=1))
        if len(empty):
            raise InputError(
                f"{self.origin}: row {first + empty[0]} has no value at all: remove it"
            )
        return real.shape[1] - real[:, ::-1].argmax(axis=1)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Series":
        """The series at these rows."""
        groups = None if self.groups is None else [self.groups[i] for i in rows]
        return Series(self.x[rows], [self.y[i] for i in rows], groups, self.origin)

    def tensors(self, pipeline: Any, index: np.ndarray, labelled: bool = True) -> "SeriesTensors":
        """As a net takes them.

        Args:
            pipeline: a fitted `SeriesPipeline`.
            index: (n) rows in the split that the series came from.
            labelled: without it, there is nothing to be predicted in y.
        """
        y = pipeline.encode(self.y) if labelled else np.zeros(len(self), dtype=np.int64)
        return SeriesTensors(pipeline.transform(self.x), self.lengths, y, index)

    def fingerprint(self) -> str:
        """SHA-256 of values and labels, first 16 digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).tobytes())
        digest.update(as_text(self.y).encode())
        return digest.hexdigest()[:16]


class SeriesTensors(Dataset[Batch]):
    """Series ready for a net; a batch is one gather per tensor.

    Args:
        x: (n t ...) transformed values.
        lengths: (n) real steps.
        y: (n) class numbers, or (n t) of steps.
        index: (n) rows in the split that the series came from.
    """

    def __init__(self, x: np.ndarray, lengths: np.ndarray, y: np.ndarray, index: np.ndarray):
        self.lengths = torch.from_numpy(lengths)
        self.mask = torch.arange(x.shape[1]) < self.lengths.unsqueeze(1)
        self.x = torch.from_numpy(x).masked_fill_(~like(self.mask, x.ndim), 0)
        self.y = torch.from_numpy(y)
        self.index = torch.from_numpy(index)

    def __len__(self) -> int:
        return len(self.y)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        return EpochShuffle(len(self), seed)

    @property
    def num_steps(self) -> int:
        """Steps of the longest series."""
        return self.x.shape[1]

    def __getitem__(self, i: int) -> Batch:
        return Batch(self.x[i], self.mask[i], self.y[i], self.index[i])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch, cut to its longest series."""
        rows: Tensor = torch.as_tensor(indices)
        end = int(self.lengths[rows].max())
        x, mask = self.x[:, :end], self.mask[:, :end]
        y = self.y[:, :end] if self.y.ndim > 1 else self.y
        return Batch(x[rows], mask[rows], y[rows], self.index[rows])


def like(mask: Tensor, rank: int) -> Tensor:
    """The mask (n t) with further axes of size 1."""
    return mask.reshape(*mask.shape, *(1,) * (rank - 2))


def _block(x: Sequence[ArrayLike] | np.ndarray, first: int) -> NDArray[np.float32]:
    if isinstance(x, np.ndarray) and x.ndim == 3 and x.dtype.kind in "biuf":
        return as_float32(x, partial(value_name, first))
    return pad(list(x), first)[0]
