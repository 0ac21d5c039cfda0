"""Metrics of tags against scikit-learn's and seqeval's."""

import pytest
import torch
from seqeval.metrics import f1_score as spans_f1
from sklearn.metrics import accuracy_score, f1_score

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.metrics import EntityF1, TokenAccuracy, TokenMacroF1

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
    accuracy, macro = TokenAccuracy(5), TokenMacroF1(5)
    truth, guess = [], []
    for scores, y in batches():
        accuracy.update(scores, y)
        macro.update(scores, y)
        truth += y[y >= 0].tolist()
        guess += scores.argmax(dim=-1)[y >= 0].tolist()
    assert float(accuracy.compute()) == pytest.approx(accuracy_score(truth, guess))
    assert float(macro.compute()) == pytest.approx(f1_score(truth, guess, average="macro"))


def test_spans_are_those_of_seqeval() -> None:
    metric, truth, guess = EntityF1(CLASSES), [], []
    for scores, y in batches():
        metric.update(scores, y)
        for row, best in zip(y, scores.argmax(dim=-1), strict=True):
            truth.append([CLASSES[i] for i in row[row >= 0].tolist()])
            guess.append([CLASSES[i] for i in best[row >= 0].tolist()])
    found = float(metric.compute())
    assert 0.1 < found < 0.9
    assert found == pytest.approx(spans_f1(truth, guess))


def test_no_spans_at_all() -> None:
    metric = EntityF1(CLASSES)
    metric.update(torch.eye(5)[[4, 4]].unsqueeze(0), torch.tensor([[4, 4]]))
    assert float(metric.compute()) == 0


def test_other_tags_than_bio() -> None:
    with pytest.raises(InputError, match=r"'NOUN' is not O, B-<type> .*task=tagging"):
        EntityF1(["NOUN", "VERB"])
