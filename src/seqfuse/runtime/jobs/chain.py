"""Scores to probabilities and tags: step by step, or as a linear chain (Lafferty et al. 2001).

Scores are (b t k), or of a chain (b t k k): row i, column j is tag j behind tag i.
"""

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
    most = scores.max(axis=axis, keepdims=True)
    return np.squeeze(most, axis) + np.log(np.exp(scores - most).sum(axis=axis))


def best_tags(scores: Floats, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(b t) the best tags: of a chain the best path (Viterbi 1967); 0 where `mask` is false."""
    if scores.ndim == 3:
        return np.where(mask, scores.argmax(axis=-1), 0)
    best, choices = scores[:, 0, 0], []
    for t in range(1, scores.shape[1]):
        both = best[:, :, None] + scores[:, t]
        choices.append(both.argmax(axis=1))
        best = np.where(mask[:, t, None], both.max(axis=1), best)
    path = [best.argmax(axis=1)]
    for t in range(len(choices), 0, -1):
        earlier = np.take_along_axis(choices[t - 1], path[-1][:, None], axis=1)[:, 0]
        path.append(np.where(mask[:, t], earlier, path[-1]))
    return np.where(mask, np.stack(path[::-1], axis=1), 0)


def tag_probabilities(scores: Floats, mask: NDArray[np.bool_]) -> Floats:
    """(b t k) the probability of each tag at each step (Rabiner 1989)."""
    if scores.ndim == 3:
        return softmax(scores)
    scores, steps = scores.astype(np.float64), scores.shape[1]
    before, behind = [scores[:, 0, 0]], [np.zeros_like(scores[:, 0, 0])]
    for t in range(1, steps):
        here = log_sum(before[-1][:, :, None] + scores[:, t], axis=1)
        before.append(np.where(mask[:, t, None], here, before[-1]))
    for t in range(steps - 1, 0, -1):
        here = log_sum(scores[:, t] + behind[-1][:, None], axis=2)
        behind.append(np.where(mask[:, t, None], here, behind[-1]))
    return softmax(np.stack(before, axis=1) + np.stack(behind[::-1], axis=1))
