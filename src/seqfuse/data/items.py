"""Labelled items: where they come from, and what a loader slices of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from seqfuse.data.loader import EpochShuffle, LengthShuffle
from seqfuse.nn.shapes import CLOCK, Batch
from seqfuse.runtime.recordings import Recordings


class Source:
    """A data set: called with `train`, `test` and perhaps `val`, it returns that split.

    A function that takes a split is one, too, without a validation split of its own.
    """

    has_validation = False
    """Whether there is a split `val`."""
    num_test: int | None = None
    """Items held out for the test, where that is known before the test split is opened."""

    def __call__(self, split: str) -> Recordings:
        raise NotImplementedError

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        """Kind and options of files to predict, as plain data (see `runtime.read.labelled`)."""
        return {"kind": "series"}

    def notes(self, items: Recordings) -> Iterator[str]:
        """Notes on how the training split was read, for people."""
        yield from ()


class Function(Source):
    """A data set of the user's own that is a mere callable."""

    def __init__(self, read: Callable[..., Recordings]):
        self.read = read

    def __call__(self, split: str) -> Recordings:
        return self.read(split)


class Items(Dataset[Batch]):
    """Items of one split, as a net takes them; a batch is one gather for each source.

    Args:
        items: transformed by a fitted pipeline.
        y: (n) class numbers, or (n t) of steps; (n k) numbers, or several labels.
        index: (n) rows in the split that the items came from.
        by_length: whether training batches are of items about as long as each other.
    """

    def __init__(
        self,
        items: Recordings,
        y: NDArray[Any],
        index: NDArray[np.int64],
        by_length: bool = False,
    ):
        self.steps = Steps(items)
        self.per_step = items.per_step
        self.sources = {name: Steps(part) for name, part in items.sources.items()}
        self.lengths = self.steps.lengths
        self.num_steps = int(self.lengths.max())
        """Steps of the longest item."""
        self.weight = None if items.weights is None else torch.tensor(items.weights)
        self.y, self.index, self.by_length = torch.from_numpy(y), torch.from_numpy(index), by_length

    def __len__(self) -> int:
        return len(self.index)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        if self.by_length:
            return LengthShuffle(self.lengths, seed, batch_size)
        return EpochShuffle(len(self), seed)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch, each source cut to its longest item."""
        rows = torch.as_tensor(indices)
        x, mask = self.steps(rows)
        y = self.y[:, : mask.shape[1]] if self.per_step else self.y
        weight = None if self.weight is None else self.weight[rows]
        if not self.sources:
            return Batch(x, mask, y[rows], self.index[rows], weight)
        parts = {CLOCK: (x, mask)} | {name: part(rows) for name, part in self.sources.items()}
        values, masks = ({name: part[i] for name, part in parts.items()} for i in range(2))
        return Batch(values, masks, y[rows], self.index[rows], weight)


class Steps:
    """The steps of recordings, end to end, of which padded batches are gathered."""

    def __init__(self, items: Recordings):
        self.values = torch.from_numpy(items.values)
        self.starts = torch.from_numpy(items.offsets[:-1].copy())
        self.lengths = torch.from_numpy(items.lengths)
        even = bool((self.lengths == self.lengths[0]).all())
        shape = (len(items), int(self.lengths[0]), *self.values.shape[1:])
        self.stacked = self.values.view(shape) if even else None

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(b t ...) zero behind the last step of each, and which steps are real (b t)."""
        if self.stacked is not None:
            x = self.stacked[rows]
            return x, torch.ones(x.shape[:2], dtype=torch.bool)
        lengths = self.lengths[rows]
        step = torch.arange(int(lengths.max()))
        mask = step < lengths.unsqueeze(1)
        x = self.values[(self.starts[rows].unsqueeze(1) + step).clamp_(max=len(self.values) - 1)]
        return x.masked_fill_(~mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), 0), mask
