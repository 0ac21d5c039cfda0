"""From raw series and labels to what a net takes, and back: fitted once, then fixed."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import ItemLabels, Labels
from seqfuse.runtime.numbers import as_float32

SCALINGS = ("channel", "series", "none")
FILLS = ("mean", "indicator")


def pad(
    series: Sequence[ArrayLike], first: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Stacks series of (t c), or (t) for one channel, into (n t c) padded with NaN.

    Returns:
        the values and the length of each series.

    Raises:
        InputError: a series is empty, not numeric, or has other channels than the first.
    """
    rows = [_two_axes(i, one) for i, one in enumerate(series, first)]
    if not rows:
        raise InputError("there is no series to read")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    channels = rows[0].shape[1]
    values = np.full((len(rows), lengths.max(), channels), np.nan, dtype=np.float32)
    for i, row in enumerate(rows):
        if row.shape[1] != channels:
            raise InputError(f"series {i} has {row.shape[1]} channels, series 0 has {channels}")
        if not len(row):
            raise InputError(f"series {i} has no time step: remove it")
        values[i, : len(row)] = row
    return values, lengths


def _two_axes(i: int, one: ArrayLike) -> NDArray[np.float32]:
    try:
        row = as_float32(one, partial(_value_name, i))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"series {i} is not numeric: {error}") from None
    if row.ndim == 1:
        row = row[:, None]
    if row.ndim != 2:
        raise InputError(f"series {i} has shape {row.shape}, expected (time, channels)")
    return row


def _value_name(i: int, index: tuple[int, ...]) -> str:
    return f"series {i}, " + ", ".join(map("{} {}".format, ("step", "channel"), index))


def value_name(first: int, index: tuple[int, ...]) -> str:
    """Names a value of (n t c), whose series are counted from `first`."""
    return _value_name(first + index[0], index[1:])


class SeriesPipeline(Labels):
    """Scaling, missing values and class numbers of labelled series.

    Args:
        scaling: `channel` (mean 0 and deviation 1 per channel, over the training
            split), `series` (the same within each series and channel) or `none`.
        missing: `mean` (a missing value becomes the mean, which is 0 after scaling)
            or `indicator` (the same, and each channel gets a second one beside it:
            1 where observed, 0 where missing).

    Raises:
        InputError: a knob is not one of these.
    """

    def __init__(self, scaling: str = "channel", missing: str = "mean"):
        for name, value, options in (("scaling", scaling, SCALINGS), ("missing", missing, FILLS)):
            if value not in options:
                raise InputError(f"data.{name}={value} must be one of: {', '.join(options)}")
        super().__init__()
        self.scaling = scaling
        self.missing = missing
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.deviation: NDArray[np.float64] = np.zeros(0)
        self.has_time = True
        """Whether an item had more than one step in training."""

    def fit(self, x: NDArray[np.float32], labels: ItemLabels) -> "SeriesPipeline":
        """Learns scales and classes from the training split, (n t c) padded with NaN.

        Raises:
            InputError: a channel has no value at all, or there is only one class.
        """
        empty = np.flatnonzero(np.isnan(x).all(axis=(0, 1)))
        if len(empty):
            raise InputError(f"channel {empty[0]} holds only missing values: remove it")
        self.mean = np.asarray(np.nanmean(x, axis=(0, 1), dtype=np.float64))
        self.deviation = _not_zero(np.nanstd(x, axis=(0, 1), dtype=np.float64))
        self.has_time = x.shape[1] > 1
        self.fit_labels(labels)
        return self

    @property
    def in_channels(self) -> int:
        """Channels of a raw series."""
        return len(self.mean)

    @property
    def out_channels(self) -> int:
        """Channels of a transformed series."""
        return self.in_channels * (2 if self.missing == "indicator" else 1)

    def sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        return {"channels": self.out_channels, **self.label_sizes()}

    def transform(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scales (n t c) padded with NaN and fills what is missing.

        Raises:
            InputError: the series have other channels than those of `fit`.
        """
        if x.shape[-1] != self.in_channels:
            raise InputError(
                f"the series have {x.shape[-1]} channels, the training data {self.in_channels}: x "
                f"has shape {x.shape}, expected (series, time, {self.in_channels})"
            )
        scaled = self._scale(x)
        filled = np.nan_to_num(scaled, nan=0.0).astype(np.float32)
        if self.missing == "mean":
            return filled
        return np.concatenate([filled, ~np.isnan(x)], axis=-1, dtype=np.float32)

    def _scale(self, x: NDArray[np.float32]) -> NDArray[Any]:
        if self.scaling == "channel":
            return (x - self.mean) / self.deviation
        if self.scaling == "none":
            return np.where(np.isnan(x), self.mean, x)
        real = ~np.isnan(x)
        count = np.maximum(real.sum(axis=1, keepdims=True), 1)
        mean = np.where(real, x, 0).sum(axis=1, keepdims=True, dtype=np.float64) / count
        centred = np.where(real, x - mean, 0)
        deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
        return centred / _not_zero(deviation)

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as lists and strings."""
        return {
            "scaling": self.scaling,
            "missing": self.missing,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            **({} if self.has_time else {"has_time": False}),
            **self.labels_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what another pipeline had fitted."""
        self.scaling, self.missing = state["scaling"], state["missing"]
        self.mean = np.array(state["mean"], dtype=np.float64)
        self.deviation = np.array(state["deviation"], dtype=np.float64)
        self.has_time = bool(state.get("has_time", True))
        self.load_labels(state)


def _not_zero(deviation: NDArray[Any]) -> NDArray[Any]:
    """A constant channel is only centred, not divided by nothing."""
    return np.where(deviation < 1e-8, 1.0, deviation)
