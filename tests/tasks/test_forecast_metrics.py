"""Losses and metrics of forecasts against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Conformal
from seqfuse.tasks.losses import AbsoluteError, Pinball, SquaredError
from seqfuse.tasks.metrics import Coverage, Crps, NaiveError, PointError, ScaledError
from seqfuse.tasks.schedules import Constant

LEVELS = [0.1, 0.5, 0.9]
# One window, two steps, one target; the second step of a second window is missing.
PREDICTION = torch.tensor([[[[0.0, 1, 2]], [[1.0, 2, 4]]], [[[0.0, 0, 0]], [[5.0, 6, 7]]]])
TARGET = torch.tensor([[[2.0], [5.0]], [[-1.0], [float("nan")]]])


def value(metric, *args, **kwargs) -> float:
    metric.update(*args, **kwargs)
    return float(metric.compute())


def test_point_errors() -> None:
    assert value(PointError(1), PREDICTION, TARGET) == pytest.approx((1 + 3 + 1) / 3)
    assert value(PointError(2), PREDICTION, TARGET) == pytest.approx((1 + 9 + 1) / 3)
    assert AbsoluteError()(PREDICTION, TARGET) == pytest.approx(5 / 3)
    assert SquaredError()(PREDICTION, TARGET) == pytest.approx(11 / 3)


def test_scaled_error_divides_by_the_naive_one() -> None:
    assert value(ScaledError([0.5]), PREDICTION, TARGET) == pytest.approx(5 / 3 / 0.5)


def test_pinball_and_crps_agree_with_scikit_learn() -> None:
    torch.manual_seed(1)
    prediction, target = torch.randn(5, 4, 2, 3).sort(dim=-1).values, torch.randn(5, 4, 2)
    expected = np.mean(
        [
            mean_pinball_loss(target.ravel(), prediction[..., i].ravel(), alpha=level)
            for i, level in enumerate(LEVELS)
        ]
    )
    assert Pinball(LEVELS)(prediction, target) == pytest.approx(expected, rel=1e-5)
    assert value(Crps(LEVELS), prediction, target) == pytest.approx(2 * expected, rel=1e-5)


def test_crps_of_a_median_is_the_mean_absolute_error() -> None:
    median = PREDICTION[..., 1:2]
    assert value(Crps([0.5]), median, TARGET) == pytest.approx(5 / 3)


def test_coverage_counts_ends_and_leaves_out_what_is_missing() -> None:
    assert value(Coverage(LEVELS, 0.8), PREDICTION, TARGET) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match=r"a band of 0.95 needs the quantiles 0.025 and 0.975"):
        Coverage(LEVELS, 0.95)


@pytest.mark.parametrize(("season", "errors"), [(1, [2, 3, 4]), (2, [1, 1, 3]), (9, [4, 4, 4])])
def test_naive_errors(season: int, errors: list[int]) -> None:
    x = torch.tensor([1.0, 2, 3, 4]).reshape(1, 4, 1)
    x = torch.cat([x, torch.zeros(1, 3, 1)], dim=1)  # steps known ahead, masked
    mask = torch.arange(7).unsqueeze(0) < 4
    target = {1: [6.0, 7, 8], 2: [4.0, 5, 6], 9: [5.0, 6, 7]}[season]
    target = torch.tensor(target).reshape(1, 3, 1)
    unused = torch.zeros(1, 3, 1, 1)
    assert value(NaiveError(season), unused, target, x=x, mask=mask) == pytest.approx(
        np.mean(errors)
    )


def test_naive_error_of_the_training_mean() -> None:
    target = torch.tensor([[[1.0], [-3.0], [torch.nan]]])
    x, mask = torch.full((1, 4, 1), 9.0), torch.ones(1, 4, dtype=torch.bool)
    unused = torch.zeros(1, 3, 1, 1)
    assert value(NaiveError(0), unused, target, x=x, mask=mask) == 2
    assert value(NaiveError(0, power=2), unused, target, x=x, mask=mask) == 5


@pytest.mark.parametrize("quantiles", [[0.5, 0.1], [0.1, 0.9], [0.0, 0.5, 1.0], [0.1, 0.4, 0.9]])
def test_quantiles_must_rise_around_the_median(quantiles: list[float]) -> None:
    with pytest.raises(ValueError, match="quantiles="):
        Pinball(quantiles)


def test_conformal_bands_hold_their_share() -> None:
    """Bands that are far too narrow, and those that are too wide, come out right."""
    torch.manual_seed(0)
    levels = [0.025, 0.1, 0.5, 0.9, 0.975]
    conformal = Conformal(levels, [2, 1])
    noise = torch.randn(4000, 2, 1)
    guess = torch.tensor([-9.0, -0.1, 0.0, 0.1, 9.0]).expand(4000, 2, 1, 5)
    conformal.update(guess[:2000], noise[:2000])
    conformal.fit()
    fresh = conformal(guess[2000:])
    assert value(Coverage(levels, 0.8), fresh, noise[2000:]) == pytest.approx(0.8, abs=0.02)
    assert value(Coverage(levels, 0.95), fresh, noise[2000:]) == pytest.approx(0.95, abs=0.01)
    assert torch.equal(fresh[..., 2], guess[2000:, ..., 2])


def test_the_margin_is_the_right_rank() -> None:
    conformal = Conformal(LEVELS, [1, 1])
    target = torch.arange(1.0, 10).reshape(9, 1, 1)  # 1 to 9 above a band of no width at 0
    conformal.update(torch.zeros(9, 1, 1, 3), target)
    conformal.fit()
    assert conformal.margins.flatten().tolist() == [8.0]  # rank (9 + 1) · 0.8


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


def test_metrics_that_agree_once_stay_apart() -> None:
    """A first batch with nothing observed makes all states equal."""
    task = Task(
        *(torch.nn.Linear(1, 1), AbsoluteError()),
        {"mae": PointError(1), "mse": PointError(2)},
        *(torch.optim.Adam, Constant()),
    )
    collection = task.metrics["val_"]
    missing = torch.full((2, 2, 1), float("nan"))
    collection.update(PREDICTION, missing, x=None, mask=None)
    collection.update(PREDICTION, TARGET, x=None, mask=None)
    values = collection.compute()
    assert values["val/mse"] == pytest.approx(11 / 3)
    assert values["val/mae"] == pytest.approx(5 / 3)
