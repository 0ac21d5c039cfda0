"""Metrics and losses against scikit-learn's, seqeval's and numbers worked out by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_pinball_loss,
    roc_auc_score,
)
from sklearn.utils.class_weight import compute_class_weight

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.tasks.losses import AbsoluteError, CrossEntropy, Pinball, SquaredError
from seqfuse.tasks.metrics import (
    Auroc,
    BalancedAccuracy,
    BatchMean,
    CalibrationError,
    Coverage,
    Crps,
    DriftError,
    EntityF1,
    MeanError,
    MotionAuroc,
    NaiveError,
    PointError,
    ScaledError,
    ScoreAuroc,
    TokenAccuracy,
    TokenF1,
    auroc,
    spans,
)
from seqfuse.tasks.schedules import Constant


@pytest.mark.parametrize("classes", [2, 4])
def test_auroc_over_batches(classes: int) -> None:
    scores, truth = torch.randn(60, classes), torch.arange(60) % classes
    metric = Auroc()
    for rows in torch.arange(60).split(17):
        metric.update(scores[rows], truth[rows])
    wanted = [
        roc_auc_score(truth == k, p) for k, p in enumerate(scores.softmax(dim=1).unbind(dim=1))
    ]
    assert metric.compute().item() == pytest.approx(sum(wanted) / classes, abs=1e-6)


def test_ties_count_half_and_one_side_alone_is_nan() -> None:
    score = torch.tensor([1.0, 2.0, 2.0, 3.0])
    positive = torch.tensor([False, False, True, True])
    assert auroc(score, positive).item() == roc_auc_score(positive, score)
    assert auroc(score, positive | True).isnan()


def test_scores_and_their_baseline() -> None:
    x = torch.zeros(2, 3, 3, 8, 8, dtype=torch.uint8)
    x[1, 1] = 255
    mask, truth = torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1])
    scores, baseline = ScoreAuroc(), MotionAuroc()
    scores.update(torch.tensor([2.0, 1.0]), truth)
    baseline.update(torch.tensor([2.0, 1.0]), truth, x=x, mask=mask)
    assert scores.compute() == 0
    assert baseline.compute() == 1


def test_balanced_weights_are_scikit_learn_s() -> None:
    y = np.array([0] * 6 + [1] * 3 + [2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    loss = CrossEntropy(class_weights="balanced", class_counts=[6, 3, 1])
    np.testing.assert_allclose(loss.weight, expected, rtol=1e-6)
    assert "weight" not in loss.state_dict()


def test_label_smoothing_is_torch_s() -> None:
    scores, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    expected = torch.nn.functional.cross_entropy(scores, y, label_smoothing=0.2)
    assert torch.equal(CrossEntropy(label_smoothing=0.2)(scores, y), expected)


@pytest.mark.parametrize("shape", [(4, 1), (4, 2), (4, 3, 1), (4,)])
def test_a_head_of_too_few_classes_is_one_line(shape: tuple[int, ...]) -> None:
    loss = CrossEntropy(class_counts=[2, 1, 1])
    with pytest.raises(InputError, match=r"3 classes.*num_classes: \$\{data.num_classes\}"):
        loss(torch.zeros(shape), torch.tensor([0, 1, 2, 0]))
    assert loss(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])) > 0


@pytest.mark.parametrize(
    ("options", "message"),
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
def test_loss_ranges(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropy(**options)


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


CLASSES = ["B-a", "B-b", "I-a", "I-b", "O"]


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    found = []
    for steps in (7, 5, 9):
        y = torch.randint(0, 5, (6, steps))
        lengths = torch.randint(1, steps + 1, (6, 1))
        y[torch.arange(steps).expand(6, -1) >= lengths] = -1
        scores = torch.randn(6, steps, 5) + 2 * torch.nn.functional.one_hot(y.clamp(min=0), 5)
        found.append((scores, y))
    return found


def test_metrics_of_steps() -> None:
    accuracy, macro = TokenAccuracy(5, average="micro"), TokenF1(5, average="macro")
    truth, guess = [], []
    for scores, y in batches():
        accuracy.update(scores, y)
        macro.update(scores, y)
        truth += y[y >= 0].tolist()
        guess += scores.argmax(dim=-1)[y >= 0].tolist()
    assert float(accuracy.compute()) == pytest.approx(accuracy_score(truth, guess))
    assert float(macro.compute()) == pytest.approx(f1_score(truth, guess, average="macro"))


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 1), ("LOC", 3, 3)]),  # of its documentation
        ("I-a I-a O I-b", [("a", 0, 1), ("b", 3, 3)]),
        ("B-a I-b I-b B-b", [("a", 0, 0), ("b", 1, 2), ("b", 3, 3)]),
        ("B-a B-a I-a", [("a", 0, 0), ("a", 1, 2)]),
        ("O I-a B-a I-a O", [("a", 1, 1), ("a", 2, 3)]),
        ("B-a-b I-a-b I-a", [("a-b", 0, 1), ("a", 2, 2)]),
        ("O O", []),
        ("", []),
    ],
)
def test_spans_are_those_of_seqeval(tags: str, wanted: list[tuple[str, int, int]]) -> None:
    assert spans(tags.split()) == wanted


def test_f1_is_that_of_seqeval() -> None:
    """The example of its README: 0.5; then more rows, whose values are its own."""
    classes = ["B-MISC", "B-PER", "I-MISC", "I-PER", "O"]
    metric = EntityF1(classes)
    rows = [
        ("O O O B-MISC I-MISC I-MISC O", "O O B-MISC I-MISC I-MISC I-MISC O"),
        ("B-PER I-PER O", "B-PER I-PER O"),
        ("O I-PER I-PER O", "B-PER I-PER I-PER O"),
        ("I-MISC B-MISC", "I-MISC I-MISC"),
    ]
    wanted = [0.0, 0.5, 1 / 3, 2 / 9]
    for (truth, guess), f1 in zip(rows, wanted, strict=True):
        y, best = (torch.tensor([[*map(classes.index, row.split()), 4]]) for row in (truth, guess))
        y[:, -1] = -1  # padding
        metric.update(torch.eye(5)[best], y)
        assert float(metric.compute()) == pytest.approx(f1)


def test_no_spans_at_all() -> None:
    metric = EntityF1(CLASSES)
    metric.update(torch.eye(5)[[4, 4]].unsqueeze(0), torch.tensor([[4, 4]]))
    assert float(metric.compute()) == 0


def test_other_tags_than_bio() -> None:
    with pytest.raises(InputError, match=r"'NOUN' is not O, B-<type> .*task=tagging"):
        EntityF1(["NOUN", "VERB"])


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


def test_drift_goes_on_with_the_line_through_both_ends() -> None:
    x = torch.tensor([1.0, 9, 2, 4]).reshape(1, 4, 1)
    x = torch.cat([x, torch.zeros(1, 3, 1)], dim=1)  # steps known ahead, masked
    mask = torch.arange(7).unsqueeze(0) < 4
    target = torch.tensor([5.0, torch.nan, 9.0]).reshape(1, 3, 1)  # the line: 5, 6, 7
    unused = torch.zeros(1, 3, 1, 1)
    assert value(DriftError(), unused, target, x=x, mask=mask) == pytest.approx(1)
    assert value(DriftError(2), unused, target, x=x, mask=mask) == pytest.approx(2)
    short = torch.ones(1, 1, 1, dtype=torch.bool)[..., 0]
    assert value(DriftError(), unused, target, x=x[:, :1], mask=short) == pytest.approx(6)


def test_naive_error_of_the_training_mean() -> None:
    target = torch.tensor([[[1.0], [-3.0], [torch.nan]]])
    unused = torch.zeros(1, 3, 1, 1)
    assert value(MeanError(), unused, target) == 2
    assert value(MeanError(power=2), unused, target) == 5


@pytest.mark.parametrize("quantiles", [[0.5, 0.1], [0.1, 0.9], [0.0, 0.5, 1.0], [0.1, 0.4, 0.9]])
def test_quantiles_must_rise_around_the_median(quantiles: list[float]) -> None:
    with pytest.raises(ValueError, match="quantiles="):
        Pinball(quantiles)


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
