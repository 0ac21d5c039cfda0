"""Several sources to what a net takes: each by a pipeline of its own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import Labelled
from seqfuse.runtime.recordings import Recordings

CLOCK = "clock"


def clocked(
    lengths: NDArray[np.int64], sources: Mapping[str, Recordings], **metadata: Any
) -> Recordings:
    """Items of several sources over one clock, of so many steps each."""
    values = np.zeros((int(lengths.sum()), 0), dtype=np.float32)
    metadata = {"unit": "items", **metadata}
    return Recordings(values, np.cumsum([0, *lengths]), sources=sources, **metadata)


class SourcesPipeline(Labelled):
    """The pipelines of sources, by name, and the class numbers of their common label.

    Args:
        default: makes the pipeline of a source that has none in `pipelines`.
        pipelines: of sources of another kind.
    """

    def __init__(
        self, default: Callable[[], Any], pipelines: Mapping[str, Callable[[], Any]] | None = None
    ):
        super().__init__()
        self.default = default
        self.given = dict(pipelines or {})
        self.parts: dict[str, Any] = {}

    def fit(self, items: Recordings) -> "SourcesPipeline":
        self.fit_labels(items)
        for name, part in items.sources.items():
            self.parts[name] = self._new(name)
            try:
                self.parts[name].fit(part)
            except InputError as error:
                raise InputError(f"{name}: {error}") from None
        return self

    def items(self, x: Any) -> Recordings:
        """Sources in memory, by name; `clock` has the steps of a first one that is missing."""
        listed = ", ".join(self.parts)
        if not isinstance(x, Mapping) or not set(x) - {CLOCK}:
            raise InputError(f"x must name sources: {{{listed}}}")
        for name in x:
            if name not in (*self.parts, CLOCK):
                raise InputError(f"'{name}' was not trained on (known: {listed})")
        parts = {name: self._part(name, x[name]) for name in self.parts if name in x}
        count = len(next(iter(parts.values())))
        for name, part in parts.items():
            if len(part) != count:
                raise InputError(f"'{name}' has {len(part)} items, the first source {count}")
        return clocked(self._clock(x, parts, count), parts, origin="x")

    def _part(self, name: str, x: Any) -> Recordings:
        pipeline = self.parts[name]
        try:
            return pipeline.items(x)
        except InputError as error:
            raise InputError(f"'{name}': {str(error).removeprefix('x: ')}") from None

    def _clock(
        self, x: Mapping[str, Any], parts: Mapping[str, Recordings], count: int
    ) -> NDArray[np.int64]:
        """Steps of each item: those of the first source, whose rate is that of the answers."""
        first = next(iter(self.parts))
        if first in parts:
            return parts[first].lengths
        if CLOCK not in x:
            raise InputError(
                f"'{first}', whose steps are the clock of the others, is missing: add '{CLOCK}', "
                "the steps that it would have, one number for each item"
            )
        steps = np.asarray(x[CLOCK])
        if steps.shape != (count,) or steps.dtype.kind not in "iu" or steps.min() < 1:
            raise InputError(f"'{CLOCK}' must be {count} whole numbers of at least 1")
        return steps.astype(np.int64)

    def transform(self, items: Recordings) -> Recordings:
        parts = {}
        for name, part in items.sources.items():
            if name not in self.parts:
                raise InputError(f"'{name}' was not trained on (known: {', '.join(self.parts)})")
            try:
                parts[name] = self.parts[name].transform(part)
            except InputError as error:
                raise InputError(f"'{name}': {error}") from None
        return replace(items, sources=parts)

    def _new(self, name: str) -> Any:
        return self.given.get(name, self.default)()

    def sizes(self) -> dict[str, Any]:
        each = {name: part.sizes()["channels"] for name, part in self.parts.items()}
        sizes = {"sources": list(each), "source_channels": each, "channels": sum(each.values())}
        return {**sizes, **self.labels.sizes()}

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        return {"sources": parts, "labels": self.labels.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.parts = {name: self._new(name) for name in state["sources"]}
        for name, part in self.parts.items():
            part.load_state_dict(state["sources"][name])
        self.load_labels(state)
