"""What students learn from teachers, against scipy's entropy and enumerated chains."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from seqfuse.runtime.labels import NO_LABEL
from seqfuse.tasks.distill import SameOutputs, SoftTargets

T = 3.0


def softened(scores: torch.Tensor) -> np.ndarray:
    powers = np.exp(scores.double().numpy() / T)
    return powers / powers.sum(axis=-1, keepdims=True)


def test_soft_targets_are_the_divergence_from_the_mean_of_the_teachers() -> None:
    student, one, two = torch.randn(3, 5, 4)
    wanted = (softened(one) + softened(two)) / 2
    expected = T**2 * entropy(wanted, softened(student), axis=1).mean()
    found = SoftTargets(T)(student, [one, two], torch.arange(5) % 4)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert SoftTargets(T)(one, [one], torch.zeros(5).long()).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_is_that_of_the_softened_scores() -> None:
    student, teacher = torch.randn(2, 5, 4)
    student.requires_grad_()
    SoftTargets(T)(student, [teacher], torch.zeros(5).long()).backward()
    expected = T * (softened(student.detach()) - softened(teacher)) / 5
    np.testing.assert_allclose(student.grad, expected, rtol=1e-4, atol=1e-6)


def test_steps_without_a_label_do_not_count() -> None:
    student, teacher = torch.randn(2, 2, 3, 4)
    y = torch.tensor([[1, 2, 0], [3, NO_LABEL, NO_LABEL]])
    real = (y != NO_LABEL).numpy()
    each = entropy(softened(teacher), softened(student), axis=2)
    found = SoftTargets(T)(student, [teacher], y)
    assert found.item() == pytest.approx(T**2 * each[real].mean(), rel=1e-5)
    student[1, 1:] += 9
    torch.testing.assert_close(SoftTargets(T)(student, [teacher], y), found)


def test_a_chain_matches_the_probabilities_of_its_steps() -> None:
    student, teacher = torch.randn(2, 1, 3, 2, 2)
    for scores in (student, teacher):
        scores[:, 0] = scores[:, 0, :1]  # at the first step all rows are alike
    found = SoftTargets(T)(student, [teacher], torch.zeros(1, 3).long())
    each = entropy(by_paths(teacher), by_paths(student), axis=1)
    assert found.item() == pytest.approx(T**2 * each.mean(), rel=1e-4)


def by_paths(scores: torch.Tensor) -> np.ndarray:
    """(t k) of one chain: the share of each tag in the weight of all paths."""
    shares = np.zeros((3, 2))
    for path in itertools.product(range(2), repeat=3):
        before = (0, *path[:-1])
        weight = sum(scores[0, t, before[t], path[t]].item() for t in range(3)) / T
        shares[range(3), path] += np.exp(weight)
    return shares / shares.sum(axis=1, keepdims=True)


def test_forecasts_match_the_mean_of_the_teachers() -> None:
    student, one, two = torch.randn(3, 2, 4, 3, 5)
    y = torch.randn(2, 4, 3)
    y[0, 1:] = torch.nan
    distance = (student - (one + two) / 2).abs().mean(dim=-1)
    expected = distance[~y.isnan()].mean()
    torch.testing.assert_close(SameOutputs()(student, [one, two], y), expected)


def test_a_temperature_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        SoftTargets(0)
