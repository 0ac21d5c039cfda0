"""What `Folds` takes: labelled items as a source reads them, and what makes tensors of them."""

from typing import Any, Protocol

import numpy as np

from seqfuse.runtime.labels import ItemLabels, Labels


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
