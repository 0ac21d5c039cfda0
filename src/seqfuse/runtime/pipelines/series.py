"""From raw series and labels to what a net takes, and back: fitted once, then fixed."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.pipelines.labels import Labelled, labels_of
from seqfuse.runtime.pipelines.scaling import Standardisation
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.numbers import as_float32
from seqfuse.runtime.read.table.cells import LISTED
from seqfuse.runtime.recordings import Recordings

SCALINGS = ("channel", "series", "none")
FILLS = ("mean", "indicator")


def series(
    x: Sequence[ArrayLike] | NDArray[Any],
    labels: Sequence[Any] | NDArray[Any] | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    names: Sequence[Any] | None = None,
    origin: str = "the data",
    first: int = 0,
    label_type: str = "classes",
    **metadata: Any,
) -> Recordings:
    """Series of numbers, checked.

    Args:
        x: (n t c) array, or a sequence of (t c), or of (t) for one channel, of any lengths. NaN is
            a missing value; steps at the end in which every channel is NaN are padding.
        labels: as `labels_of` takes them; whole numbers and their text are the same class.
        groups: n names; a group never stands on both sides of a validation split.
        names: n ids of the user's own.
        origin: begins an error message.
        first: number of the first series, in error messages.
        label_type: `classes`, `numbers` or `several` labels.
    """
    try:
        values, lengths = _end_to_end(x, first)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None
    starts = np.cumsum(lengths) - lengths
    real = ~np.isnan(values).all(axis=1)
    last = np.maximum.reduceat(np.where(real, np.arange(len(values)), -1), starts)
    for row in np.flatnonzero(last < starts)[:1]:
        raise InputError(f"{origin}: row {first + row} has no value at all: remove it")
    for i, channel in np.argwhere(np.isinf(values))[:1]:
        row = int(np.searchsorted(starts, i, side="right")) - 1
        raise InputError(
            f"{origin}: row {first + row} has an infinite value at step {i - starts[row]}, "
            f"channel {channel}"
        )
    if labels is not None:
        labels = labels_of(labels, origin, label_type, metadata.get("lines"))
    kept = last - starts + 1
    if (kept < lengths).any():
        for column in (labels, metadata.get("lines")):
            if column is not None and isinstance(column[0], list):  # one for each step
                column[:] = [each[:end] for each, end in zip(column, kept, strict=True)]
        values = values[np.arange(len(values)) <= np.repeat(last, lengths)]
    return Recordings(
        values,
        np.cumsum([0, *kept]),
        names=names,
        labels=labels,
        groups=None if groups is None else [str(group) for group in groups],
        origin=origin,
        **metadata,
    )


def _end_to_end(
    x: Sequence[ArrayLike] | NDArray[Any], first: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values (n c) of all series, and the length of each."""
    if isinstance(x, np.ndarray) and x.ndim == 3 and x.dtype.kind in "biuf":
        array = as_float32(x, partial(_place, first))
        lengths, rows = (
            np.full(len(array), array.shape[1]),
            [array.reshape(array.shape[0] * array.shape[1], array.shape[2])],
        )
    elif isinstance(x, np.ndarray) and x.dtype.kind not in "biufO":
        raise InputError(f"x holds {x.dtype}, expected numbers (series, time, channels)")
    else:
        rows = [_two_axes(i, item) for i, item in enumerate(x, first)]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
    if not len(lengths):
        raise InputError("there is no series to read")
    for i, row in enumerate(rows, first):
        if row.shape[1] != rows[0].shape[1]:
            raise InputError(
                f"series {i} has {row.shape[1]} channels, series 0 has {rows[0].shape[1]}"
            )
    for i in np.flatnonzero(lengths == 0)[:1]:
        raise InputError(f"series {first + i} has no time step: remove it")
    return np.concatenate(rows) if len(rows) > 1 else rows[0], lengths


def _two_axes(i: int, item: ArrayLike) -> NDArray[np.float32]:
    try:
        row = as_float32(item, lambda index: _place(i, (0, *index)))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"series {i} is not numeric: {error}") from None
    if row.ndim == 1:
        row = row[:, None]
    if row.ndim != 2:
        raise InputError(f"series {i} has shape {row.shape}, expected (time, channels)")
    return row


def _place(first: int, index: tuple[int, ...]) -> str:
    """Names a value of (n t c), whose series are counted from `first`."""
    series, *rest = index
    return f"series {first + series}, " + ", ".join(map("{} {}".format, ("step", "channel"), rest))


def check_several(x: Any) -> None:
    """Raises InputError where x is no sequence of items."""
    if isinstance(x, (str, bytes)):
        raise InputError("x is one text, expected several: put it into a list: [text]")
    try:
        count = len(x)
    except TypeError:
        wanted = "an array or a list of items"
        raise InputError(f"x is {type(x).__name__}, expected {wanted}") from None
    if not count:
        raise InputError("there is nothing to predict: x is empty")


