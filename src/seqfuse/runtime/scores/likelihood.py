"""From errors of windows to anomaly scores of steps, one recording at a time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.pipelines.scaling import CONSTANT, Standardisation

Scores = NDArray[np.float64]
LEAST = 0.01
"""Minimum standard deviation of errors, in scaled units, for what is constant in training."""


class Residuals(NamedTuple):
    """Errors of a net in the windows of recordings."""

    starts: NDArray[np.int64]
    """(w) where their horizons begin, in rising order."""
    errors: NDArray[np.floating]
    """(w h) absolute, the mean over columns."""
    predictions: NDArray[np.floating]
    """(w h c) scaled; (w 0 c) where no scorer reads them."""

    @classmethod
    def of(
        cls,
        starts: NDArray[np.int64],
        prediction: NDArray[np.floating],
        y: NDArray[np.floating],
        keep: bool,
    ) -> "Residuals":
        """Residuals of a batch of windows whose horizons begin at `starts` (w).

        The output in the middle of predictions (w h c p) counts; these are kept if they are read,
        beside their errors.
        """
        middle = prediction[..., prediction.shape[-1] // 2]
        errors = np.abs(middle - y).mean(axis=-1)
        return cls(starts, errors, middle[:, : None if keep else 0])

    @classmethod
    def joined(cls, parts: "Sequence[Residuals]") -> "Residuals":
        """Residuals of several batches, in the order of time."""
        starts, errors, predictions = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(starts, kind="stable")
        return cls(starts[order], errors[order], predictions[order])

    def within(self, first: int, end: int) -> "Residuals":
        """Residuals of the recording that begins at row `first`, with steps counted from there."""
        rows = slice(*np.searchsorted(self.starts, [first, end]))
        return Residuals(self.starts[rows] - first, self.errors[rows], self.predictions[rows])

    def normal(self, num_train: int) -> NDArray[np.bool_]:
        """(w) which windows end with the training part: they tell what is normal in it."""
        return self.starts + self.errors.shape[1] <= num_train

    def merge(self, numbers: Scores, num_train: int, num_steps: int) -> Scores:
        """(num_steps) numbers (w h) of these windows as their mean per step, in training of the
        normal ones; NaN at steps of no window."""
        normal = self.normal(num_train)
        trained = merge(numbers[normal], self.starts[normal], num_steps)
        merged = merge(numbers, self.starts, num_steps)
        return np.where(np.arange(num_steps) < num_train, trained, merged)

    def merge_channels(self, numbers: Scores, num_train: int, num_steps: int) -> Scores:
        """(num_steps c) the same of numbers (w h c), 0 at steps of no window."""
        channels = [
            self.merge(numbers[..., c], num_train, num_steps) for c in range(numbers.shape[-1])
        ]
        return np.nan_to_num(np.stack(channels, axis=1))


def merge(errors: Scores, starts: NDArray[np.int64], num_steps: int) -> Scores:
    """(num_steps) errors (w h) of windows whose horizons begin at `starts`, as their mean per step;
    NaN at steps of no horizon."""
    steps = starts[:, None] + np.arange(errors.shape[1])
    total = np.bincount(steps.ravel(), errors.ravel(), num_steps)
    count = np.bincount(steps.ravel(), minlength=num_steps)
    return np.divide(total, count, out=np.full(num_steps, np.nan), where=count > 0)


def distances(values: NDArray[np.floating], num_train: int) -> Scores:
    """(t) standard deviations from the mean of the training part; the mean over channels."""
    scale = Standardisation.of(values[:num_train], CONSTANT)
    return np.abs(scale.apply(values)).mean(axis=1)


def spread(numbers: Scores, errors: NDArray[np.floating]) -> Scores:
    """(w h) of one number (w) for each window."""
    return np.broadcast_to(numbers[:, None], errors.shape)


class Likelihood:
    """How unlikely recent errors are, given those before (after Ahmad et al. 2017).

    The mean of the `recent` errors is held against mean and standard deviation of the errors in the
    `history` steps before, or in the training part alone, so that a long anomaly stays one.
    Of errors of forecasts nothing of the future is used; a reconstruction sees its window. z
    standard deviations above the mean give the score z / (z + 4).

    Args:
        recent: steps that are averaged.
        history: steps that they are compared with; 0 compares with the training part.
        whole: whether a window's error is that of all its steps, and so of each of them.
        level: whether scores are the mean with those of the values themselves, whose errors
            are their distances from the training part's mean.
    """

    options = ("recent", "history", "whole", "level")
    reads_predictions = False

    def __init__(
        self, recent: int = 2, history: int = 8000, whole: bool = False, level: bool = False
    ):
        if recent < 1 or history < 0:
            raise ValueError(f"recent={recent} must be at least 1 and history={history} at least 0")
        self.recent = recent
        self.history = history
        self.whole = whole
        self.level = level

    def span(self, horizon: int) -> int:
        return self.recent + horizon * (1 + self.whole)

    def least(self, horizon: int) -> int:
        return 1

    def of_windows(
        self, values: NDArray[np.floating], num_train: int, residuals: Residuals, name: str
    ) -> Scores:
        """Scores (t) of a recording (t c), NaN at steps of no window."""
        errors = residuals.errors.astype(np.float64)
        if self.whole:
            errors = spread(errors.mean(axis=1), errors)
        return self.of_values(values, num_train, residuals.merge(errors, num_train, len(values)))

    def contributions(
        self,
        values: NDArray[np.floating],
        scaled: NDArray[np.floating],
        num_train: int,
        residuals: Residuals,
    ) -> Scores:
        """(t c) what each channel of a recording adds to recent errors, in standard deviations of
        normal errors; `scaled` values are those that the net sees."""
        steps = residuals.starts[:, None] + np.arange(residuals.errors.shape[1])
        errors = np.abs(residuals.predictions - scaled[steps]).astype(np.float64)
        if self.whole:
            errors = np.broadcast_to(errors.mean(axis=1, keepdims=True), errors.shape)
        parts = [residuals.merge_channels(errors, num_train, len(values))]
        if self.level:
            parts.append(np.abs(Standardisation.of(values[:num_train], CONSTANT).apply(values)))
        total = np.zeros(values.shape)
        for part in parts:
            recent = np.stack([self._recent(channel) for channel in part.T], axis=1)
            total += recent / max(part[:num_train].mean(axis=1).std(), LEAST)
        return total

    def of_values(self, values: NDArray[np.floating], num_train: int, errors: Scores) -> Scores:
        """Scores (t) of a recording (t c), NaN where errors (t) are."""
        scores = self(errors, num_train)
        if self.level:
            scores = (scores + self(distances(values, num_train), num_train)) / 2
        return np.where(np.isnan(errors), np.nan, scores)

    def __call__(self, errors: Scores, num_train: int) -> Scores:
        """Scores (t), from 0 to 1, of errors (t), NaN where there is none."""
        real = ~np.isnan(errors)
        values = np.nan_to_num(errors)
        mean, deviation = self._before(values, real, num_train)
        share = np.maximum(self._recent(real.astype(np.float64)), 1e-9)
        recent = self._recent(values) / share
        z = np.maximum(recent - mean, 0.0) / np.maximum(deviation, LEAST)
        return np.where(real, z / (z + 4.0), 0.0)

    def _recent(self, values: Scores) -> Scores:
        """Means of windows that end at the step itself."""
        padded = np.concatenate([np.zeros(self.recent - 1), values])
        return np.lib.stride_tricks.sliding_window_view(padded, self.recent).mean(axis=1)

    def _before(
        self, values: Scores, real: NDArray[np.bool_], num_train: int
    ) -> tuple[Scores, Scores]:
        """Mean and standard deviation of known steps before each; in training, of the whole part.

        Where there are none, the latter is infinite: nothing is known to be strange.
        """
        step, n = np.arange(len(values)), min(num_train, len(values))
        first = np.maximum(step - self.history, 0) if self.history else np.zeros_like(step)
        end = np.maximum(step, n) if self.history else np.full_like(step, n)
        count, total, square = (
            np.append(0.0, np.cumsum(row))[end] - np.append(0.0, np.cumsum(row))[first]
            for row in (real, values, values**2)
        )
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(square / np.maximum(count, 1) - mean**2, 0.0))
        return mean, np.where(count > 0, deviation, np.inf)
