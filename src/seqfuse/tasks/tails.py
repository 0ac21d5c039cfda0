"""Thresholds that scores yet to come exceed at a given rate."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PEAKS = 5
"""Peaks that fit end to end into a window, of an average over such windows: one of two to three
standard deviations lasts about a fifth of it (Aldous 1989)."""
ENOUGH = 100
"""Independent scores that a threshold rests on, at least; the tail holds ten of them."""
TAIL, FEWEST, MOST = 0.1, 5, 20
"""The tail is the highest tenth, or from so many to so many independent values."""


def threshold(held_out: Floats, training: Floats, span: int, quantile: float) -> float:
    """The score from 0 to 1 that a fraction of 1 - `quantile` of new normal steps reaches.

    Neighbouring steps have much the same score: `span` of them count as five independent ones.
    Where the held-out ones are worth less than a hundred, training steps make up the difference:
    so few may all be calm by chance.

    Args:
        held_out: (n) scores of normal steps that nothing was fitted to; NaN is left out.
        training: (m) scores of normal steps of the training part.
        span: steps that a score looks at.
        quantile: fraction of new normal scores below the threshold.

    Returns:
        NaN if there is no score.
    """
    scores, spare = held_out[~np.isnan(held_out)], training[~np.isnan(training)]
    if not len(scores) + len(spare):
        return float("nan")
    weight = PEAKS / span
    lent = min(max(ENOUGH - weight * len(scores), 0.0), weight * len(spare))
    weights = np.full(len(scores), weight), np.full(len(spare), lent / max(len(spare), 1))
    every = np.minimum(np.concatenate([scores, spare]), 1 - 1e-12)
    # A score is x / (x + 1) of an error x, and it is errors that have exponential tails.
    found = tail_quantile(every / (1 - every), np.concatenate(weights), quantile)
    return found / (found + 1)


def tail_quantile(values: Floats, weights: Floats, quantile: float) -> float:
    """A quantile that may lie beyond all values: peaks over a threshold.

    Excesses of the k highest values over the next one are taken to be exponential (Pickands 1975,
    Davison and Smith 1990; of anomaly scores Siffer et al. 2017). As only k of them tell their
    mean, a new one follows a generalised Pareto distribution of shape 1 / k: the fewer there are,
    the further out the quantile. Of very many values it is one of them.

    Args:
        values: (n) at least one.
        weights: (n) how many independent values each stands for.
        quantile: above 0 and below 1.
    """
    order = np.argsort(values)
    ordered, weights = values[order], weights[order]
    heaped, rate = np.cumsum(weights), 1 - quantile
    size = heaped[-1]
    k = max(min(max(TAIL * size, FEWEST), MOST, size / 2), rate * size)
    first = min(int(np.searchsorted(heaped, size - k)), len(values) - 1)
    excesses, rest = ordered[first + 1 :] - ordered[first], weights[first + 1 :]
    mean = np.average(excesses, weights=rest) if rest.any() else 0.0
    expected = (k + 1) / (size + 1)  # of new values, how many exceed this one
    return float(ordered[first] + k * mean * ((expected / rate) ** (1 / k) - 1))
