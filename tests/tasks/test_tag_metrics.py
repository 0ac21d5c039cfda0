"""Metrics of tags against scikit-learn's, and spans against values that seqeval publishes."""

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.metrics import EntityF1, TokenAccuracy, TokenF1, spans

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