class SeriesPipeline(Labelled):
    """Scaling, missing values and class numbers of labelled series.

    Args:
        scaling: `channel` (standardised over the training split), `series` (within each series)
            or `none`.
        missing: `mean` (a missing value becomes the mean, which is 0 after scaling)
            or `indicator` (the same, and each channel gets a second one beside it:
            1 where observed, 0 where missing).
    """

    def __init__(self, scaling: str = "channel", missing: str = "mean"):
        check_option(SCALINGS, scaling=scaling)
        check_option(FILLS, missing=missing)
        super().__init__()
        self.scaling = scaling
        self.missing = missing
        self.standardisation = Standardisation.none(0)
        self.has_time = True
        """Whether an item had more than one step in training."""
        self.clock: Clock | None = None
        """Clock of the table that windows were cut from."""
        self.tabular: dict[str, Any] | None = None
        """How a table holds series."""

    def fit(self, items: Recordings) -> "SeriesPipeline":
        x = items.values
        for channel in np.flatnonzero(np.isnan(x).all(axis=0))[:1]:
            raise InputError(f"channel {channel} holds only missing values: remove it")
        self.standardisation = Standardisation.of(x)
        self.has_time = bool(items.lengths.max() > 1)
        self.clock = items.clock
        self.tabular = None if items.tabular is None else dict(items.tabular)
        self.fit_labels(items)
        return self

    def items(self, x: Any) -> Recordings:
        """Series given in memory; of a source without time in training, (items, columns) too."""
        check_several(x)
        if isinstance(x, np.ndarray) and x.ndim == 2:
            if self.has_time and self.in_channels > 1:
                raise InputError(
                    f"x has shape {x.shape}, expected (items, time, channels); what does not "
                    "change is (items, 1, columns)"
                )
            x = x if self.has_time else x[:, None]
        return series(x, origin="x")

    @property
    def in_channels(self) -> int:
        return len(self.standardisation.mean)

    @property
    def out_channels(self) -> int:
        return self.in_channels * (2 if self.missing == "indicator" else 1)

    def sizes(self) -> dict[str, Any]:
        return {"channels": self.out_channels, **self.labels.sizes()}

    def transform(self, items: Recordings) -> Recordings:
        x = items.values
        if x.shape[1] != self.in_channels:
            hint = ""
            if items.read_as and (items.lengths == self.in_channels).all():
                hint = "; if the last two axes are the other way round, give x.transpose(0, 2, 1)"
            raise InputError(
                f"{items.read_as}the series have {x.shape[1]} channels, the training data "
                f"{self.in_channels}{hint}"
            )
        known = (self.tabular or {}).get("channels")
        if known and items.columns and [*items.columns] != [*known]:
            raise InputError(
                f"the columns of the channels are {', '.join(items.columns[:LISTED])}, those of "
                f"the training data {', '.join(known[:LISTED])}: give them these names and order"
            )
        filled = np.nan_to_num(self._scale(items), nan=0.0).astype(np.float32)
        if self.missing == "indicator":
            filled = np.concatenate([filled, ~np.isnan(x)], axis=-1, dtype=np.float32)
        return replace(items, values=filled)

    def baseline(self, items: Recordings) -> NDArray[Any]:
        """Values of series in which all is missing: the training mean, seen nowhere."""
        return self.transform(replace(items, values=np.full_like(items.values, np.nan))).values

    def groups(self, items: Recordings) -> tuple[NDArray[np.int64], list[str]]:
        numbers = np.arange(self.in_channels)
        named = len(items.columns) == self.in_channels
        names = list(items.columns) if named else [str(i) for i in numbers]
        return np.tile(numbers, self.out_channels // self.in_channels), names

    def _scale(self, items: Recordings) -> NDArray[Any]:
        if self.scaling == "channel":
            return self.standardisation.apply(items.values)
        if self.scaling == "none":
            return np.where(np.isnan(items.values), self.standardisation.mean, items.values)
        return np.concatenate([Standardisation.of(item).apply(item) for item in items])

    def state_dict(self) -> dict[str, Any]:
        return {
            "scaling": self.scaling,
            "missing": self.missing,
            "standardisation": self.standardisation.state_dict(),
            **({} if self.has_time else {"has_time": False}),
            **({} if self.clock is None else {"clock": list(self.clock)}),
            **({} if self.tabular is None else {"tabular": self.tabular}),
            "labels": self.labels.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaling, self.missing = state["scaling"], state["missing"]
        self.standardisation = Standardisation.from_state(state["standardisation"])
        self.has_time = bool(state.get("has_time", True))
        self.clock = Clock.of_state(state.get("clock"))
        self.tabular = state.get("tabular")
        self.load_labels(state)
