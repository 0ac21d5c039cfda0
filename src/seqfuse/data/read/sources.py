"""Several sources of one label: phone and watch, frames and key points, series and facts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from seqfuse.data.interfaces import Labelled
from seqfuse.data.labels import as_text, check_steps
from seqfuse.data.loader import EpochShuffle
from seqfuse.data.series import SeriesTensors
from seqfuse.nn.shapes import CLOCK, Batch
from seqfuse.runtime.errors import InputError


class Sources:
    """Items of one split that come from several sources, which share one clock.

    All sources of an item span the same time, each at its own rate; labels of steps belong to
    the clock, whatever source is missing.

    Args:
        parts: the items of each source, by name; their own labels are not looked at.
        y: n labels, or n lists with one label per step of the clock.
        clock: (n) steps of the clock.
        groups: n group names; a group never stands on both sides of a validation split.
        origin: where it was read; error messages begin with it.
        steps: what the user calls the steps of the clock, by column.
        unit: what there are several of.

    Raises:
        InputError: numbers of items, labels, groups or steps differ; names the source or row.
    """

    def __init__(
        self,
        parts: Mapping[str, Labelled],
        y: list[Any],
        clock: np.ndarray,
        groups: list[str] | None = None,
        origin: str = "the data",
        steps: Mapping[str, Sequence[Any]] | None = None,
        unit: str = "items",
    ):
        self.parts = dict(parts)
        self.y = y
        self.clock = clock
        self.groups = groups
        self.origin = origin
        self.steps: dict[str, list[Any]] = {k: list(v) for k, v in (steps or {}).items()}
        self.unit = unit
        counts = {name: len(part) for name, part in parts.items()}
        counts |= {"labels": len(y), "groups": len(y) if groups is None else len(groups)}
        for name, count in counts.items():
            if count != len(clock):
                raise InputError(f"{origin}: {len(clock)} {unit} but {count} of '{name}'")
        check_steps(y, clock, origin)

    @property
    def x(self) -> dict[str, Any]:
        """What the pipeline is fitted to, by source."""
        return {name: part.x for name, part in self.parts.items()}

    def __len__(self) -> int:
        return len(self.clock)

    def take(self, rows: np.ndarray) -> "Sources":
        """The items at these rows."""
        return Sources(
            {name: part.take(rows) for name, part in self.parts.items()},
            [self.y[i] for i in rows],
            self.clock[rows],
            None if self.groups is None else [self.groups[i] for i in rows],
            self.origin,
            {name: [column[i] for i in rows] for name, column in self.steps.items()},
            self.unit,
        )

    def tensors(self, pipeline: Any, index: np.ndarray, labelled: bool = True) -> "SourcesTensors":
        """As a net takes them.

        Args:
            pipeline: a fitted `SourcesPipeline`.
            index: (n) rows in the split that the items came from.
            labelled: without it, there is nothing to be predicted in y.

        Raises:
            InputError: a source that was not trained on, or that does not fit.
        """
        y = pipeline.encode(self.y) if labelled else np.zeros(len(self), dtype=np.int64)
        steps = np.zeros((len(self), int(self.clock.max(initial=0)), 0), dtype=np.float32)
        found = {}
        for name, part in self.parts.items():
            if name not in pipeline.parts:
                known = ", ".join(pipeline.parts)
                raise InputError(f"{self.origin}: '{name}' was not trained on (known: {known})")
            try:
                found[name] = part.tensors(pipeline.parts[name], index, labelled=False)
            except InputError as error:
                raise InputError(f"'{name}': {error}") from None
        return SourcesTensors(SeriesTensors(steps, self.clock, y, index), found)

    def fingerprint(self) -> str:
        """SHA-256 of all sources, the clock and the labels, first 16 digits."""
        digest = hashlib.sha256(as_text(self.y).encode() + self.clock.tobytes())
        for part in self.parts.values():
            digest.update(part.fingerprint().encode())
        return digest.hexdigest()[:16]


class SourcesTensors(Dataset[Batch]):
    """Items ready for a net: x and mask by source, after the clock, which has no channel.

    Args:
        clock: the steps that labels belong to, and the labels.
        parts: tensors of each source that is there.
    """

    def __init__(self, clock: SeriesTensors, parts: Mapping[str, Any]):
        self.clock = clock
        self.parts = dict(parts)
        self.y, self.index = clock.y, clock.index

    def __len__(self) -> int:
        return len(self.clock)

    def shuffled(self, seed: int, batch_size: int) -> Sampler[int]:
        return EpochShuffle(len(self), seed)

    @property
    def num_steps(self) -> int:
        """Steps of the longest item, by the clock."""
        return self.clock.num_steps

    def __getitem__(self, i: int) -> Batch:
        return self._join(self.clock[i], {name: part[i] for name, part in self.parts.items()})

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch, each source cut to its longest series."""
        parts = {name: part.__getitems__(indices) for name, part in self.parts.items()}
        return self._join(self.clock.__getitems__(indices), parts)

    @staticmethod
    def _join(clock: Batch, parts: Mapping[str, Batch]) -> Batch:
        every = {CLOCK: clock, **parts}
        x: dict[str, torch.Tensor] = {name: one.x for name, one in every.items()}
        return clock._replace(x=x, mask={name: one.mask for name, one in every.items()})
