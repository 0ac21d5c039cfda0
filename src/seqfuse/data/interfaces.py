"""Interfaces of the data: what is asked of splits, and of tensors."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor
from torch.utils.data import Sampler

from seqfuse.nn.shapes import Batch

LARGEST_BATCH = 64
"""Items in a batch, at most, that is left to `auto`, where splits have no reason for others."""


class Tensors(Protocol):
    """One split, ready for a net."""

    index: Tensor
    """(n) rows in the split that the items came from."""
    per_step: bool
    """Whether steps have targets of their own."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Batch: ...

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        """The order of an epoch's training items; new in each epoch."""
        ...


class Splits(Protocol):
    """Training, validation and test split: `Folds` of labelled items, `Windows` of a table."""

    unit: str
    """Plural name of the items, such as series or windows."""
    largest_batch: int
    """Items in a batch, at most, that is left to `auto`; read behind `fit`."""
    pipeline: Any
    """Fitted on training rows, with `state_dict` and `load_state_dict`: enough to predict."""
    fingerprints: dict[str, str]
    """SHA-256 of the splits that were read."""

    @property
    def origin(self) -> str:
        """Origin of the training split, such as its path."""
        ...

    @property
    def has_validation(self) -> bool: ...

    @property
    def has_calibration(self) -> bool:
        """Whether there is a `calibration` split, for intervals and thresholds."""
        ...

    @property
    def calibrates_apart(self) -> bool:
        """Whether it shares no item with `val`, by which checkpoints are chosen."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps of the longest training item."""
        ...

    @property
    def num_test(self) -> int | None:
        """Items of the test split, where that is known before it is opened."""
        ...

    def metadata(self) -> dict[str, Any]:
        """Metadata to predict from other files, as plain data."""
        ...

    def rows(self, split: str) -> tuple[Any, ...]:
        """Data of a split, as the runtime's job takes them in `known`."""
        ...

    def fit(self) -> None:
        """Reads the training split and fits the pipeline to its training rows."""

    def tensors(self, split: str) -> Any:
        """`train`, `val`, `calibration` or `test`, transformed by the fitted pipeline."""

    def sizes(self) -> dict[str, Any]:
        """Sizes that a config may leave at `auto`, counted on the training rows."""
        ...

    def describe(self) -> str:
        """Sizes, for people."""
        ...

    def notes(self) -> Iterator[str]:
        """Notes on how the data were read and split, for people."""
        ...
