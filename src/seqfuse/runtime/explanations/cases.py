"""Cases: a batch of items with all that an explanation of their predictions needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime import gaps
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.engine import Feeds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.scores import Score
from seqfuse.runtime.recordings import Recordings

BATCH = 8
"""Items of a batch to explain, if that is left to `auto`."""


class Wanted(NamedTuple):
    """Target and step of an explanation; None leaves them to the job."""

    target: str | None = None
    """A class, a label, or a target of forecasts or of numbers."""
    step: int | None = None
    """A step of a horizon or of an item with a class for each, from 1; None: their mean."""

    def check_whole(self, job: str) -> None:
        """Raises InputError where a step is named, but predictions have none."""
        if self.step is not None:
            raise InputError(f"step={self.step} is not for {job}: leave it out")


class Input(NamedTuple):
    """Values that a net is fed, and what stands for none of them."""

    source: str
    """Empty where there is one source."""
    feed: str
    """Name among the feeds."""
    baseline: NDArray[Any]
    """(b t ...) what takes the place of values; equal to them at masked steps."""
    groups: NDArray[np.int64]
    """(...) the channel, counted from 0, that each number of a step belongs to."""
    channels: Sequence[str]
    """(g) names of channels; of a text the one is nameless."""
    present: NDArray[np.bool_]
    """(b t g) values there are; masked steps have none."""

    def pooled(self, numbers: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
        """(n t g) sums over each channel, of numbers (n t ...) that belong to values."""
        if numbers.ndim == 2:  # of steps as a whole
            return numbers[..., None].astype(np.float64)
        flat = numbers.reshape(*numbers.shape[:2], -1)
        groups = self.groups.ravel()
        sums = [flat[..., groups == g].sum(axis=-1) for g in range(len(self.channels))]
        return np.stack(sums, axis=-1).astype(np.float64)

    def without(
        self, values: NDArray[Any], rows: NDArray[np.int64], hidden: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """(n t ...) values of these items, at the baseline where channels (n t g) are hidden."""
        return np.where(hidden[..., self.groups], self.baseline[rows], values)


class GappedInput(Input):
    """Columns with gaps that are interpolated and, behind them, which values are seen.

    A value that is hidden is one more gap. What an interpolated value contributes is due to those
    that it was made of.
    """

    def pooled(self, numbers: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
        columns = len(self.channels)
        of_values, of_flags = numbers[..., :columns], numbers[..., columns:]
        is_seen = values[..., columns:] > 0
        return gaps.shared(of_values, values[..., :columns], is_seen) + of_flags

    def without(
        self, values: NDArray[Any], rows: NDArray[np.int64], hidden: NDArray[np.bool_]
    ) -> NDArray[Any]:
        columns = len(self.channels)
        is_seen = (values[..., columns:] > 0) & ~hidden
        return gaps.seen(np.where(is_seen, values[..., :columns], np.nan))


class Case(NamedTuple):
    """A batch to explain."""

    feeds: Feeds
    inputs: Sequence[Input]
    prediction: NDArray[Any]
    weights: NDArray[Any]
    """(b q u) attention."""
    queries: NDArray[np.float64]
    """(b q) how much the attention of each query counts; sums to 1."""
    stride: int
    """Steps behind each weight of attention."""
    score: Score
    columns: Mapping[str, Sequence[Any]]
    """(b) names of the items, such as `id`."""
    steps: Sequence[Mapping[str, Sequence[Any]]]
    """(b) for each item what the user calls the steps of its first input, such as words."""

    @property
    def size(self) -> int:
        return len(self.prediction)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(b t) real steps; of several sources those of the clock."""
        return next(mask for name, mask in self.feeds.items() if name.endswith("mask"))

    @property
    def width(self) -> int:
        """Numbers of an item, of all inputs."""
        return sum(int(np.prod(each.baseline.shape[1:])) for each in self.inputs)


def explained_at_once(batch_size: int | str) -> int:
    """Items of a batch to explain: 8 if it is left to `auto`, as each is predicted many times."""
    return batch_size if isinstance(batch_size, int) else BATCH


def inputs_of(pipeline: Any, raw: Recordings, items: Recordings, feeds: Feeds) -> list[Input]:
    """The inputs of a batch of labelled items: as they were read, as the net takes them, and as an
    engine takes them."""
    if not items.sources:
        return [_input("", pipeline, raw, items, feeds)]
    return [
        _input(name, pipeline.parts[name], raw.sources[name], part, feeds)
        for name, part in items.sources.items()
    ]


def _input(source: str, pipeline: Any, raw: Recordings, items: Recordings, feeds: Feeds) -> Input:
    groups, channels = pipeline.groups(raw)
    feed, mask = input_name(source, "x"), feeds[input_name(source, "mask")]
    baseline, _ = replace(items, values=pipeline.baseline(raw)).padded()
    present = np.repeat(mask[:, :, None], len(channels), axis=2)
    return Input(source, feed, baseline.astype(feeds[feed].dtype), groups, channels, present)
