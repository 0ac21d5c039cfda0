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

    Of scaled windows (b t c), targets first, NaN where missing; `hidden` (b t k) is held out.
    """
    k = hidden.shape[2]
    targets = values[..., :k]
    visible = np.where(hidden, np.nan, targets)
    x = seen(np.concatenate([visible, values[..., k:]], axis=2))
    return x, np.where(hidden, targets, np.nan).astype(np.float32)


def interpolated(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """(b t c) with a straight line across each gap, and the nearest value before the first and
    behind the last; 0, the mean of scaled values, where a channel has none at all."""
    is_seen = ~np.isnan(values)
    first, last, weight = _neighbours(is_seen)
    left, right = (np.take_along_axis(values, place, axis=1) for place in (first, last))
    return np.nan_to_num(np.where(is_seen, values, left + weight * (right - left)))


def shared(
    numbers: NDArray[np.floating], values: NDArray[np.floating], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(b t c) numbers at values that are there; what interpolated ones have goes to the values
    that they were made of, by how much each gave.

    Args:
        numbers: (b t c) for example the parts of a sum that each value has.
        values: (b t c) interpolated.
        present: (b t c) which are not.
    """
    first, last, weight = _neighbours(present)
    given = values.astype(np.float64)
    left = (1 - weight) * np.take_along_axis(given, first, axis=1)
    right = weight * np.take_along_axis(given, last, axis=1)
    both = left + right
    part = np.divide(right, both, out=np.asarray(weight, dtype=np.float64), where=both != 0)
    kept = np.where(present, numbers, 0.0).astype(np.float64)
    moved = np.where(present | ~present.any(axis=1, keepdims=True), 0.0, numbers)
    item, channel = np.arange(len(numbers))[:, None, None], np.arange(numbers.shape[2])
    np.add.at(kept, (item, first, channel), (1 - part) * moved)
    np.add.at(kept, (item, last, channel), part * moved)
    return kept


def _neighbours(
    present: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """(b t c) the values that each step lies between, and the weight of the second."""
    steps = present.shape[1]
    step = np.arange(steps)[:, None]
    before = np.maximum.accumulate(np.where(present, step, -1), axis=1)
    behind = np.minimum.accumulate(np.where(present, step, steps)[:, ::-1], axis=1)[:, ::-1]
    first = np.where(before < 0, behind, before).clip(max=steps - 1)
    last = np.where(behind == steps, before, behind).clip(min=0)
    return first, last, (step - first) / np.maximum(last - first, 1)
