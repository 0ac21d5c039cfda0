"""Differences between settings, held against scipy's own tests."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seqfuse.search.noise import against, differences, verdict


def series(values: list[float]) -> pd.Series:
    return pd.Series(values, index=range(len(values)), dtype=float)


def test_the_same_seeds_are_paired() -> None:
    best, other = series([0.1, 0.2, 0.3, 0.5]), series([0.2, 0.25, 0.5, 0.6])
    expected = stats.ttest_rel(other, best)
    interval = expected.confidence_interval(0.95)
    assert against(best, other) == pytest.approx((0.1125, *interval, expected.pvalue))


def test_other_seeds_are_not() -> None:
    best, other = series([0.1, 0.2, 0.3]), series([0.2, 0.25, 0.5, 0.6, 0.1])
    expected = stats.ttest_ind(other, best, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert against(best, other)[1:] == pytest.approx((*interval, expected.pvalue))


def test_one_run_each_has_no_interval() -> None:
    difference, *rest = against(series([0.1]), series([0.3]))
    assert difference == pytest.approx(0.2)
    assert all(math.isnan(value) for value in rest)
    assert "seed=0,1,2,3,4" in verdict("loss", ["a", "b"], [series([0.1]), series([0.3])])


def test_of_many_settings_more_is_asked() -> None:
    rng = np.random.default_rng(0)
    values = [series(list(rng.normal(size=5) + shift)) for shift in (0, 1, 2, 9)]
    rows = differences(list("abcd"), values)
    alone = [against(values[0], other)[3] for other in values[1:]]
    order = np.argsort(alone)
    assert rows[order[0]].p == pytest.approx(min(1.0, 3 * alone[order[0]]))
    assert rows[order[2]].p >= alone[order[2]]
    assert [rows[i].p for i in order] == sorted(row.p for row in rows)


def test_equal_results_are_noise_and_a_constant_gap_is_not() -> None:
    same, worse = differences(["a", "b", "c"], [series([1, 2]), series([1, 2]), series([2, 3])])
    assert (same.is_noise, same.p) == (True, 1.0)
    assert (worse.is_noise, worse.mean) == (False, 1.0)
