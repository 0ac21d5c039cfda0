"""Any number of labels per item: loss, metrics and thresholds against scikit-learn's."""

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from torch import Tensor

from seqfuse.nn.attention import Mean
from seqfuse.nn.heads import ClassHead
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import LabelThresholds
from seqfuse.tasks.losses import BinaryCrossEntropy
from seqfuse.tasks.metrics import HammingLoss, LabelF1, SubsetAccuracy
from seqfuse.tasks.schedules import Constant


def items(n: int = 80) -> tuple[Tensor, Tensor]:
    """Scores, some of them all between 0 and 1, and labels that they know a little of."""
    y = (torch.rand(n, 3) < torch.tensor([0.1, 0.5, 0.7])).long()
    scores = torch.randn(n, 3) + y - torch.tensor([2.0, 0.5, -1.0])
    scores[:10] = scores[:10].sigmoid()
    return scores, y


def test_the_loss_is_torch_s() -> None:
    scores, y = items()
    wanted = torch.nn.BCEWithLogitsLoss()(scores, y.float())
    assert torch.equal(BinaryCrossEntropy()(scores, y), wanted)
    with pytest.raises(InputError, match="task=multilabel .* type task=classification"):
        BinaryCrossEntropy()(scores, y[:, 0])


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (LabelF1(3, average="macro"), lambda y, p: f1_score(y, p, average="macro")),
        (SubsetAccuracy(3), accuracy_score),
        (HammingLoss(3), hamming_loss),
    ],
)
def test_metrics_are_those_of_scikit_learn(metric, wanted) -> None:
    scores, y = items()
    for rows in torch.arange(80).split(10):
        metric.update(scores[rows], y[rows])
    assert float(metric.compute()) == pytest.approx(wanted(y.numpy(), (scores > 0).numpy()))


@pytest.mark.long
def test_thresholds_give_the_best_f1() -> None:
    scores, y = items()
    scores[20:40] = scores[:20]  # equal scores are on one side
    calibrator = LabelThresholds(3)
    assert calibrator(scores).equal(scores)
    for rows in torch.arange(80).split(33):
        calibrator.update(scores[rows], y[rows])
    calibrator.fit()
    for k, label in enumerate(y.T):
        best = max(f1_score(label, scores[:, k] >= cut) for cut in scores[:, k])
        assert f1_score(label, calibrator(scores)[:, k] > 0) == pytest.approx(best)
    other = LabelThresholds(3)
    other.load_state_dict(calibrator.state_dict())
    assert other(scores).equal(calibrator(scores))


def test_a_label_that_does_not_occur_and_one_that_always_does() -> None:
    calibrator = LabelThresholds(2)
    calibrator.fit()  # nothing was counted
    scores = torch.tensor([[-1.0, -3.0], [2.0, -1.0]])
    calibrator.update(scores, torch.tensor([[0, 1], [0, 1]]))
    calibrator.fit()
    assert calibrator.thresholds[0] == 0
    assert (calibrator(scores)[:, 1] > 0).all()
    calibrator.update(scores, torch.tensor([[1, 1], [1, 1]]))
    calibrator.clear()
    calibrator.fit()
    assert calibrator.thresholds[0] == 0


@pytest.mark.long
def test_one_batch_is_overfitted() -> None:
    net = Net(ClassHead(6, num_classes=3), attention=Mean(6))
    x, mask = torch.randn(4, 5, 6), torch.ones(4, 5, dtype=torch.bool)
    batch = Batch(
        x, mask, torch.tensor([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]]), torch.arange(4)
    )
    task = Task(net, BinaryCrossEntropy(), {"f1": LabelF1(3)}, torch.optim.Adam, Constant())
    optimizer = torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
    task.test_step(batch, 0)
    assert task.metrics["test_"].compute()["test/f1"] == 1


def drawn(n: int = 4000) -> tuple[Tensor, Tensor]:
    """Scores, and labels drawn by their probabilities."""
    scores = 2 * torch.randn(n, 3) - 1
    return scores, (torch.rand(n, 3) < scores.sigmoid()).long()


@pytest.mark.parametrize("factor", [0.3, 4.0])
def test_a_temperature_undoes_a_factor_and_changes_no_label(factor: float) -> None:
    scores, y = drawn()
    plain, calibrator = LabelThresholds(3), LabelThresholds(3)
    for each, given in ((plain, scores), (calibrator, factor * scores)):
        each.update(given, y)
        each.fit()
    assert float(calibrator.temperature) == pytest.approx(factor, rel=0.08)
    predicted = calibrator(factor * scores) > 0
    assert torch.equal(predicted, plain(scores) > 0)
    scale = calibrator.metadata()["label_scale"]
    moved = torch.tensor(scale["thresholds"]) / scale["temperature"]
    assert torch.equal(predicted, calibrator.scaled(factor * scores) > moved)
    rows, labels = calibrator.rows(calibrator.scaled(factor * scores), y)
    error = calibrator.metrics()["calibration_error"]
    error.update(rows, labels)
    assert float(error.compute()) < 0.02


def test_thresholds_of_an_older_checkpoint_have_no_temperature() -> None:
    calibrator = LabelThresholds(2)
    calibrator.load_state_dict({"thresholds": torch.ones(2)})
    assert not calibrator.is_fitted
    assert calibrator.metadata() == {}
