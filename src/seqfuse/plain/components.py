"""Vectors held against those that are known to be normal: principal components."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


class Components:
    """Principal components of normal vectors.

    Args:
        normal: (n d) at least one.
    """

    def __init__(self, normal: Vectors):
        self.mean = normal.mean(axis=0)
        centred = normal - self.mean
        if len(normal) < centred.shape[1]:
            _, sizes, self.axes = np.linalg.svd(centred, full_matrices=False)
            self.variances = np.square(sizes) / len(normal)
        else:  # as good, and much faster
            variances, axes = np.linalg.eigh(centred.T @ centred / len(normal))
            self.variances, self.axes = np.maximum(variances[::-1], 0.0), axes.T[::-1]

    def residuals(self, vectors: Vectors, share: float) -> NDArray[np.float64]:
        """(n) mean squares of what the leading components leave of vectors (n d).

        Known as SPE or Q (Jackson and Mudholkar 1979).

        Args:
            vectors: to be put together again.
            share: of the variance of the normal ones, more than which the components hold.
        """
        total = self.variances.sum()
        held = np.cumsum(self.variances) / total if total else np.zeros(0)
        axes = self.axes[: np.searchsorted(held, share, side="right") + 1 if total else 0]
        centred = vectors - self.mean
        return np.square(centred - centred @ axes.T @ axes).mean(axis=1)

    def distances(self, vectors: Vectors, least: float) -> NDArray[np.float64]:
        """(n) squared distances of vectors (n d) from the mean, in deviations; over components.

        Known as Hotelling's T² and, squared, Mahalanobis' distance.

        Args:
            vectors: (n d).
            least: deviation that every component has.
        """
        along = (vectors - self.mean) @ self.axes.T
        return (np.square(along) / (self.variances + least**2)).mean(axis=1)


def held_out(
    vectors: Vectors,
    starts: NDArray[np.int64],
    size: int,
    numbers: Callable[[Components, Vectors], Vectors],
    num_folds: int,
) -> Vectors:
    """(n) numbers of windows (n d), by components of those that share no step with their fold.

    Args:
        vectors: normal windows, in the order of time.
        starts: (n) their first steps.
        size: steps of a window.
        numbers: of windows, by components.
        num_folds: stretches of windows, each of which is left out once.
    """
    found = np.empty(len(vectors))
    for fold in np.array_split(np.arange(len(vectors)), min(num_folds, len(vectors))):
        before = starts + size <= starts[fold[0]]
        others = vectors[before | (starts >= starts[fold[-1]] + size)]
        # Where hardly any is left, the part is too short to leave something out.
        found[fold] = numbers(Components(others if len(others) > 1 else vectors), vectors[fold])
    return found
