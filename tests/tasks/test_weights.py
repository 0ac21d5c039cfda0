"""Weights of items in training."""

import torch

from seqfuse.tasks.losses import CrossEntropy, weigh


def test_a_gradient_is_that_of_the_weighted_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(6, 3, generator=generator, requires_grad=True)
    y, weight = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 1.0])
    loss = CrossEntropy(label_smoothing=0.1)
    loss(weigh(scores, weight), y).backward()
    found, scores.grad = scores.grad, None
    each = torch.stack([loss(scores[i : i + 1], y[i : i + 1]) for i in range(6)])
    (each * weight).mean().backward()
    torch.testing.assert_close(found, scores.grad)
    numbers = torch.zeros(2, 3, 4, requires_grad=True)
    weigh(numbers, torch.tensor([2.0, 0.5])).sum().backward()
    assert numbers.grad[:, 0, 0].tolist() == [2.0, 0.5]
