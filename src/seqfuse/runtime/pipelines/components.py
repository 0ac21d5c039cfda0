"""Vectors held against those that are known to be normal: principal components."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]
Numbers = Callable[["Components", Vectors], NDArray[np.float64]]
TINY = 1e-12
"""Fraction of the largest variance below which a direction counts as constant."""


class Components:
    """Principal components of normal vectors (n d), at least one."""

    def __init__(self, normal: Vectors):
        self.mean = normal.mean(axis=0)
        centred = normal - self.mean
        few = len(normal) < centred.shape[1]
        # Of the smaller of two products, which is much faster than of the vectors themselves.
        product = centred @ centred.T if few else centred.T @ centred
        variances, vectors = np.linalg.eigh(product / len(normal))
        varies = variances > TINY * max(variances[-1], TINY)
        self.variances, self.axes = variances[varies][::-1], vectors.T[varies][::-1]
        """Without directions along which nothing changed."""
        if few:
            self.axes = self.axes @ centred / np.sqrt(len(normal) * self.variances)[:, None]

    def residuals(self, vectors: Vectors, fraction: float) -> NDArray[np.float64]:
        """(n) mean squares of what the leading components leave of vectors (n d).

        They hold more than a fraction of the variance of the normal ones. Known as SPE or Q
        (Jackson and Mudholkar 1979).
        """
        return np.square(self.leftover(vectors, fraction)).mean(axis=1)

    def leftover(self, vectors: Vectors, fraction: float) -> Vectors:
        """(n d) what they leave, the root of the squares."""
        held = np.cumsum(self.variances) / max(self.variances.sum(), TINY)
        axes = self.axes[: np.searchsorted(held, fraction, side="right") + 1]
        centred = vectors - self.mean
        return centred - centred @ axes.T @ axes

    def distances(self, vectors: Vectors, floor: float) -> NDArray[np.float64]:
        """(n) squared distances of vectors (n d) from the mean, in standard deviations; over d.

        Known as Hotelling's T² and, squared, Mahalanobis' distance. What lies outside of all
        components is divided by `floor`, as in a direction along which nothing ever changed.
        """
        centred = vectors - self.mean
        along = np.square(centred @ self.axes.T)
        rest = np.maximum(np.square(centred).sum(axis=1) - along.sum(axis=1), 0.0)
        total = (along / (self.variances + floor**2)).sum(axis=1) + rest / floor**2
        return total / vectors.shape[1]

    def whitened(self, vectors: Vectors, floor: float) -> Vectors:
        """(n d) vectors whose mean squares are the distances, along the directions of d itself."""
        centred = vectors - self.mean
        along = centred @ self.axes.T
        inside = (along / np.sqrt(self.variances + floor**2)) @ self.axes
        return inside + (centred - along @ self.axes) / floor


def held_out(
    vectors: Vectors,
    starts: NDArray[np.int64],
    size: int,
    numbers: Numbers,
    num_folds: int,
) -> NDArray[np.float64]:
    """(n) numbers of windows (n d), by components of those that share no step with their fold.

    Normal windows of `size` steps, which begin at `starts` (n), in the order of time, of at least
    four times as many steps; each stretch of windows is left out once.
    """
    values = np.empty(len(vectors))
    for fold in np.array_split(np.arange(len(vectors)), min(num_folds, len(vectors))):
        before = starts + size <= starts[fold[0]]
        others = vectors[before | (starts >= starts[fold[-1]] + size)]
        values[fold] = numbers(Components(others), vectors[fold])
    return values
