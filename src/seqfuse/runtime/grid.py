"""Uneven samples to even steps."""

import numpy as np
from numpy.typing import NDArray


def bins(time: NDArray[np.int64], start: float, width: float) -> NDArray[np.int64]:
    """(n) number of the step that each sample falls into; outside of the grid, too."""
    return np.floor((time - start) / width).astype(np.int64)


def average(
    x: NDArray[np.float32], time: NDArray[np.int64], start: float, width: float, steps: int
) -> NDArray[np.float32]:
    """The mean of the samples (n c) within each step.

    A step without a sample, or with missing values (NaN) alone, gets what lies on the line
    between its neighbours; a channel without any value stays NaN.

    Args:
        x: the samples.
        time: of each, never decreasing.
        start: of the first step, in the unit of `time`.
        width: of a step, in the unit of `time`.
        steps: how many.

    Returns:
        (steps c).
    """
    step = bins(time, start, width)
    inside = (step >= 0) & (step < steps)
    values, step = x[inside], step[inside]
    found = [_channel(values[:, c], step, steps) for c in range(x.shape[1])]
    return np.stack(found, axis=1).astype(np.float32)


def _channel(values: NDArray[np.float32], step: NDArray[np.int64], steps: int) -> NDArray:
    real = ~np.isnan(values)
    count = np.bincount(step[real], minlength=steps)
    total = np.bincount(step[real], values[real], minlength=steps)
    full = np.flatnonzero(count)
    if not len(full):
        return np.full(steps, np.nan)
    return np.interp(np.arange(steps), full, total[full] / count[full])


def nearest(time: NDArray[np.int64], start: float, width: float, steps: int) -> NDArray[np.int64]:
    """(steps) row of the sample that lies nearest to the middle of each step."""
    middle = start + width * (np.arange(steps) + 0.5)
    place = np.searchsorted(time, middle)
    before, after = (place - 1).clip(min=0), place.clip(max=len(time) - 1)
    return np.where(abs(middle - time[before]) <= abs(time[after] - middle), before, after)
