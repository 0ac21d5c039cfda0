"""Losses, metrics and schedules against formulas and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.losses import CrossEntropy
from seqfuse.tasks.metrics import BalancedAccuracy, BatchMean, CalibrationError
from seqfuse.tasks.schedules import Constant, Cosine, OneCycle, Plateau


def sgd(lr: float = 1.0) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(schedule, steps: int) -> list[float]:
    optimizer = sgd()
    scheduler = schedule(optimizer, steps)["scheduler"]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_balanced_weights_are_scikit_learn_s() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    loss = CrossEntropy(class_weights="balanced", class_counts=[6, 3, 1])
    np.testing.assert_allclose(loss.weight, expected, rtol=1e-6)
    assert "weight" not in loss.state_dict()


def test_label_smoothing_is_torch_s() -> None:
    scores, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = torch.nn.functional.cross_entropy(scores, y, label_smoothing=0.2)
    assert torch.equal(CrossEntropy(label_smoothing=0.2)(scores, y), expected)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"class_weights": "odd"}, "class_weights=odd must be none, balanced or a list"),
        ({"class_weights": [1.0], "class_counts": [3, 4]}, "needs one number above 0 per class"),
        (
            {"class_weights": [1.0, -1.0], "class_counts": [3, 4]},
            "needs one number above 0 per class",
        ),
    ],
)
def test_loss_ranges(knobs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropy(**knobs)


def test_balanced_accuracy_where_a_class_never_occurs() -> None:
    truth, guess = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 2, 1, 1, 0])
    metric = BalancedAccuracy(num_classes=3)
    metric.update(guess, truth)
    with pytest.warns(UserWarning, match="classes not in y_true"):
        expected = balanced_accuracy_score(truth.numpy(), guess.numpy())
    assert metric.compute().item() == pytest.approx(expected)


def test_calibration_error_takes_scores_of_any_size() -> None:
    scores, truth = torch.tensor([[0.1, 0.9], [0.2, 0.8]]), torch.tensor([1, 1])
    metric = CalibrationError(num_classes=2, n_bins=10)
    metric.update(scores, truth)
    confidence = scores.softmax(dim=-1).max(dim=-1).values
    assert metric.compute().item() == pytest.approx((1 - confidence).mean().item(), abs=1e-6)


def test_batch_mean_weighs_items_and_shows_nan() -> None:
    mean = BatchMean()
    mean.update(torch.tensor(1.0), 3)
    mean.update(torch.tensor(5.0), 1)
    assert mean.compute().item() == 2
    mean.update(torch.tensor(float("nan")), 1)
    assert mean.compute().isnan()


def test_cosine_warms_up_and_ends_at_its_final_share() -> None:
    found = rates(Cosine(warmup=0.2, final=0.1), 50)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1)
    assert found.index(max(found)) in (9, 10)
    assert found[-1] == pytest.approx(0.1, abs=0.01)


def test_one_cycle_peaks_at_the_optimizer_s_rate() -> None:
    found = rates(OneCycle(warmup=0.3, start=0.1), 50)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1, rel=1e-3)
    assert found[-1] < 0.01


def test_constant() -> None:
    assert set(rates(Constant(), 5)) == {1.0}


def test_plateau_waits_and_halves() -> None:
    optimizer = sgd()
    schedule = Plateau(patience=3)(optimizer, 0)
    assert schedule["monitor"] == "val/loss"
    found = []
    for _ in range(6):
        schedule["scheduler"].step(1.0)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 1, 0.5, 0.5]


@pytest.mark.parametrize("schedule", [Cosine(), OneCycle()])
def test_a_schedule_with_an_end_needs_one(schedule) -> None:
    with pytest.raises(InputError, match="set trainer.max_epochs or trainer.max_steps"):
        schedule(sgd(), 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plateau(monitor="val/accuracy"),
        lambda: Plateau(factor=1.0),
        lambda: Plateau(patience=-1),
        lambda: Cosine(warmup=1.0),
        lambda: OneCycle(start=0.0),
    ],
)
def test_schedule_ranges(make) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
