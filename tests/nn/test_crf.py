"""CRFs against every path there is."""

import itertools

import pytest
import torch
from torch import Tensor

from seqfuse.nn.attention import EachStep, Steps
from seqfuse.nn.crf import decode, log_likelihood, marginals
from seqfuse.nn.heads import CrfHead, TagHead
from seqfuse.tasks.losses import TagLoss

LENGTHS = (4, 2, 1)
MASK = torch.arange(4) < torch.tensor(LENGTHS).unsqueeze(1)


def scores(kind: str) -> Tensor:
    head = {"crf": CrfHead, "tags": TagHead}[kind](5, num_classes=3).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return head(torch.randn(3, 4, 5, dtype=torch.float64)).detach()


def weight(row: Tensor, path: tuple[int, ...]) -> float:
    """The score of one path, step by step."""
    if row.dim() == 2:
        return sum(float(row[t, j]) for t, j in enumerate(path))
    before = (0, *path)
    return sum(float(row[t, before[t], j]) for t, j in enumerate(path))


@pytest.mark.parametrize("kind", ["crf", "tags"])
def test_all_paths(kind: str) -> None:
    every = scores(kind)
    tags = torch.tensor([[0, 2, 1, 1], [2, 2, -1, -1], [1, -1, -1, -1]])
    found = log_likelihood(every, tags, MASK)
    best, sure = decode(every, MASK), marginals(every, MASK)
    for i, steps in enumerate(LENGTHS):
        paths = list(itertools.product(range(3), repeat=steps))
        weights = torch.tensor([weight(every[i], path) for path in paths], dtype=torch.float64)
        truth = tuple(tags[i, :steps].tolist())
        wanted = weights.log_softmax(dim=0)[paths.index(truth)]
        torch.testing.assert_close(found[i], wanted)
        assert tuple(best[i, :steps].tolist()) == paths[int(weights.argmax())]
        for t, tag in itertools.product(range(steps), range(3)):
            share = weights.softmax(dim=0)[[path[t] == tag for path in paths]].sum()
            torch.testing.assert_close(sure[i, t, tag], share)


@pytest.mark.parametrize("kind", ["crf", "tags"])
def test_padding_changes_no_loss(kind: str) -> None:
    every = scores(kind)[:, :2]
    tags = torch.tensor([[0, 2], [2, 2], [1, -1]])
    wide = torch.nn.functional.pad(every, (0,) * (2 * (every.dim() - 2)) + (0, 3), value=7.0)
    longer = torch.nn.functional.pad(tags, (0, 3), value=-1)
    loss = TagLoss()
    torch.testing.assert_close(loss(wide, longer), loss(every, tags), rtol=1e-10, atol=1e-10)


def test_the_loss_is_a_mean_over_labelled_steps() -> None:
    every = scores("tags")
    tags = torch.tensor([[0, 2, 1, 1], [2, 2, -1, -1], [1, -1, -1, -1]])
    wanted = torch.nn.functional.cross_entropy(every[tags >= 0], tags[tags >= 0])
    torch.testing.assert_close(TagLoss()(every, tags), wanted)


def test_every_step_looks_at_real_steps_only() -> None:
    attention = EachStep(8, num_heads=2).double().eval()
    states = torch.randn(3, 4, 8, dtype=torch.float64).masked_fill(~MASK.unsqueeze(2), 0.0)
    read, weights = attention(states, MASK)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, 4, dtype=torch.float64))
    assert (weights[~MASK.unsqueeze(1).expand_as(weights)] == 0).all()
    alone, _ = attention(states[2:, :1], MASK[2:, :1])
    torch.testing.assert_close(read[2:, :1], alone, rtol=1e-10, atol=1e-10)


def test_steps_as_they_are() -> None:
    states = torch.randn(3, 4, 8)
    read, weights = Steps(8)(states, MASK)
    assert read is states
    assert weights[0].equal(torch.eye(4))
    assert weights[2].sum() == 1
