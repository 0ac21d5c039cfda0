"""Thresholds of scores: how often new ones exceed them."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from seqfuse.tasks.calibration import PEAKS, tail_quantile, threshold

ERRORS: dict[str, Any] = {
    "normal": stats.norm(10),
    "exponential": stats.expon(),
    "skewed": stats.lognorm(0.3),
    "heavy": stats.t(5),
}


@pytest.mark.parametrize("quantile", [0.99, 0.999])
@pytest.mark.parametrize("size", [12, 50, 400, 4000])
@pytest.mark.parametrize("name", ERRORS)
def test_as_many_exceed_it_as_was_promised(name: str, size: int, quantile: float) -> None:
    """On average over samples, of which the smaller hold no value so rare."""
    errors = ERRORS[name]
    samples = errors.rvs((1000, size), random_state=np.random.default_rng(0))
    found = [tail_quantile(one, np.ones(size), quantile) for one in samples]
    rate = float(np.mean(errors.sf(found))) / (1 - quantile)
    assert rate < 3
    assert rate > 1 / 3 or size < 50  # so few err on the safe side


def test_a_quantile_of_very_many_values_is_one_of_them() -> None:
    values = np.random.default_rng(0).normal(size=100_000)
    found = tail_quantile(values, np.ones(len(values)), 0.99)
    assert found == pytest.approx(np.quantile(values, 0.99), abs=1e-2)


def scores(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.3, size)


def test_neighbouring_steps_with_one_score_count_as_one() -> None:
    found = threshold(np.repeat(scores(160), 4), scores(0), 4 * PEAKS, 0.999)
    assert found == pytest.approx(threshold(scores(160), scores(0), PEAKS, 0.999), rel=1e-9)


def test_training_steps_count_where_few_are_held_out() -> None:
    few, many = scores(20), scores(1000)
    strange = scores(500) + 0.4
    assert threshold(few, strange, 40, 0.999) > 0.7 > 0.5 > threshold(many, strange, 40, 0.999)
    assert threshold(many, strange, 40, 0.999) == threshold(many, scores(0), 40, 0.999)
    nothing = np.full(5, np.nan)
    assert np.isnan(threshold(nothing, nothing, 40, 0.999))
    assert 0.3 < threshold(nothing, many, 40, 0.999) < 0.6


def test_the_fewer_scores_there_are_the_higher_is_the_threshold() -> None:
    found = [threshold(scores(size), scores(0), 8, 0.999) for size in (20, 60, 160, 2000)]
    assert found == sorted(found, reverse=True)
    assert 0.3 < found[-1] < found[0] < 1


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_scores_that_are_all_the_same(score: float) -> None:
    assert threshold(np.full(400, score), scores(0), 8, 0.99) == pytest.approx(score)
