"""From reconstructed windows to anomaly scores of steps: what is outside, and what is far out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import in_blocks
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.components import Components, Numbers, Vectors, held_out
from seqfuse.runtime.pipelines.scaling import CONSTANT, Standardisation
from seqfuse.runtime.scores.likelihood import LEAST, Residuals, Scores, spread

Rows = NDArray[np.int64]
LEADING = 4
"""Windows, end to end, that tell what is normal: with fewer, none can be left out."""
BLOCK = 4096
"""Windows at a time, so that a long recording needs no more memory than a short one."""


class Subspace:
    """How far windows lie from those of the training part of their recording.

    Two squares are added, each divided by its mean over normal windows: what the leading principal
    components leave of a window, and the distance of the net's reconstruction of it from other
    reconstructions, in their standard deviations. The first sees what is outside of all that was
    normal, the second what is far out within (Jackson and Mudholkar 1979, of components; Denouden
    et al. 2018, of autoencoders). How well the net puts a window together again does not count. The
    root of the mean over the windows of a step is 0.5 of a score at 4 standard deviations above the
    mean of normal windows, each of which is held against components that have not seen it.

    Args:
        fraction: of the variance of normal windows that the leading components hold.
        num_folds: stretches of normal windows that are left out in turn, to see what is usual.
    """

    options = ("fraction", "num_folds")
    reads_predictions = True

    def __init__(self, fraction: float = 0.9, num_folds: int = 10):
        if not 0 < fraction < 1 or num_folds < 2:
            raise ValueError(
                f"fraction={fraction} must be above 0 and below 1, num_folds={num_folds} at least 2"
            )
        self.fraction = fraction
        self.num_folds = num_folds

    def span(self, horizon: int) -> int:
        return 2 * horizon

    def least(self, horizon: int) -> int:
        return LEADING * horizon

    def of_windows(
        self, values: NDArray[np.floating], num_train: int, residuals: Residuals, name: str
    ) -> Scores:
        """Scores (t) from 0 to 1 of a recording (t c), NaN at steps of no window.

        All are 0 where too few normal windows there are to say what is strange.
        """
        size = residuals.errors.shape[1]
        if min(num_train, len(values)) < self.least(size):
            raise InputError(
                f"{name}: its leading part, taken to be normal, has {num_train} rows of "
                f"{len(values)}, too few to score windows of {size}, which takes {self.least(size)}"
            )
        seen = residuals.starts[residuals.normal(num_train)]
        if not len(seen) or seen[-1] + size - seen[0] < self.least(size):
            return residuals.merge(np.zeros(residuals.errors.shape), num_train, len(values))
        strange = spread(self._strangeness(values, num_train, residuals), residuals.errors)
        scores = np.sqrt(residuals.merge(strange, num_train, len(values)))
        usual = scores[:num_train][~np.isnan(scores[:num_train])]
        return scores / (scores + max(usual.mean() + 4 * usual.std(), LEAST))

    def contributions(
        self,
        values: NDArray[np.floating],
        scaled: NDArray[np.floating],
        num_train: int,
        residuals: Residuals,
    ) -> Scores:
        """(t c) what each channel adds to the squares of which scores are the root.

        Both squares are sums over the steps and channels of a window (complete decomposition,
        Alcala and Qin 2009).
        """
        size, channels = residuals.errors.shape[1], values.shape[1]
        normal = np.flatnonzero(residuals.normal(num_train))
        each = np.zeros((len(residuals.starts), channels))
        for vectors, squares in (
            (self._windows(values, num_train, residuals), self._outside_squares),
            (self._reconstructions(residuals), self._far_squares),
        ):
            components = Components(vectors(normal))
            sums = np.concatenate([
                squares(components, vectors(rows)).reshape(-1, size, channels).sum(axis=1)
                for rows in in_blocks(len(each), BLOCK)
            ])  # fmt: skip
            each += sums / max(sums[normal].sum(axis=1).mean(), LEAST**2)
        spreads = np.broadcast_to(each[:, None], (len(each), size, channels))
        return residuals.merge_channels(spreads, num_train, len(values))

    def _windows(
        self, values: NDArray[np.floating], num_train: int, residuals: Residuals
    ) -> Callable[[Rows], Vectors]:
        """Scaled windows (n d), by their rows."""
        scaled = Standardisation.of(values[:num_train], CONSTANT).apply(values)
        size = residuals.errors.shape[1]
        return lambda rows: scaled[residuals.starts[rows][:, None] + np.arange(size)].reshape(
            len(rows), -1
        )

    def _reconstructions(self, residuals: Residuals) -> Callable[[Rows], Vectors]:
        """Their reconstructions (n d)."""
        return lambda rows: residuals.predictions[rows].reshape(len(rows), -1).astype(np.float64)

    def _strangeness(
        self, values: NDArray[np.floating], num_train: int, residuals: Residuals
    ) -> Scores:
        """(w) of windows; of normal ones, as if they were new."""
        normal = np.flatnonzero(residuals.normal(num_train))
        windows = self._windows(values, num_train, residuals)
        outside = self._squares(windows, self._outside, residuals, normal)
        reconstructions = self._reconstructions(residuals)
        return outside + self._squares(reconstructions, self._far, residuals, normal)

    def _squares(
        self,
        vectors: Callable[[Rows], Vectors],
        numbers: Numbers,
        residuals: Residuals,
        normal: Rows,
    ) -> Scores:
        trained = vectors(normal)
        components = Components(trained)
        blocks = in_blocks(len(residuals.starts), BLOCK)
        squares = np.concatenate([numbers(components, vectors(rows)) for rows in blocks])
        usual = max(squares[normal].mean(), LEAST**2)
        size = residuals.errors.shape[1]
        squares[normal] = held_out(trained, residuals.starts[normal], size, numbers, self.num_folds)
        return squares / usual

    def _outside(self, components: Components, windows: Vectors) -> Scores:
        return components.residuals(windows, self.fraction)

    def _outside_squares(self, components: Components, windows: Vectors) -> Vectors:
        return np.square(components.leftover(windows, self.fraction)) / windows.shape[1]

    def _far_squares(self, components: Components, reconstructions: Vectors) -> Vectors:
        whitened = components.whitened(reconstructions, LEAST)
        return np.square(whitened) / reconstructions.shape[1]

    def _far(self, components: Components, reconstructions: Vectors) -> Scores:
        return components.distances(reconstructions, LEAST)
