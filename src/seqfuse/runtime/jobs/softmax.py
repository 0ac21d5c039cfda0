"""Scores to probabilities: softmax, logistic function, and the logarithm of a sum."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def softmax(scores: Floats) -> Floats:
    """Over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(scores: Floats) -> Floats:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * scores))


def log_sum(scores: Floats, axis: int) -> Floats:
    """The logarithm of the sum of exponentials."""
    highest = scores.max(axis=axis, keepdims=True)
    return np.squeeze(highest, axis) + np.log(np.exp(scores - highest).sum(axis=axis))
