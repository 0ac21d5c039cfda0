"""What is fitted on validation: a bias towards entities, conformal bands, thresholds of scores."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.calibration import PEAKS, Conformal, EntityBias, tail_quantile, threshold
from seqfuse.tasks.metrics import Coverage, EntityF1

CLASSES = ["B-a", "I-a", "O"]


def shy() -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that name the right entity, but always two below `O`."""
    y = torch.tensor([[0, 1, 2, 2, -1], [2, 0, 2, 2, 2]])
    scores = torch.zeros(2, 5, 3)
    scores[..., 2] = 3.0
    scores.scatter_(2, y.clamp(min=0).unsqueeze(2), 1.2)
    scores[..., 2] = torch.where(y == 2, 8.0, 3.0)
    return scores, y


@pytest.mark.parametrize("crf", [False, True])
def test_the_smallest_bias_that_is_best(crf: bool) -> None:
    scores, y = shy()
    if crf:
        scores = scores.unsqueeze(2).expand(-1, -1, 3, -1)
    bias, metric = EntityBias(CLASSES), EntityF1(CLASSES)
    assert bias(scores).equal(scores)
    bias.update(scores, y)
    bias.fit()
    assert float(bias.bias) == 2.0
    metric.update(bias(scores), y)
    assert float(metric.compute()) == 1.0


def test_what_was_counted_is_forgotten() -> None:
    scores, y = shy()
    bias = EntityBias(CLASSES)
    bias.update(scores, y)
    bias.clear()
    bias.update(torch.nn.functional.one_hot(y.clamp(min=0), 3).float(), y)
    bias.fit()
    assert float(bias.bias) == 0.0


def test_other_tags() -> None:
    with pytest.raises(InputError, match="'NOUN' is not O, B-<type>"):
        EntityBias(["NOUN", "VERB"])


LEVELS = [0.1, 0.5, 0.9]


def coverage(levels: list[float], level: float, preds: torch.Tensor, y: torch.Tensor) -> float:
    metric = Coverage(levels, level)
    metric.update(preds, y)
    return float(metric.compute())


def test_conformal_bands_hold_their_fraction() -> None:
    """Bands that are far too narrow, and those that are too wide, come out right."""
    torch.manual_seed(0)
    levels = [0.025, 0.1, 0.5, 0.9, 0.975]
    conformal = Conformal(levels, [2, 1])
    noise = torch.randn(4000, 2, 1)
    guess = torch.tensor([-9.0, -0.1, 0.0, 0.1, 9.0]).expand(4000, 2, 1, 5)
    conformal.update(guess[:2000], noise[:2000])
    conformal.fit()
    fresh = conformal(guess[2000:])
    assert coverage(levels, 0.8, fresh, noise[2000:]) == pytest.approx(0.8, abs=0.02)
    assert coverage(levels, 0.95, fresh, noise[2000:]) == pytest.approx(0.95, abs=0.01)
    assert torch.equal(fresh[..., 2], guess[2000:, ..., 2])


def test_the_margin_is_the_right_rank() -> None:
    conformal = Conformal(LEVELS, [1, 1])
    target = torch.arange(1.0, 10).reshape(9, 1, 1)  # 1 to 9 above a band of no width at 0
    conformal.update(torch.zeros(9, 1, 1, 3), target)
    conformal.fit()
    assert conformal.margins.flatten().tolist() == [8.0]  # rank (9 + 1) · 0.8


def test_margins_are_the_same_beside_a_target_that_is_missing() -> None:
    prediction, y = torch.randn(50, 4, 2, 3).sort().values, torch.randn(50, 4, 2)
    whole, other = Conformal(LEVELS, [4, 2]), Conformal(LEVELS, [4, 2])
    whole.update(prediction, y)
    other.update(torch.cat([prediction, prediction[:1]]), torch.cat([y, torch.nan * y[:1]]))
    for conformal in (whole, other):
        conformal.fit()
    assert torch.equal(whole.margins, other.margins)


def test_margins_come_back_from_a_checkpoint() -> None:
    conformal, other = Conformal(LEVELS, [4, 2]), Conformal(LEVELS, [4, 2])
    conformal.update(torch.zeros(9, 4, 2, 3), torch.rand(9, 4, 2))
    conformal.fit()
    other.load_state_dict(conformal.state_dict())
    torch.testing.assert_close(other.margins, conformal.margins)


def test_wider_bands_hold_narrower_ones() -> None:
    levels = [0.025, 0.1, 0.5, 0.9, 0.975]
    conformal = Conformal(levels, [1, 1])
    conformal.margins.copy_(torch.tensor([-3.0, 2.0]).reshape(2, 1, 1))
    out = conformal(torch.tensor([-4.0, -1, 0, 1, 4]).expand(3, 1, 1, 5))
    assert out[0, 0, 0].tolist() == [-3, -3, 0, 3, 3]


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
