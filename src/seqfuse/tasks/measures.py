"""Measures of anomaly scores: each takes what was scored and a threshold."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from seqfuse.runtime.pipelines.components import Components
from seqfuse.runtime.pipelines.scaling import CONSTANT, Standardisation
from seqfuse.runtime.read.monitored import Recording, runs
from seqfuse.runtime.scores import nab
from seqfuse.runtime.scores.alarms import highest_before
from seqfuse.runtime.scores.likelihood import Likelihood, merge
from seqfuse.runtime.scores.subspace import Subspace

Floats = NDArray[np.float64]
Scorer = Likelihood | Subspace


class Scored(NamedTuple):
    """A recording and the anomaly scores of its steps."""

    recording: Recording
    scores: Floats
    """(t) from 0 to 1; the higher, the stranger."""

    @property
    def tested(self) -> tuple[NDArray[np.bool_], Floats]:
        """Labels and scores of the steps that were not trained on."""
        tested = slice(self.recording.num_train, None)
        return self.recording.labels[tested], self.scores[tested]


class F1:
    """Precision, recall and F1 over single steps, of all recordings together; unadjusted.

    And the fraction of normal steps that are flagged, which is all that can be said where there is
    no anomaly.
    """

    prefix = ""
    undefined = "no step behind a training part is labelled as anomalous"

    def __call__(self, scored: Sequence[Scored], threshold: float) -> dict[str, float]:
        truth = np.concatenate([result.tested[0] for result in scored])
        flags = np.concatenate([self._flags(result, threshold) for result in scored])
        hits, false = float((truth & flags).sum()), float((flags & ~truth).sum())
        values = {
            "f1": 2 * hits / (flags.sum() + truth.sum()) if truth.any() else float("nan"),
            "precision": hits / max(flags.sum(), 1) if truth.any() else float("nan"),
            "recall": hits / truth.sum() if truth.any() else float("nan"),
            "false_alarms": false / max((~truth).sum(), 1),
        }
        return {f"{self.prefix}{name}": float(value) for name, value in values.items()}

    @property
    def names(self) -> list[str]:
        """Names of the values that are undefined without an anomaly."""
        return [f"{self.prefix}{name}" for name in ("f1", "precision", "recall")]

    def _flags(self, result: Scored, threshold: float) -> NDArray[np.bool_]:
        """Flags of the steps that were not trained on."""
        return result.tested[1] >= threshold


class OwnF1(F1):
    """F1 by a threshold of each recording's own: a quantile of its training scores.

    So does SKAB's published evaluation (Katser and Kozitsin 2020, in the notebooks of its
    repository, which multiply it by a factor that each detector has). It promises nothing of new
    rows: of a recording that drifts, many normal ones are above.
    """

    prefix = "own_"

    def __init__(self, quantile: float = 0.99):
        if not 0 < quantile <= 1:
            raise ValueError(f"quantile={quantile} must be above 0 and at most 1")
        self.quantile = quantile

    def _flags(self, result: Scored, threshold: float) -> NDArray[np.bool_]:
        return result.tested[1] >= own_threshold(result, self.quantile)


def own_threshold(result: Scored, quantile: float) -> float:
    """The lowest score above a quantile of those of a recording's training part; infinite where it
    has none."""
    scores = result.scores[: result.recording.num_train]
    return float(np.nextafter(np.quantile(scores, quantile), 2)) if len(scores) else float("inf")


class VusPr:
    """VUS-PR (Paparrizos et al. 2022), the mean over recordings that have an anomaly.

    Labels are softened by buffers of every size up to `max_buffer` steps.
    """

    name = "vus_pr"
    undefined = "no recording has an anomaly behind its training part"

    def __init__(self, max_buffer: int = 100):
        if max_buffer < 0:
            raise ValueError(f"max_buffer={max_buffer} must be at least 0")
        self.max_buffer = max_buffer

    def __call__(self, scored: Sequence[Scored], threshold: float) -> dict[str, float]:
        tested = [result.tested for result in scored if result.tested[0].any()]
        values = [vus_pr(labels, scores, self.max_buffer) for labels, scores in tested]
        return {self.name: float(np.mean(values)) if values else float("nan")}


class PcaBaseline(VusPr):
    """VUS-PR of a PCA detector: the error of windows reconstructed from few components.

    Args:
        size: steps of a window.
        fraction: of the variance of the training windows that the components hold.
        max_buffer: as for `VusPr`.
    """

    name = "pca_vus_pr"

    def __init__(self, size: int = 32, fraction: float = 0.9, max_buffer: int = 100):
        super().__init__(max_buffer)
        if size < 2 or not 0 < fraction < 1:
            raise ValueError(
                f"size={size} must be at least 2 and fraction={fraction} within 0 to 1"
            )
        self.size = size
        self.fraction = fraction

    def __call__(self, scored: Sequence[Scored], threshold: float) -> dict[str, float]:
        baseline = [Scored(result.recording, self._scores(result.recording)) for result in scored]
        return super().__call__(baseline, threshold)

    def _scores(self, recording: Recording) -> Floats:
        num_train = recording.num_train
        if num_train <= self.size:
            return np.zeros(len(recording.values))  # too short for a window
        scale = Standardisation.of(recording.values[:num_train], CONSTANT)
        values = scale.apply(recording.values)
        windows = sliding_window_view(values, self.size, axis=0)
        windows = windows.reshape(len(windows), -1)
        normal = windows[: num_train - self.size + 1]
        errors = Components(normal).residuals(windows, self.fraction)
        steps = np.repeat(errors[:, None], self.size, axis=1)
        return merge(steps, np.arange(len(errors)), len(values))


class NabScore:
    """NAB's score in its three profiles, by the given threshold and by the best in hindsight.

    NAB counts the first detection in a window and every one outside: an alarm that goes on
    counts once. Only scores above all of the `hold` steps before are alarms.
    """

    def __init__(self, hold: int = 128):
        if hold < 1:
            raise ValueError(f"hold={hold} must be at least 1")
        self.hold = hold

    def __call__(self, scored: Sequence[Scored], threshold: float) -> dict[str, float]:
        files = [
            nab.File(self.alarms(result.scores), result.recording.windows, result.recording.name)
            for result in scored
        ]
        values = {}
        for profile in nab.PROFILES:
            name = f"nab_{profile.removeprefix('reward_').removesuffix('_rate').lower()}"
            values[name] = nab.score(files, threshold, profile)
            values[f"{name}_hindsight"] = nab.best_threshold(files, profile).score
        return values

    def alarms(self, scores: Floats) -> Floats:
        """Scores (t), 0 where one of the steps held was as high."""
        return np.where(scores > highest_before(scores, self.hold), scores, 0.0)


class ChangePoints:
    """NAB's score of change points as SKAB counts it (Katser and Kozitsin 2020).

    Flags that begin or end behind the training part are detections. In a window at each change the
    first one earns 1 at its beginning, down to the cost of a false alarm at its end; a window
    without any costs as much as in NAB, and so does each detection outside, however far. 0 is no
    detection, 100 one at the beginning of each window. Where two windows meet, the later one is
    cut. NaN without changes.

    Args:
        seconds: of a window.
        before: fraction of the window that lies before the change; 0 as in SKAB's leaderboard.
        quantile: of the training scores of a recording, which is then its threshold (see `OwnF1`);
            None takes that of all recordings.
    """

    def __init__(self, seconds: float = 30.0, before: float = 0.5, quantile: float | None = None):
        if seconds <= 0:
            raise ValueError(f"seconds={seconds} must be above 0")
        if not 0 <= before <= 1:
            raise ValueError(f"before={before} must be from 0 to 1")
        if quantile is not None and not 0 < quantile <= 1:
            raise ValueError(f"quantile={quantile} must be above 0 and at most 1")
        self.seconds, self.before, self.quantile = seconds, before, quantile

    def __call__(self, scored: Sequence[Scored], threshold: float) -> dict[str, float]:
        values = {}
        for profile, weights in nab.PROFILES.items():
            gained = [self._gained(each, threshold, weights) for each in scored]
            name = profile.removeprefix("reward_").removesuffix("_rate").lower()
            total, perfect = (sum(part) for part in zip(*gained, strict=True))
            key = f"{self.prefix}changes_nab_{name}"
            values[key] = 100 * total / perfect if perfect else float("nan")
        return values

    @property
    def prefix(self) -> str:
        """Begins the names of its numbers."""
        return "" if self.quantile is None else OwnF1.prefix

    def _gained(
        self, scored: Scored, threshold: float, weights: nab.Weights
    ) -> tuple[float, float]:
        """The gain over no detection, by these flags and at most."""
        recording = scored.recording
        time, changes = recording.time, np.asarray(recording.changes, dtype=int)
        changes = changes[changes >= recording.num_train]
        seconds = (time - time[0]) / np.timedelta64(1, "s") if time.dtype.kind == "M" else time
        moments = self._detections(scored, threshold, seconds)
        starts = seconds[changes] - self.seconds * self.before
        ends = starts + self.seconds
        starts[1:] = np.maximum(starts[1:], ends[:-1])
        gain, outside = 0.0, np.ones(len(moments), dtype=bool)
        for start, end in zip(starts, ends, strict=True):
            inside = (moments >= start) & (moments <= end)
            outside &= ~inside
            if inside.any():
                place = (moments[inside][0] - start) / max(end - start, 1e-9)
                gain += self._earned(place, weights) + weights.false_negative
        highest = len(changes) * (weights.true_positive + weights.false_negative)
        return gain - weights.false_positive * float(outside.sum()), highest

    def _detections(self, scored: Scored, threshold: float, seconds: Floats) -> Floats:
        """Seconds at which flags begin or end behind the training part."""
        first = scored.recording.num_train
        if self.quantile is not None:
            threshold = own_threshold(scored, self.quantile)
        flags = np.concatenate([[False], scored.scores[first:] >= threshold]).astype(int)
        return seconds[first + np.flatnonzero(np.diff(flags))]

    def _earned(self, place: float, weights: nab.Weights) -> float:
        """By a detection at a place in a window, from 0 to 1."""
        fall = (1 - np.tanh(np.pi * (place - 0.5)) / np.tanh(np.pi / 2)) / 2
        return float(fall * (weights.true_positive + weights.false_positive)) - (
            weights.false_positive
        )


class ClockBaseline(ChangePoints):
    """NAB's score of a clock: a detection after every so many seconds, whatever the data say.

    Where windows fill much of the test part, as on SKAB, it shows what the score is worth.
    """

    @property
    def prefix(self) -> str:
        return "clock_"

    def _detections(self, scored: Scored, threshold: float, seconds: Floats) -> Floats:
        tested = seconds[scored.recording.num_train :]
        if not len(tested):
            return tested
        return np.arange(tested[0], tested[-1], self.seconds, dtype=np.float64)


def vus_pr(labels: NDArray[np.bool_], scores: Floats, max_buffer: int) -> float:
    """Volume under the precision-recall surface over thresholds and buffers; 0 to 1.

    aeon's `range_pr_vus_score` gives the same, in 80 times the time: 7 s for 1,000 steps.
    """
    if scores.min() == scores.max():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    thresholds = ordered[np.linspace(0, len(ordered) - 1, 250, dtype=int)]
    flagged = np.searchsorted(-ordered, -thresholds, side="right")
    areas = [
        _range_area(labels, scores, order, thresholds, flagged, buffer)
        for buffer in range(max_buffer + 1)
    ]
    return float(np.mean(areas))


def _range_area(
    labels: NDArray[np.bool_],
    scores: Floats,
    order: NDArray[np.int64],
    thresholds: Floats,
    flagged: NDArray[np.int64],
    buffer: int,
) -> float:
    soft = _soften(labels, buffer)
    positives = (labels.sum() + soft.sum()) / 2
    hits = np.cumsum(soft[order])[flagged - 1]
    peaks = [scores[start : end + 1].max() for start, end in runs(soft > 0)]
    reached = np.mean(np.array(peaks)[:, None] >= thresholds, axis=0)
    recall = np.append(0.0, np.minimum(hits / positives, 1) * reached)
    precision = np.append(1.0, hits / flagged)
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def _soften(labels: NDArray[np.bool_], buffer: int) -> Floats:
    """Labels with a slope of half the buffer on each side of every anomaly."""
    soft = labels.astype(np.float64)
    if buffer <= 1:
        return soft
    slope = np.sqrt(1 - np.arange(1, buffer // 2 + 1) / buffer)
    for start, end in runs(labels):
        after = soft[end + 1 : end + len(slope)]
        after += slope[: len(after)]
        before = soft[max(start - len(slope), 0) : start]
        before += slope[: len(before)][::-1]
    return np.minimum(soft, 1.0)
