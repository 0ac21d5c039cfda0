"""Best tags and their probabilities: of single steps, or of a linear-chain CRF.

Scores are (b t k), or of a CRF (b t k k): row i, column j is tag j behind tag i.
Source: Lafferty et al., ICML 2001; Viterbi 1967; Rabiner 1989.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.jobs.softmax import log_sum, softmax

Floats = NDArray[Any]


def best_tags(scores: Floats, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(b t) the best tags: of a CRF the best path (Viterbi 1967); 0 where `mask` is false."""
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
