"""Interfaces of the data: what is asked of splits, of tensors, and of what a source returns."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from seqfuse.nn.shapes import Batch
from seqfuse.runtime.labels import ItemLabels, Labels


class Tensors(Protocol):
    """One split, ready for a net."""

    index: Tensor
    """(n) rows in the split that the items came from."""

    def __len__(self) -> int: ...

    def __getitems__(self, indices: Sequence[int]) -> Batch: ...

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        """The order of an epoch's training items; new in each epoch."""
        ...


class Splits(Protocol):
    """Training, validation and test split: `Folds` of labelled items, `Windows` of a table."""

    unit: str
    """What there are several of: series, windows."""
    pipeline: Any
    """Fitted on training rows, with `state_dict` and `load_state_dict`: enough to predict."""
    fingerprints: dict[str, str]
    """SHA-256 of the splits that were read."""

    @property
    def origin(self) -> str:
        """Where the training split was read."""
        ...

    @property
    def has_validation(self) -> bool: ...

    @property
    def has_calibration(self) -> bool:
        """Whether there is a `calibration` split, for intervals and thresholds."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps of the longest training item."""
        ...

    def fit(self) -> None:
        """Reads the training split and fits the pipeline to its training rows."""

    def tensors(self, split: str) -> Any:
        """`train`, `val`, `calibration` or `test`, transformed by the fitted pipeline."""

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`: counted on the training rows."""
        ...

    def describe(self) -> str:
        """Sizes, for people."""
        ...


class Labelled(Protocol):
    """Items of one split, as read: what a source returns. `Series` is one."""

    x: Any
    """What the pipeline is fitted to."""
    y: Any
    """n labels, or n lists of labels, one per step."""
    groups: list[str] | None
    """n names; items of one name never stand on both sides of a validation split."""
    origin: str

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> Any:
        """The items at these rows."""

    def tensors(self, pipeline: Any, index: np.ndarray, labelled: bool = True) -> Any:
        """As a net takes them."""

    def fingerprint(self) -> str:
        """Of all that was read."""
        ...


class Pipeline(Protocol):
    """From what was read to what a net takes; `SeriesPipeline` is one."""

    classes: list[str]
    per_step: bool

    def fit(self, x: Any, labels: ItemLabels) -> Labels:
        """Learns from the training items."""
        ...

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
