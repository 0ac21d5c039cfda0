"""Recordings: everything that any source reads, end to end in one array."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError


@dataclass(frozen=True)
class Recordings:
    """r recordings of (t ...) values, one behind the other.

    An item of classification, a sentence, a clip, a series of a table and a monitored recording
    are all recordings; `Windows` says which stretches of them a net sees.
    """

    values: Any
    """(n ...) floats, frames (n c h w), or words: an array, a memory map or rows of a Parquet
    file, whatever `[rows]` reads."""
    offsets: NDArray[np.int64]
    """(r + 1) the step at which each recording begins, and the end of the last."""
    columns: Sequence[str] = ()
    """Names of the channels."""
    names: Sequence[Any] | None = None
    """(r) the user's own ids."""
    labels: Sequence[Any] | None = None
    """(r) a label for each recording, or a list of one for each of its steps."""
    groups: Sequence[str] | None = None
    """(r) persons, recordings or other groups that never stand on both sides of a split."""
    steps: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By column, (n) what the user calls each step: tokens, time stamps."""
    lines: Sequence[Any] | None = None
    """(r) the line of the file at which each begins, or a list of one for each of its steps."""
    origin: str = "the data"
    """Begins an error message."""

    def __post_init__(self) -> None:
        for name in ("names", "labels", "groups", "lines"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise InputError(f"{self.origin}: {len(self)} items but {len(column)} {name}")

    @classmethod
    def of(cls, items: Sequence[Any], **metadata: Any) -> "Recordings":
        """Recordings of separate items (t ...), at least one."""
        lengths = [len(item) for item in items]
        return cls(np.concatenate(items), np.cumsum([0, *lengths]), **metadata)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(r) steps of each recording."""
        return np.diff(self.offsets)

    def __iter__(self) -> Iterator[Any]:
        """The values (t ...) of one recording after the other."""
        for first, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[first:end]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Recordings":
        """The recordings at these rows, in this order."""
        stretches = [np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows]
        steps = np.concatenate([np.zeros(0, dtype=np.int64), *stretches])

        def chosen(column: Sequence[Any] | None) -> list[Any] | None:
            return None if column is None else [column[row] for row in rows]

        return replace(
            self,
            values=self.values[steps],
            offsets=np.cumsum([0, *map(len, stretches)]),
            names=chosen(self.names),
            labels=chosen(self.labels),
            groups=chosen(self.groups),
            steps={name: [column[i] for i in steps] for name, column in self.steps.items()},
            lines=chosen(self.lines),
        )
