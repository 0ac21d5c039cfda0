"""The NAB score: by hand, against a plain reading of the rules, and against NAB's results."""

import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.read.recordings import Nab
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.scores import nab
from seqfuse.runtime.scores.nab import File

Detector = Callable[[Recording], np.ndarray]
PERFECT = 2 / (1 + math.exp(-5)) - 1


def sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


def detections(*steps: int, num_steps: int = 40, windows: list | None = None) -> File:
    """A file with a probation period of 6 steps and, unless told, a window of 5 steps."""
    scores = np.zeros(num_steps)
    scores[list(steps)] = 1
    return File(scores, [(10, 14)] if windows is None else windows)


@pytest.mark.parametrize(
    ("steps", "raw"),
    [
        ((), -1),
        ((10,), 1),
        ((14,), sigmoid(-1 / 5) / PERFECT),
        ((12, 13, 14), sigmoid(-3 / 5) / PERFECT),
        ((8,), -1 - 0.11),
        ((5,), -1),
        ((6,), -1 - 0.11),
        ((10, 16), 1 + 0.11 * sigmoid(2 / 4)),
        ((10, 26), 1 + 0.11 * sigmoid(12 / 4)),
        ((10, 27), 1 - 0.11),
        ((10, 15, 30), 1 + 0.11 * sigmoid(1 / 4) - 0.11),
    ],
)
def test_by_hand(steps: tuple[int, ...], raw: float) -> None:
    file = detections(*steps)
    assert nab.raw_score(file, 0.5) == pytest.approx(raw, abs=1e-12)
    assert nab.score([file], 0.5) == pytest.approx(100 * (raw + 1) / 2, abs=1e-12)


def test_profiles_weigh_errors() -> None:
    file = detections(8, windows=[(10, 14), (20, 29)])
    assert nab.raw_score(file, 0.5, "reward_low_FP_rate") == pytest.approx(-2.22)
    assert nab.raw_score(file, 0.5, "reward_low_FN_rate") == pytest.approx(-4.11)
    assert nab.score([file], 0.5, "reward_low_FN_rate") == pytest.approx(100 * -0.11 / 6)


def test_the_preceding_window_sets_the_scale() -> None:
    file = detections(10, 32, windows=[(10, 14), (20, 30)])
    assert nab.raw_score(file, 0.5) == pytest.approx(1 - 1 + 0.11 * sigmoid(2 / 10))


def test_a_window_of_one_step_counts_steps_behind_it() -> None:
    file = detections(10, 11, windows=[(10, 10)])
    assert nab.raw_score(file, 0.5) == pytest.approx(1 + 0.11 * sigmoid(1))


def test_windows_in_and_across_the_probation_period() -> None:
    hidden = detections(windows=[(1, 3)])
    assert nab.raw_score(hidden, 0.5) == 0
    across = detections(3, 6, windows=[(2, 11)])
    assert nab.raw_score(across, 0.5) == pytest.approx(sigmoid(-6 / 10) / PERFECT)


@pytest.mark.parametrize(("num_steps", "first"), [(6, 0), (7, 1), (1127, 169), (9999, 750)])
def test_probation(num_steps: int, first: int) -> None:
    assert nab.probation(num_steps) == first


def test_a_threshold_is_a_detection_itself_and_ties_move_together() -> None:
    file = File(np.array([0.0] * 10 + [0.7, 0.7, 0.7, 0.2, 0.2]), [(11, 13)])
    assert nab.score([file], 0.7) == pytest.approx(100 * (2 - 0.11) / 2)
    assert nab.best_threshold([file]) == pytest.approx((0.7, 100 * (2 - 0.11) / 2))
    constant = File(np.full(40, 0.5), [(10, 14)])
    assert nab.best_threshold([constant]) == (nab.NO_DETECTION, 0.0)


