"""From forecast errors to anomaly scores, one recording at a time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from seqfuse.data.recordings import Recording

Floats = NDArray[np.float64]


class Scored(NamedTuple):
    """A recording and what was said of it."""

    recording: Recording
    scores: Floats
    """(t) from 0 to 1; the higher, the stranger."""

    @property
    def tested(self) -> slice:
        """The steps that were not trained on."""
        return slice(self.recording.num_train, None)


def merge(errors: Floats, starts: NDArray[np.int64], num_steps: int) -> Floats:
    """Errors (w h) of windows whose horizons begin at `starts`, as their mean per step.

    Returns:
        (num_steps), NaN at steps of no horizon.
    """
    steps = starts[:, None] + np.arange(errors.shape[1])
    total = np.bincount(steps.ravel(), errors.ravel(), num_steps)
    count = np.bincount(steps.ravel(), minlength=num_steps)
    return np.divide(total, count, out=np.full(num_steps, np.nan), where=count > 0)


class Likelihood:
    """How unlikely recent errors are, given those before (after Ahmad et al. 2017).

    The mean of the `recent` errors is held against mean and deviation of the errors in the
    `history` steps before, or in the training part alone, so that a long anomaly stays one:
    nothing of the future is used. z deviations above the mean give the score z / (z + 4).

    Args:
        recent: steps that are averaged.
        history: steps that they are compared with; 0 compares with the training part.
    """

    def __init__(self, recent: int = 2, history: int = 8000):
        if recent < 1 or history < 0:
            raise ValueError(f"recent={recent} must be at least 1 and history={history} at least 0")
        self.recent = recent
        self.history = history

    def __call__(self, errors: Floats, num_train: int) -> Floats:
        """Scores (t), from 0 to 1, of errors (t), NaN where there is none."""
        values = np.nan_to_num(errors)
        mean, deviation = self._before(values, num_train)
        # The filter looks back: its window ends at the step itself.
        origin = (self.recent - 1) // 2
        recent = uniform_filter1d(values, self.recent, origin=origin, mode="nearest")
        z = np.maximum(recent - mean, 0.0) / (deviation + 1e-6)
        return np.where(np.isnan(errors), 0.0, z / (z + 4.0))

    def _before(self, values: Floats, num_train: int) -> tuple[Floats, Floats]:
        """Mean and deviation of the steps before each; in training, of the whole part."""
        if not self.history:
            normal = values[:num_train]
            return np.full(len(values), normal.mean()), np.full(len(values), normal.std())
        step = np.arange(len(values))
        first = np.maximum(step - self.history, 0)
        end = np.maximum(step, min(num_train, len(values)))
        total, square = (np.append(0.0, np.cumsum(v)) for v in (values, values**2))
        mean = (total[end] - total[first]) / (end - first)
        spread = (square[end] - square[first]) / (end - first) - mean**2
        return mean, np.sqrt(np.maximum(spread, 0.0))
