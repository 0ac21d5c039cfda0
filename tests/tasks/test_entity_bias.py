"""The bias towards entities: what is chosen, and on what."""

import pytest
import torch

from seqfuse.runtime.errors import InputError
from seqfuse.tasks.calibration import EntityBias
from seqfuse.tasks.metrics import EntityF1

CLASSES = ["B-a", "I-a", "O"]


def shy() -> tuple[torch.Tensor, torch.Tensor]:
    """Scores that name the right entity, but always two below `O`."""
    y = torch.tensor([[0, 1, 2, 2, -1], [2, 0, 2, 2, 2]])
    scores = torch.zeros(2, 5, 3)
    scores[..., 2] = 3.0
    scores.scatter_(2, y.clamp(min=0).unsqueeze(2), 1.2)
    scores[..., 2] = torch.where(y == 2, 8.0, 3.0)
    return scores, y


@pytest.mark.parametrize("chain", [False, True])
def test_the_smallest_bias_that_is_best(chain: bool) -> None:
    scores, y = shy()
    if chain:
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
