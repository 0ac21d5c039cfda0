"""Thresholds and intervals of alarms."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqfuse.runtime.scores.alarms import (
    RATES,
    Alarm,
    at_quantile,
    days,
    drivers,
    highest_before,
    intervals,
    within_budget,
)

few = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.9, np.nan])
recordings = st.lists(st.lists(few, min_size=1, max_size=30).map(np.array), min_size=1, max_size=3)
gaps = st.integers(1, 6)


@given(recordings, gaps, st.sampled_from([0.0, 0.1, 0.25, 0.9, 1.0]))
def test_alarms_hold_all_flagged_steps_and_begin_and_end_with_one(
    scores: list[np.ndarray], gap: int, threshold: float
) -> None:
    alarms = intervals(scores[0], threshold, gap)
    flagged = set(np.flatnonzero(scores[0] >= threshold).tolist())
    steps = [step for alarm in alarms for step in range(alarm.start, alarm.end + 1)]
    assert flagged <= set(steps)
    assert len(set(steps)) == len(steps)
    for alarm in alarms:
        inside = sorted(flagged & set(range(alarm.start, alarm.end + 1)))
        assert (inside[0], inside[-1]) == (alarm.start, alarm.end)
        assert all(b - a <= gap for a, b in itertools.pairwise(inside))
        assert scores[0][alarm.peak] == np.nanmax(scores[0][alarm.start : alarm.end + 1])
    for before, after in itertools.pairwise(alarms):
        assert after.start - before.end > gap


@given(recordings, st.integers(0, 8), gaps)
def test_a_budget_is_kept_and_used(scores: list[np.ndarray], allowed: int, gap: int) -> None:
    def count(threshold: float) -> int:
        return sum(len(intervals(each, threshold, gap)) for each in scores)

    best, most = np.inf, 0
    every = np.concatenate(scores)
    for threshold in np.unique(every[~np.isnan(every)])[::-1]:
        if count(threshold) > allowed:
            break
        if count(threshold) > most:
            best, most = threshold, count(threshold)
    found = within_budget(scores, allowed, gap)
    assert found == best
    assert count(found) == most <= allowed


@given(recordings, gaps)
def test_the_highest_of_the_steps_before(scores: list[np.ndarray], steps: int) -> None:
    values = np.nan_to_num(scores[0])
    wanted = [values[max(i - steps, 0) : i].max(initial=-np.inf) for i in range(len(values))]
    np.testing.assert_array_equal(highest_before(values, steps), wanted)


def test_thresholds_of_quantiles_rise() -> None:
    thresholds = np.linspace(0.1, 0.8, len(RATES)).tolist()
    found = [at_quantile(thresholds, q) for q in (0.2, 0.9, 0.98, 0.99, 0.9999)]
    assert found == sorted(found)
    assert found[1] == pytest.approx(thresholds[5])
    assert found[3] == pytest.approx(thresholds[10])


def test_days_of_recordings() -> None:
    hours = np.datetime64("2024-01-01T00:00:00") + np.arange(48) * np.timedelta64(1, "h")
    assert days([hours, hours[:12]]) == pytest.approx(2.5)
    assert days([hours[:1]]) == 0


def test_channels_that_drive_an_alarm() -> None:
    values = np.ones((20, 3))
    values[10:12] = [9.0, 2.0, 6.0]
    names = ["flow", "heat", "load"]
    assert drivers(values, Alarm(10, 11, 10), 8, names) == ["flow"]
    values[10:12, 0] = 3.0
    assert drivers(values, Alarm(10, 11, 10), 8, names) == ["load"]
    values[10:12] = [5.0, 5.0, 4.0]
    assert drivers(values, Alarm(10, 11, 10), 8, names) == ["flow", "heat"]
    assert drivers(values, Alarm(14, 15, 14), 8, names) == ["flow"], "none is above the usual"