def literal_score(file: File, threshold: float, profile: str) -> float:
    """The rules, step by step, without any of the module's shortcuts."""
    hit, cost, missed = nab.PROFILES[profile]
    earned = {tuple(one): -missed for one in file.windows}
    lost = 0.0
    for step, one in enumerate(file.scores):
        if step < min(math.floor(0.15 * len(file.scores)), 750) or one < threshold:
            continue
        inside = [(a, b) for a, b in file.windows if a <= step <= b]
        before = [(a, b) for a, b in file.windows if b < step]
        if inside:
            a, b = inside[0]
            earning = hit * sigmoid(-(b - step + 1) / (b - a + 1)) / PERFECT
            earned[a, b] = max(earned[a, b], earning)
        elif before:
            a, b = before[-1]
            position = (step - b) / (b - a)
            lost += cost * (sigmoid(position) if position <= 3 else -1)
        else:
            lost -= cost
    return sum(earned.values()) + lost


@pytest.mark.parametrize("profile", nab.PROFILES)
@pytest.mark.parametrize("seed", range(5))
def test_one_sweep_finds_what_trying_all_thresholds_finds(profile: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    spans = ([(30, 39), (60, 90)], [], [(100, 101)], [(40, 41), (42, 60)])
    files = [File(random.integers(0, 60, 120) / 99, windows) for windows in spans]
    for file in files[::3]:
        for start, end in file.windows:
            file.scores[start : end + 1] += random.integers(0, 40, end + 1 - start) / 99
    null = -nab.PROFILES[profile].false_negative * 5
    perfect = nab.PROFILES[profile].true_positive * 5
    tried = {}
    for threshold in [1.1, *np.unique(np.concatenate([file.scores for file in files]))[::-1]]:
        raw = sum(literal_score(file, threshold, profile) for file in files)
        tried[threshold] = 100 * (raw - null) / (perfect - null)
        assert nab.score(files, threshold, profile) == pytest.approx(tried[threshold], abs=1e-9)
        assert sum(nab.raw_score(file, threshold, profile) for file in files) == pytest.approx(raw)
    best = nab.best_threshold(files, profile)
    assert best.score == pytest.approx(max(tried.values()), abs=1e-9)
    assert best.score > 0
    assert best.threshold == max(tried, key=lambda threshold: round(tried[threshold], 9))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (File(np.zeros((4, 2)), [], "x"), r"x: scores have shape \(4, 2\), expected \(time,\)"),
        (File(np.array([0, 1.5]), [], "x"), "x, step 1: score 1.5 is not from 0 to 1"),
        (File(np.array([0, np.nan]), [], "x"), "x, step 1: score nan is not from 0 to 1"),
        (File(np.zeros(9), [(3, 9)], "x"), r"x: window \(3, 9\) must lie behind step -1"),
        (File(np.zeros(9), [(5, 6), (3, 4)], "x"), r"window \(3, 4\) must lie behind step 6"),
        (File(np.zeros(9), [(6, 5)], "x"), r"window \(6, 5\)"),
        (File(np.zeros(9), [], "x"), "no file has a window behind its probation period"),
    ],
)
def test_mistakes_are_named(file: File, message: str) -> None:
    for call in (nab.best_threshold, lambda files: nab.score(files, 0.5)):
        with pytest.raises(InputError, match=message) as error:
            call([file])
        assert "\n" not in str(error.value)


def test_unknown_profile() -> None:
    with pytest.raises(InputError, match="no profile 'low': write one of standard, reward_low_FP"):
        nab.score([detections()], 0.5, "low")


@functools.cache
def corpus(root: Path) -> list[Recording]:
    return Nab(str(root / "nab"))()


def files(root: Path, detector: Detector) -> list[File]:
    return [File(detector(one), one.windows, one.name) for one in corpus(root)]


