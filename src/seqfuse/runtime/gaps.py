"""Windows with gaps: what a net sees of them, and linear interpolation across them."""

import numpy as np
from numpy.typing import NDArray


def seen(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """(b t 2c) scaled windows (b t c), interpolated where a value is NaN, and which are not NaN."""
    return np.concatenate([interpolated(values), ~np.isnan(values)], axis=2, dtype=np.float32)


def held_out(
    values: NDArray[np.floating], hidden: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The input of a net (b t 2c), and the targets (b t k) not in it, NaN where they are.

    Args:
        values: (b t c) scaled windows, targets first; NaN is missing.
        hidden: (b t k) where targets are held out.
    """
    k = hidden.shape[2]
    targets = values[..., :k]
    visible = np.where(hidden, np.nan, targets)
    x = seen(np.concatenate([visible, values[..., k:]], axis=2))
    return x, np.where(hidden, targets, np.nan).astype(np.float32)


def interpolated(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(b t c) with a straight line across each gap, and the nearest value before the first and
    behind the last; 0, the mean of scaled values, where a channel has none at all."""
    steps = values.shape[1]
    step, there = np.arange(steps)[:, None], ~np.isnan(values)
    before = np.maximum.accumulate(np.where(there, step, -1), axis=1)
    behind = np.minimum.accumulate(np.where(there, step, steps)[:, ::-1], axis=1)[:, ::-1]
    first = np.where(before < 0, behind, before).clip(max=steps - 1)
    last = np.where(behind == steps, before, behind).clip(min=0)
    left, right = (np.take_along_axis(values, place, axis=1) for place in (first, last))
    weight = (step - first) / np.maximum(last - first, 1)
    return np.nan_to_num(np.where(there, values, left + weight * (right - left)))
