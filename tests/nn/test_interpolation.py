"""Corrections of an interpolation: none at the beginning, and none that padding changes."""

import pytest
import torch

from seqfuse.nn import EachStep, Interpolation, Lstm, Net, StepHead
from seqfuse.nn.shapes import Output

B, T, K, C = 3, 12, 2, 3
"""Windows, steps, targets, and columns: the targets and one covariate."""


def net(moved: bool = True) -> Net:
    torch.manual_seed(0)
    head = StepHead(8, num_targets=K, quantiles=[0.1, 0.5, 0.9])
    if moved:
        torch.nn.init.normal_(head.linear.weight)
    lstm = Lstm(2 * C, 4, 1, bidirectional=True, dropout=0.0)
    part = Interpolation(2 * C, C, K)
    made = Net(head, None, None, lstm, EachStep(8, 2), normalization=part)
    return made.double().eval()


def batch() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(B, T, C, generator=draw, dtype=torch.float64)
    seen = (torch.rand(B, T, C, generator=draw) < 0.7).double()
    return torch.cat([values, seen], dim=2)


def test_an_untrained_net_says_the_interpolation() -> None:
    x = batch()
    output: Output = net(moved=False)(x)
    assert output.prediction.shape == (B, T, K, 3)
    for i in range(3):
        torch.testing.assert_close(output.prediction[..., i], x[..., :K])


def test_a_level_is_passed_through() -> None:
    """Columns are centred by what is seen: a shift of all of them shifts the answer."""
    x, made = batch(), net()
    shift = torch.tensor([5.0, -3.0, 9.0, 0, 0, 0], dtype=torch.float64)
    first, second = made(x).prediction, made(x + shift).prediction
    torch.testing.assert_close(second - first, shift[:K].reshape(1, 1, K, 1).expand_as(first))


def test_what_is_not_seen_does_not_count_for_the_level() -> None:
    part, x = Interpolation(2 * C, C, K), batch()
    mask = torch.ones(B, T, dtype=torch.bool)
    centred = part.normalize(x, mask).x
    seen = x[..., C:]
    mean = (centred[..., :C] * seen).sum(dim=1) / seen.sum(dim=1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-12, rtol=0)


def test_padding_changes_nothing() -> None:
    x, made = batch(), net()
    padded = torch.cat([x, torch.full((B, 5, 2 * C), 7.0, dtype=torch.float64)], dim=1)
    mask = (torch.arange(T + 5) < T).expand(B, -1)
    torch.testing.assert_close(
        made(padded, mask).prediction[:, :T], made(x).prediction, atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("name", ["in_channels", "num_columns", "num_targets"])
def test_sizes_are_checked(name: str) -> None:
    sizes = {"in_channels": 6, "num_columns": 3, "num_targets": 2}
    with pytest.raises(ValueError, match=name):
        Interpolation(**{**sizes, name: 0})
