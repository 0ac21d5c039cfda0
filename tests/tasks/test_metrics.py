"""Areas under ROC curves, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from seqfuse.tasks.metrics import Auroc, MotionAuroc, ScoreAuroc, auroc


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
