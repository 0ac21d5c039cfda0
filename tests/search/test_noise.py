"""Differences between settings, held against scipy's own tests."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seqfuse.search.noise import (
    against,
    by_set,
    differences,
    over_sets,
    verdict,
    verdict_over_sets,
)


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
    assert "seed=0,1,2,3,4" in verdict("loss", ["a", "b"], [series([0.1]), series([0.3])]).text


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


def over(table: list[list[float]]) -> pd.Series:
    """The metric by data set and seed, from rows of data sets and columns of seeds."""
    places = [(f"set {i}", seed) for i, row in enumerate(table) for seed in range(len(row))]
    return pd.Series([value for row in table for value in row], pd.MultiIndex.from_tuples(places))


def signed_rank(values: list[float]) -> float:
    """Two-sided p-value by counting every choice of signs (Wilcoxon 1945)."""
    ranks = stats.rankdata(np.abs(values))
    signs = np.array(list(itertools.product((-1, 1), repeat=len(values))))
    sums = signs @ np.where(np.equal(values, 0), 0, ranks)
    found = abs(np.sign(values) @ ranks)
    return float((np.abs(sums) >= found - 1e-9).mean())


@pytest.mark.parametrize(
    "gains", [[3, 1, -2, 5, 4, 7, 6, 8], [1, 1, -1, 2, 0, 0, 2, -3], [1, 1, 1, 1, 1, 1], [0] * 6]
)
def test_signed_ranks_are_counted_over_every_choice_of_signs(gains: list[float]) -> None:
    first = over([[0.5]] * len(gains))
    other = over([[0.5 + gain / 64] for gain in gains])
    [row] = over_sets(["a", "b"], [first, other])
    assert row.p == pytest.approx(signed_rank(gains))
    assert (row.wins, row.ties) == (sum(g > 0 for g in gains), gains.count(0))
    assert row.wins + row.ties + row.losses == len(gains)
    assert row.low <= np.mean(gains) / 64 <= row.high


@pytest.mark.long
def test_over_many_sets_the_p_value_is_that_of_random_signs() -> None:
    gains = np.random.default_rng(1).integers(-3, 6, 25) / 64
    [row] = over_sets(["a", "b"], [over([[0.5]] * 25), over([[0.5 + gain] for gain in gains])])
    signs = stats.PermutationMethod(n_resamples=20_000, rng=np.random.default_rng(0))
    assert row.p == pytest.approx(stats.wilcoxon(gains, method=signs).pvalue, abs=0.01)


def test_seeds_are_no_further_sets() -> None:
    gains = [3, 1, -2, 5, 4, 7]
    one = over_sets(["a", "b"], [over([[0.0]] * 6), over([[gain] for gain in gains])])
    ten = [[gain + seed - 4.5 for seed in range(10)] for gain in gains]
    many = over_sets(["a", "b"], [over([[0.0] * 10] * 6), over(ten)])
    assert many[0].p == pytest.approx(one[0].p)
    assert many[0].p > 0.05


def test_only_runs_of_both_settings_count() -> None:
    first, other = over([[0.5, 0.9]] * 7), over([[0.6, 0.0]] * 7)
    other = other.drop([("set 6", 0), ("set 6", 1)])[lambda row: row.index.get_level_values(1) == 0]
    [row] = over_sets(["a", "b"], [first, other])
    assert row.differences.to_numpy() == pytest.approx([0.1] * 6)


def test_five_wins_of_five_are_too_few() -> None:
    values = [over([[0.5]] * 5), over([[0.6]] * 5)]
    [row] = over_sets(["a", "b"], values)
    assert math.isnan(row.p)
    assert row.is_noise
    assert "at least 6" in verdict_over_sets("accuracy", ["a", "b"], values)


@pytest.mark.long
def test_settings_are_corrected_for_and_less_can_be_better() -> None:
    rng = np.random.default_rng(0)
    shifts = {"a": 0.0, "b": -0.2, "c": 0.2, "d": 0.0}
    values = [over(list(rng.normal(size=(12, 3)) / 10 + shift)) for shift in shifts.values()]
    rows = over_sets([*shifts], values, "min")
    alone = [over_sets(["a", "other"], [values[0], each])[0].p for each in values[1:]]
    assert rows[np.argmin(alone)].p == pytest.approx(min(1.0, 3 * min(alone)))
    assert [row.is_better for row in rows[:2]] == [True, False]
    answer = verdict_over_sets("loss", [*shifts], values, "min").splitlines()
    assert ["better" in line for line in answer[:3]] == [True, False, False]
    assert answer[1].endswith("more than noise, and worse.")
    assert answer[2].endswith("within noise.")


def test_each_set_is_judged_by_its_seeds() -> None:
    first = over([[0.5, 0.6, 0.7], [0.5, 0.6, 0.7], [0.9, 0.9, 0.9]])
    other = over([[0.6, 0.71, 0.79], [0.7, 0.5, 0.6], [0.9, 0.9, 0.9]])
    rows = by_set(first, other)
    alone = [stats.ttest_rel(other[row.setting], first[row.setting]).pvalue for row in rows[:2]]
    assert [row.p for row in rows] == pytest.approx([3 * alone[0], 1.0, 1.0])
    assert [row.is_noise for row in rows] == [False, True, True]