@pytest.mark.long
@pytest.mark.parametrize("profile", nab.PROFILES)
def test_the_null_detector_of_nab_scores_0(data_root: Path, profile: str) -> None:
    """As in NAB's results/final_results.json; raw totals as in results/null."""
    null = files(data_root, lambda one: np.full(len(one.time), 0.5))
    assert nab.best_threshold(null, profile) == (nab.NO_DETECTION, 0.0)
    raw = sum(nab.raw_score(file, 0.6, profile) for file in null)
    assert raw == -116 * nab.PROFILES[profile].false_negative


@pytest.mark.long
@pytest.mark.parametrize("profile", nab.PROFILES)
def test_the_perfect_detector_scores_100_and_none_scores_more(
    data_root: Path, profile: str
) -> None:
    def perfect(one: Recording) -> np.ndarray:
        scores = np.zeros(len(one.time))
        scores[[start for start, _ in one.windows]] = 0.9
        return scores

    assert nab.best_threshold(files(data_root, perfect), profile) == (0.9, 100.0)
    everything = files(data_root, lambda one: one.labels.astype(np.float64))
    assert nab.score(everything, 1.0, profile) == 100.0
    random = np.random.default_rng(0)
    best = nab.best_threshold(files(data_root, lambda one: random.random(len(one.time))), profile)
    assert 0 <= best.score < 30


def windowed_gaussian(one: Recording) -> np.ndarray:
    """One minus the normal tail beyond each value, by mean and deviation of the past.

    The past is all values until 6,400 are there, then the last 6,400, moved by 100 at a
    time. NAB read the scores back from text of 12 digits.
    """
    values = one.values[:, 0].astype(np.float64)
    values -= values[0]
    seen = np.arange(1, len(values) + 1)
    ends = np.minimum(seen, 6400) + np.maximum(seen - 6400, 0) // 100 * 100
    starts = np.maximum(ends - 6400, 0)
    sums, squares = (np.append(0, np.cumsum(values**power)) for power in (1, 2))
    mean = (sums[ends] - sums[starts]) / (ends - starts)
    variance = (squares[ends] - squares[starts]) / (ends - starts) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))
    deviation[deviation == 0] = 1e-6
    distance = np.abs(values[1:] - mean[:-1]) / deviation[:-1]
    tail = np.vectorize(math.erfc)(distance / math.sqrt(2)) / 2
    return np.append(0.0, np.round(1 - tail, 12))


@pytest.mark.parametrize(
    ("profile", "raw", "published"),
    [
        ("standard", -24.0131054891, 39.65),
        ("reward_low_FP_rate", -67.5862728866, 20.87),
        ("reward_low_FN_rate", -67.0131054891, 47.41),
    ],
)
def test_windowed_gaussian_as_on_the_leaderboard(
    data_root: Path, profile: str, raw: float, published: float
) -> None:
    """Raw totals and threshold as in NAB's results/windowedGaussian/*_scores.csv."""
    scored = files(data_root, windowed_gaussian)
    best = nab.best_threshold(scored, profile)
    assert best.threshold == 1.0
    total = sum(nab.raw_score(file, 1.0, profile) for file in scored)
    assert total == pytest.approx(raw, abs=1e-9)
    assert best.score == pytest.approx(published, abs=0.005)


def test_windowed_gaussian_file_by_file(data_root: Path) -> None:
    """A few rows of NAB's results/windowedGaussian/windowedGaussian_standard_scores.csv."""
    scored = {file.name: file for file in files(data_root, windowed_gaussian)}
    for name, raw in {
        "realTraffic/speed_7578": 3.47059145681,
        "realTraffic/speed_t4013": 1.76631783122,
        "realTweets/Twitter_volume_UPS": -2.2051646682,
        "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de": -4.19089678552,
        "realAWSCloudwatch/grok_asg_anomaly": 2.37942230674,
        "realKnownCause/ec2_request_latency_system_failure": 2.02150685678,
        "realKnownCause/nyc_taxi": -5.0,
    }.items():
        assert nab.raw_score(scored[name], 1.0) == pytest.approx(raw, abs=1e-10)
