"""From scores of steps to alarms: the threshold, and the intervals from it on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

Scores = NDArray[np.float64]
RATES = 10.0 ** -np.linspace(0, 6, 31)
"""Fractions of normal steps whose thresholds a checkpoint holds, five in a decade."""


class Alarm(NamedTuple):
    """A stretch of flagged steps of a recording."""

    start: int
    """The first of its steps."""
    end: int
    """The last of them."""
    peak: int
    """The step of its highest score; the first of equal ones."""


class Limit(NamedTuple):
    """The score that an alarm begins at; without any of these, that of training."""

    threshold: float | None = None
    """A score from 0 to 1."""
    quantile: float | None = None
    """Fraction of normal steps, as those held out in training, that are below it."""
    budget: float | None = None
    """Alarms a day, at most, in all recordings of a file together."""

    @classmethod
    def checked(cls, **given: Any) -> "Limit":
        """A limit of numbers, or of text that stands for them; at most one is given."""
        chosen = {name: value for name, value in given.items() if value is not None}
        words = [f"{name}={value}" for name, value in chosen.items()]
        if len(words) > 1:
            raise InputError(
                f"{' and '.join(words)}: both choose where alarms begin: leave one out"
            )
        return cls(**{name: _number(name, value) for name, value in chosen.items()})


def _number(name: str, value: Any) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if name == "threshold" and not 0 <= number <= 1:
        raise InputError(f"threshold={value} must be a score, from 0 to 1")
    if name == "quantile" and not 0 < number <= 1 - RATES[-1]:
        raise InputError(f"quantile={value} must be above 0 and at most {1 - RATES[-1]:g}")
    if name == "budget" and not 0 < number < np.inf:
        raise InputError(f"budget={value} must be a number of alarms a day, above 0")
    return number


def at_quantile(thresholds: Sequence[float], quantile: float) -> float:
    """The threshold of a quantile, between those of `RATES`."""
    return float(np.interp(-np.log10(1 - quantile), -np.log10(RATES), thresholds))


def intervals(scores: Scores, threshold: float, gap: int) -> list[Alarm]:
    """Alarms of a recording by its scores (t), NaN where none is known, in the order of time.

    Flagged steps at most a gap apart are in one alarm.
    """
    flagged = np.flatnonzero(scores >= threshold)
    parts = np.split(flagged, np.flatnonzero(np.diff(flagged) > gap) + 1) if len(flagged) else []
    return [
        Alarm(int(steps[0]), int(steps[-1]), int(steps[scores[steps].argmax()])) for steps in parts
    ]


def highest_before(scores: Scores, steps: int) -> Scores:
    """(t) the highest of so many scores before each; minus infinity at the first."""
    padded = np.concatenate([np.full(steps, -np.inf), scores[:-1]])
    return np.lib.stride_tricks.sliding_window_view(padded, steps).max(axis=1)


def within_budget(recordings: Sequence[Scores], allowed: int, gap: int) -> float:
    """The highest threshold with as many alarms as are allowed, or the most below that number.

    It comes down from the highest score of all recordings (t), NaN where none is known, and no
    threshold above it has more alarms than are allowed. Infinite, if even the highest score makes
    more. The gap is as in `intervals`.
    """
    firsts, covers = [], []
    for recording in recordings:
        scores = np.nan_to_num(recording, nan=-np.inf)
        before = highest_before(scores, gap) if len(scores) else scores
        # The step is the first of an alarm for thresholds up to its score, above those before.
        begins = scores > before
        firsts.append(scores[begins])
        covers.append(before[begins])
    first, cover = np.sort(np.concatenate(firsts)), np.sort(np.concatenate(covers))
    candidates = np.unique(first)[::-1]
    counts = (len(first) - np.searchsorted(first, candidates)) - (
        len(cover) - np.searchsorted(cover, candidates)
    )
    over = np.flatnonzero(counts > allowed)
    counts = counts[: over[0] if len(over) else None]
    if not counts.any():
        return float("inf")
    return float(candidates[counts.argmax()])


def days(times: Sequence[NDArray[Any]]) -> float:
    """Days that recordings last, by the time stamps of their steps."""
    total = 0.0
    for time in times:
        if time.dtype.kind != "M":
            raise InputError(
                "budget= counts alarms a day, and these recordings have no time stamps: type "
                "threshold= or quantile="
            )
        if len(time) > 1:  # the last step lasts as long as the others
            span = (time[-1] - time[0]) / np.timedelta64(1, "D")
            total += float(span) * len(time) / (len(time) - 1)
    return total


def drivers(contributions: Scores, alarm: Alarm, num_train: int, names: Sequence[str]) -> list[str]:
    """The fewest channels that make up half of what is above the usual, the strongest first.

    Contributions (t c) are averaged over the steps of the alarm; those of the leading `num_train`
    steps are usual.
    """
    usual = contributions[:num_train].mean(axis=0)
    excess = contributions[alarm.start : alarm.end + 1].mean(axis=0) - usual
    order = np.argsort(-excess, kind="stable")
    above = np.maximum(excess[order], 0.0).cumsum()
    count = int(np.searchsorted(above, above[-1] / 2)) + 1
    return [names[int(i)] for i in order[:count]]
