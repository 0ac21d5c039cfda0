"""Recordings: everything that any source reads, end to end in one array."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.clock import Clock

COLUMNS = ("names", "labels", "groups", "lines", "weights")


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
    """(r) a label for each recording: a text, a tuple of numbers or of several texts; or a list
    of a text for each of its steps."""
    targets: Sequence[str] = ()
    """Names of the numbers of a label."""
    groups: Sequence[str] | None = None
    """(r) persons, recordings or other groups that never stand on both sides of a split."""
    weights: Sequence[float] | None = None
    """(r) how much each counts in training, 1 on average; without them, all alike."""
    steps: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """By column, (n) what the user calls each step: tokens, time stamps."""
    lines: Sequence[Any] | None = None
    """(r) the line of the file at which each begins, or a list of one for each of its steps."""
    origin: str = "the data"
    """Begins an error message."""
    unit: str = "series"
    """Plural name of the items, such as series, texts or clips."""
    read_as: str = ""
    """How an array was read, where its channels are not those of training."""
    tabular: Mapping[str, Any] | None = None
    """Fields of the `Tabular` that says how a table holds them."""
    clock: Clock | None = None
    """Of the rows of a table, or of that which windows were cut from; None: rows are the clock."""
    sources: Mapping[str, "Recordings"] = field(default_factory=dict)
    """By name, the same r items of several sources, each at a rate of its own. The recordings
    themselves are then the clock, whose steps labels belong to, and have no channel."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in COLUMNS} | dict(self.sources)
        for name, column in counts.items():
            if column is not None and len(column) != len(self):
                which = f"of '{name}'" if name in self.sources else name
                raise InputError(
                    f"{self.origin}: {len(self)} {self.unit} but {len(column)} {which}"
                )
        if self.per_step:
            for row, (labels, steps) in enumerate(zip(self.labels, self.lengths, strict=True)):  # type: ignore[arg-type]
                if len(labels) != steps:
                    raise InputError(
                        f"{self.origin}: row {row} has {steps} steps but {len(labels)} labels"
                    )

    @classmethod
    def of(cls, items: Sequence[Any], **metadata: Any) -> "Recordings":
        """Recordings of separate items (t ...), at least one."""
        lengths = [len(item) for item in items]
        return cls(np.concatenate(items), np.cumsum([0, *lengths]), **metadata)

    @classmethod
    def joined(cls, parts: "Sequence[Recordings]") -> "Recordings":
        """All recordings of several, at least one, that have the same columns."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]

        def all_of(name: str) -> list[Any] | None:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else [value for column in columns for value in column]

        return replace(
            first,
            values=np.concatenate([part.values for part in parts]),
            offsets=np.cumsum([0, *np.concatenate([part.lengths for part in parts])]),
            **{name: all_of(name) for name in COLUMNS},
            steps={key: np.concatenate([part.steps[key] for part in parts]) for key in first.steps},
            sources={
                name: cls.joined([part.sources[name] for part in parts]) for name in first.sources
            },
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @property
    def per_step(self) -> bool:
        return bool(self.labels) and isinstance(self.labels[0], list)  # type: ignore[index]

    def __iter__(self) -> Iterator[Any]:
        """The values (t ...) of one recording after the other."""
        for first, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[first:end]

    def item(self, row: int) -> Any:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Recordings":
        """The recordings at these rows, in this order."""
        stretches = [np.arange(self.offsets[row], self.offsets[row + 1]) for row in rows]
        steps = np.concatenate([np.zeros(0, dtype=np.int64), *stretches])
        lengths = [len(stretch) for stretch in stretches]
        columns = {name: getattr(self, name) for name in COLUMNS}
        return self._with_steps(
            steps,
            lengths,
            sources={name: part.take(rows) for name, part in self.sources.items()},
            **{k: c if c is None else [c[row] for row in rows] for k, c in columns.items()},
        )

    def head(self, steps: int) -> "Recordings":
        """The first steps of each recording, at most so many."""
        lengths = np.minimum(self.lengths, steps)
        kept = np.concatenate([
            np.arange(first, first + n) for first, n in zip(self.offsets, lengths, strict=False)
        ])  # fmt: skip
        labels, lines = self.labels, self.lines
        if self.per_step:
            labels = [item[:steps] for item in labels]  # type: ignore[union-attr]
            lines = lines and [item[:steps] for item in lines]
        return self._with_steps(kept, lengths, labels=labels, lines=lines)

    def _with_steps(
        self, steps: NDArray[np.int64], lengths: Sequence[int] | NDArray[np.int64], **more: Any
    ) -> "Recordings":
        return replace(
            self,
            values=self.values[steps],
            offsets=np.cumsum([0, *lengths]),
            steps={name: np.asarray(column)[steps] for name, column in self.steps.items()},
            **more,
        )

    def padded(self, fill: float = 0) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (r t ...), and which steps are real (r t), as long as the longest; 1 at least."""
        steps = max(int(self.lengths.max(initial=0)), 1)
        mask = np.arange(steps) < self.lengths[:, None]
        if mask.all():
            return self.values.reshape(len(self), steps, *self.values.shape[1:]), mask
        padded = np.full((*mask.shape, *self.values.shape[1:]), fill, dtype=self.values.dtype)
        padded[mask] = self.values  # row after row, as they lie
        return padded, mask

    def fingerprint(self) -> str:
        """SHA-256 of values, lengths and labels, first 16 digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.offsets).tobytes())
        if self.values.dtype == object:
            digest.update("\n".join(self.values).encode())
        else:
            digest.update(np.ascontiguousarray(self.values).data)
        for item in self.labels or ():
            text = item if isinstance(item, str) else "\t".join(map(str, item))
            digest.update(text.encode() + b"\n")
        for part in self.sources.values():
            digest.update(part.fingerprint().encode())
        return digest.hexdigest()[:16]
