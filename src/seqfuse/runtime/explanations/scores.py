"""Scores: the one number of each prediction that is explained, and its slope."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.softmax import log_sum, sigmoid, softmax

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


class Score(Protocol):
    """One number of each prediction of a batch; predictions may be of items several times."""

    names: Sequence[str]
    """(b) what is explained of each item, for people."""
    kind: str
    """What the names are, such as a class; empty where they speak for themselves."""
    unit: str
    """Unit of the number."""
    signed: bool
    """Whether it is the support of the prediction, so that what lowers it is no part of that."""

    def value(self, prediction: Floats, rows: Numbers) -> Floats:
        """(n) the number, of predictions (n ...) of these items of the batch."""
        ...

    def slope(self, prediction: Floats, rows: Numbers) -> Floats:
        """(n ...) its derivative by the prediction."""
        ...

    def kept(self, values: Floats, whole: Floats) -> Floats:
        """(n) what is left of a prediction: the more, the higher. See `deletion`.

        Args:
            values: the numbers, where some values are at the baseline.
            whole: the same where none is.
        """
        ...


class LogOdds:
    """The log-odds of a class against all others, of items or the weighted mean over steps.

    Unlike a probability it does not saturate, and unlike a class score it does not depend on what
    is added to all scores. Of a CRF they are those of the scores at a step, before it is decoded.

    Args:
        classes: (b t) class numbers; of items t is 1.
        names: what is explained of each item.
        weights: (b t) of steps, which sum to 1; 0 behind the last.
    """

    unit, signed = "log-odds", True

    def __init__(
        self,
        classes: Numbers,
        names: Sequence[str],
        weights: Floats | None = None,
        kind: str = "class",
    ):
        self.classes, self.names, self.kind = classes, names, kind
        self.weights = np.ones(classes.shape) if weights is None else weights

    def value(self, prediction: Floats, rows: Numbers) -> Floats:
        scores, others = self._scores(prediction, rows)
        chosen = np.take_along_axis(scores, self.classes[rows][:, :, None], axis=2)[:, :, 0]
        return ((chosen - log_sum(others, axis=2)) * self.weights[rows]).sum(axis=1)

    def slope(self, prediction: Floats, rows: Numbers) -> Floats:
        _, others = self._scores(prediction, rows)
        slope = -softmax(others)
        np.put_along_axis(slope, self.classes[rows][:, :, None], 1.0, axis=2)
        slope *= self.weights[rows][:, :, None]
        if prediction.ndim == 4:
            return slope[:, :, None] * softmax(prediction.swapaxes(2, 3)).swapaxes(2, 3)
        return slope.reshape(prediction.shape)

    def kept(self, values: Floats, whole: Floats) -> Floats:
        return sigmoid(values)

    def _scores(self, prediction: Floats, rows: Numbers) -> tuple[Floats, Floats]:
        """(n t k) scores, and the same without the class that is explained."""
        scores = prediction.astype(np.float64)
        if scores.ndim == 4:  # (n t k k), by the tag before
            scores = log_sum(scores, axis=2)
        scores = scores.reshape(len(scores), -1, scores.shape[-1])
        others = scores.copy()
        np.put_along_axis(others, self.classes[rows][:, :, None], -np.inf, axis=2)
        return scores, others


class Linear:
    """A weighted sum of a prediction: a number in the user's units, or the score of a label.

    Weights (b ...) are those of the numbers of each prediction, offsets (b) are added to the sums.
    """

    signed = False

    def __init__(
        self,
        weights: Floats,
        offsets: Floats,
        names: Sequence[str],
        unit: str = "user's units",
        kind: str = "",
    ):
        self.weights, self.offsets, self.names = weights, offsets, names
        self.unit, self.kind = unit, kind

    def value(self, prediction: Floats, rows: Numbers) -> Floats:
        products = prediction.astype(np.float64) * self.weights[rows]
        return products.reshape(len(rows), -1).sum(axis=1) + self.offsets[rows]

    def slope(self, prediction: Floats, rows: Numbers) -> Floats:
        return self.weights[rows]

    def kept(self, values: Floats, whole: Floats) -> Floats:
        return -np.abs(values - whole)


class Errors:
    """The weighted mean of absolute errors of a prediction, of what is known to have come.

    Truth and weights are (b h k).
    """

    signed, kind = True, ""

    def __init__(self, truth: Floats, weights: Floats, names: Sequence[str], unit: str):
        self.truth, self.weights, self.names, self.unit = truth, weights, names, unit

    def value(self, prediction: Floats, rows: Numbers) -> Floats:
        return (np.abs(self._off(prediction, rows)) * self.weights[rows]).sum(axis=(1, 2))

    def slope(self, prediction: Floats, rows: Numbers) -> Floats:
        slope = np.zeros(prediction.shape)
        middle = prediction.shape[-1] // 2
        slope[..., middle] = np.sign(self._off(prediction, rows)) * self.weights[rows]
        return slope

    def kept(self, values: Floats, whole: Floats) -> Floats:
        return values

    def _off(self, prediction: Floats, rows: Numbers) -> Floats:
        """(n h k) how far the output in the middle is off."""
        middle = prediction[..., prediction.shape[-1] // 2].astype(np.float64)
        return middle - self.truth[rows]


def chosen(name: str | None, names: Sequence[str], kind: str, otherwise: Numbers) -> Numbers:
    """The number of a name everywhere, or other numbers where none is given."""
    if name is None:
        return otherwise
    if str(name) not in names:
        raise InputError(f"target={name} is no {kind} (known: {', '.join(names[:12])})")
    return np.full_like(otherwise, list(names).index(str(name)))
