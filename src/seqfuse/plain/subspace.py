"""From reconstructed windows to anomaly scores of steps: what is outside, and what is far out."""

import numpy as np
from numpy.typing import NDArray

from seqfuse.plain.components import Components, Vectors, held_out
from seqfuse.plain.likelihood import LEAST, Scores, Told, scaled, spread


class Subspace:
    """How far windows lie from those of the training part of their recording.

    Two squares are added, each of which has a mean of 1 there: what the leading principal
    components leave of a window, and the distance of the net's reconstruction of it from other
    reconstructions, in their deviations. The first sees what is outside of all that was normal,
    the second what is far out within (Jackson and Mudholkar 1979, of components; Denouden et al.
    2018, of autoencoders). The root of the mean over the windows of a step is 0.5 of a score at
    4 deviations above the mean of normal windows that the components have not seen.

    Args:
        share: of the variance of normal windows that the leading components hold.
        num_folds: stretches of normal windows that are left out in turn, to see what is usual.

    Raises:
        ValueError: a knob is out of range.
    """

    knobs = ("share", "num_folds")
    reads_predictions = True

    def __init__(self, share: float = 0.9, num_folds: int = 10):
        if not 0 < share < 1 or num_folds < 2:
            raise ValueError(
                f"share={share} must be above 0 and below 1, num_folds={num_folds} at least 2"
            )
        self.share = share
        self.num_folds = num_folds

    def of_windows(self, values: NDArray[np.floating], num_train: int, told: Told) -> Scores:
        """Scores (t) from 0 to 1 of a recording (t c), NaN at steps of no window."""
        normal = told.normal(num_train)
        if not normal.any():  # nothing is known to be strange
            return told.merge(np.zeros(told.errors.shape), num_train, len(values))
        strange = spread(self._strangeness(values, num_train, told, normal), told.errors)
        found = np.sqrt(told.merge(strange, num_train, len(values)))
        usual = found[:num_train][~np.isnan(found[:num_train])]
        return found / (found + max(usual.mean() + 4 * usual.std(), LEAST))

    def _strangeness(
        self,
        values: NDArray[np.floating],
        num_train: int,
        told: Told,
        normal: NDArray[np.bool_],
    ) -> Scores:
        """(w) of windows; of normal ones, as if they were new."""
        size = told.errors.shape[1]
        windows = scaled(values, num_train)[told.starts[:, None] + np.arange(size)]
        total = np.zeros(len(windows))
        for vectors, numbers in ((windows, self._outside), (told.predictions, self._far)):
            vectors = vectors.reshape(len(vectors), -1).astype(np.float64)
            squares = numbers(Components(vectors[normal]), vectors)
            usual = max(squares[normal].mean(), LEAST**2)
            squares[normal] = held_out(
                vectors[normal], told.starts[normal], size, numbers, self.num_folds
            )
            total += squares / usual
        return total

    def _outside(self, components: Components, windows: Vectors) -> Vectors:
        return components.residuals(windows, self.share)

    def _far(self, components: Components, reconstructions: Vectors) -> Vectors:
        return components.distances(reconstructions, LEAST)
