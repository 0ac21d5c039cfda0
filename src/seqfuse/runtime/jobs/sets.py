"""Conformal sets of classes: as many classes of an item as it takes to be right so often."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

PENALTY, FREE = 0.01, 5
"""Added to a score for each rank behind the first so many (RAPS, Angelopoulos et al. 2021)."""
MISSES = 5
"""Calibration items of a class that its own threshold would leave out, at least, to have one."""
LEVELS = (0.9, 0.95, 0.99)
"""Usual ones, which are advised."""


def scores(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """(n k) how far down the list of an item each class stands: 0 for the most probable one.

    The probability of all classes before it (adaptive prediction sets, Romano et al. 2020, without
    their random draw), and a penalty on ranks, which keeps sets small where classes are many.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    penalties = PENALTY * np.maximum(np.arange(p.shape[1]) + 1 - FREE, 0)
    ranked = np.empty_like(p)
    np.put_along_axis(ranked, order, before + penalties, axis=1)
    return ranked


class Sets:
    """Sets of classes that hold the true one with a probability of at least `level`.

    A class is in the set where its score is at most a threshold, of split-conformal prediction: of
    the class itself where its calibration items are enough (5 of them would be left out, such as
    50 at a level of 0.9), of all classes together where they are not. The most probable class is
    always in: where a net is right more often than `level`, sets of one class are, too.

    Args:
        metadata: of a net; its `conformal` has the `scores` of calibration items, and the numbers
            of their true `classes`.
        level: above 0 and below 1.
    """

    def __init__(self, metadata: Mapping[str, Any], num_classes: int, level: Any):
        check_level(level)
        self.level = float(level)
        if num_classes < 2:
            raise InputError(f"level={level}: the net knows one class, which is every set")
        calibration = metadata.get("conformal")
        if calibration is None:
            raise InputError(
                f"level={level} needs a calibration part, of which the net has none: train it with "
                "data.calibration=true"
            )
        given = np.asarray(calibration["scores"], dtype=np.float64)
        truth = np.asarray(calibration["classes"], dtype=np.int64)
        self.count = len(given)
        """Calibration items."""
        self.accuracy = float((given == 0).mean())
        """Fraction of them whose most probable class, which has a score of 0, is the true one."""
        if len(given) < needed(self.level):
            raise InputError(
                f"level={level} needs {needed(self.level)} calibration items, and the net has "
                f"{self.count}: give a lower level, or train it with more items held out "
                "(data.num_folds)"
            )
        enough = MISSES / (1 - self.level)
        self.thresholds = np.full(num_classes, self._threshold(given))
        for k in range(num_classes):
            of_class = given[truth == k]
            if len(of_class) >= enough:
                self.thresholds[k] = self._threshold(of_class)

    def _threshold(self, given: NDArray[np.float64]) -> float:
        """The score of rank (n + 1)·level, rounded up."""
        rank = int(np.ceil((len(given) + 1) * self.level - 1e-9))
        return float(np.sort(given)[rank - 1])

    def note(self) -> str:
        """Advice where the net is right more often than the level; else empty."""
        if self.accuracy < self.level:
            return ""
        better = above(self.accuracy, self.count)
        advice = (
            f"level={better:g} has sets of several classes"
            if better
            else (f"a level above needs more than {self.count:,} calibration items")
        )
        return (
            f"at level={self.level:g} nearly all sets have one class, and the true one more often "
            f"than that, as the net is right in {self.accuracy:.3f} of its calibration items: "
            f"{advice}"
        )

    def __call__(self, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
        """(n k) whether each class is in the set of an item."""
        return scores(probabilities) <= self.thresholds


def needed(level: float) -> int:
    """Calibration items without which there is no threshold at a level."""
    return int(np.ceil(level / (1 - level) - 1e-9))


def above(accuracy: float, count: int) -> float | None:
    """The first usual level above an accuracy that so many calibration items are enough for."""
    return next((each for each in LEVELS if each > accuracy and count >= needed(each)), None)


def check_level(level: Any) -> None:
    """Raises InputError unless it is a number above 0 and below 1."""
    is_number = isinstance(level, (int, float)) and not isinstance(level, bool)
    if not is_number or not 0 < level < 1:
        raise InputError(f"level={level} must be a number above 0 and below 1, such as 0.9")


def names(included: NDArray[np.bool_], classes: Sequence[str]) -> list[list[str]]:
    """The classes of each set."""
    return [
        [name for name, is_in in zip(classes, row, strict=True) if is_in]
        for row in included.tolist()
    ]
