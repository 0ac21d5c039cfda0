"""The score of the Numenta Anomaly Benchmark (NAB), by the benchmark's own rules.

A detector gives each step of each file a score from 0 to 1; scores at or above one
threshold, the same for all files, are detections. The earliest detection in a labelled
window counts for it, the more the earlier; each detection outside counts against it, the
more the further behind a window; a window without any costs as well. 0 is a detector that
detects nothing, 100 one that detects the first step of each window and nothing else.

Source: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta
Anomaly Benchmark", ICMLA 2015, section III; where the paper and the benchmark's program
disagree (relative positions, scale of true positives, ties), the program.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

Floats = NDArray[np.float64]
NO_DETECTION = 1.1  # a threshold above all scores
MAX_PROBATION = 750


class File(NamedTuple):
    """Scores (t,) of a detector for one file, from 0 to 1, with the first and the last step of each
    true window, in order of time."""

    scores: NDArray[np.floating]
    windows: Sequence[tuple[int, int]]
    name: str = "a file"


class Weights(NamedTuple):
    """Gain of a hit at a window's first step, and costs of errors."""

    true_positive: float
    false_positive: float
    false_negative: float


class Best(NamedTuple):
    """The threshold that scores best, and the normalised score it gives."""

    threshold: float
    score: float


PROFILES = {
    "standard": Weights(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Weights(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Weights(1.0, 0.11, 2.0),
}


def score(files: Sequence[File], threshold: float, profile: str = "standard") -> float:
    """Normalised score of a corpus: at most 100, 0 for no detection, below 0 for worse."""
    total = sum(_gains(file, profile)[file.scores >= threshold].sum() for file in files)
    return _normalise(float(total), files, profile)


def best_threshold(files: Sequence[File], profile: str = "standard") -> Best:
    """The one threshold for all files with the best score; the highest of equal ones.

    The leaderboard of the benchmark does the same, on the data it scores: the figure is
    that of a threshold chosen in hindsight.
    """
    gains = np.concatenate([np.zeros(0), *(_gains(file, profile) for file in files)])
    scores = np.concatenate([np.zeros(0), *(file.scores for file in files)])
    order = np.argsort(-scores)
    scores = np.append(NO_DETECTION, scores[order])
    totals = np.append(0.0, np.cumsum(gains[order]))
    last_of_equal = np.append(scores[1:] != scores[:-1], True)
    scores, totals = scores[last_of_equal], totals[last_of_equal]
    best = int(np.argmax(totals))
    return Best(float(scores[best]), _normalise(float(totals[best]), files, profile))


def raw_score(file: File, threshold: float, profile: str = "standard") -> float:
    """Score of one file before normalisation; minus the cost of each window if none is hit."""
    missed = _weights(profile).false_negative * len(_scored_windows(file))
    return float(_gains(file, profile)[file.scores >= threshold].sum() - missed)


def probation(num_steps: int) -> int:
    """Leading steps of a file that are not scored: 15 %, at most 750."""
    return min(math.floor(0.15 * num_steps), MAX_PROBATION)


def _normalise(total: float, files: Sequence[File], profile: str) -> float:
    """Scales what was gained over no detection to what a perfect detector gains."""
    num_windows = sum(len(_scored_windows(file)) for file in files)
    if not num_windows:
        raise InputError("no file has a window behind its probation period: NAB scores windows")
    weights = _weights(profile)
    return 100 * total / (num_windows * (weights.true_positive + weights.false_negative))


def _gains(file: File, profile: str) -> Floats:
    """Gain (t) of each step in the raw score once the threshold has sunk to its score."""
    _check(file)
    weights = _weights(profile)
    gains = _costs_outside(file, weights)
    for start, end in _scored_windows(file):
        earnings = weights.true_positive * _earnings_inside(end - start + 1)
        rows = slice(max(start, probation(len(gains))), end + 1)
        gains[rows] = _only_improvements(earnings[rows.start - start :], file.scores[rows], weights)
    gains[: probation(len(gains))] = 0
    return gains


def _costs_outside(file: File, weights: Weights) -> Floats:
    """Cost (t) of a detection at each step outside of all windows."""
    steps = np.arange(len(file.scores))
    costs = np.full(len(steps), -1.0)
    for start, end in file.windows:
        # The benchmark divides by zero behind a window of one step: we count steps there.
        positions = (steps[end + 1 :] - end) / max(end - start, 1)
        costs[end + 1 :] = np.where(positions > 3, -1.0, _sigmoid(positions))
    return weights.false_positive * costs


def _earnings_inside(width: int) -> Floats:
    """Gain (width) of a detection at each step of a window: 1 at the first step."""
    return _sigmoid(np.arange(-width, 0) / width) / _sigmoid(np.array(-1.0))


def _only_improvements(earnings: Floats, scores: NDArray[np.floating], weights: Weights) -> Floats:
    """As the threshold sinks, a step counts by how much it beats the window's best so far."""
    order = np.argsort(-scores, kind="stable")
    best = np.maximum.accumulate(np.append(-weights.false_negative, earnings[order]))
    gains = np.empty(len(scores))
    gains[order] = np.diff(best)
    return gains


def _sigmoid(positions: Floats) -> Floats:
    """2 / (1 + exp(5 x)) - 1, written so that it cannot overflow."""
    return -np.tanh(2.5 * positions)


def _scored_windows(file: File) -> list[tuple[int, int]]:
    first = probation(len(file.scores))
    return [(start, end) for start, end in file.windows if end >= first]


def _weights(profile: str) -> Weights:
    if profile not in PROFILES:
        raise InputError(f"NAB has no profile '{profile}': write one of {', '.join(PROFILES)}")
    return PROFILES[profile]


def _check(file: File) -> None:
    scores, name = file.scores, file.name
    if scores.ndim != 1:
        raise InputError(f"{name}: scores have shape {scores.shape}, expected (time,)")
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(wrong):
        raise InputError(
            f"{name}, step {wrong[0]}: score {scores[wrong[0]]} is not from 0 to 1: map errors e "
            "to scores by, for example, 1 - exp(-e)"
        )
    previous = -1
    for start, end in file.windows:
        if not previous < start <= end < len(scores):
            raise InputError(
                f"{name}: window ({start}, {end}) must lie behind step {previous} and end before "
                f"step {len(scores)}: sort and join the windows"
            )
        previous = end
