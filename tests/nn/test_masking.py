"""Adaptive pooling: as torch's for series of one length, and alike in every batch."""

import pytest
import torch
from torch.nn import functional as F

from seqfuse.nn import masking
from seqfuse.nn.attention import MeanMax
from seqfuse.nn.heads import ClassHead
from seqfuse.nn.stems import ViewStem


def ragged(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize("steps", [3, 10, 23, 100])
def test_each_series_is_pooled_as_torch_pools_it_alone(steps: int) -> None:
    lengths = [steps, 1, steps // 2 + 1]
    mask = ragged(*lengths)
    x = torch.rand(3, steps, 5) * mask.unsqueeze(2)
    highest, real = masking.pool_max(x, mask, 10)
    means, also = masking.pool_mean(x, mask, 10)
    for i, n in enumerate(lengths):
        u = min(n, 10)
        assert real[i].sum() == also[i].sum() == u
        alone = x[i, :n].T
        torch.testing.assert_close(highest[i, :u], F.adaptive_max_pool1d(alone, u).T)
        torch.testing.assert_close(means[i, :u], F.adaptive_avg_pool1d(alone, u).T)
        assert not highest[i, u:].any()
        assert not means[i, u:].any()


def test_series_of_one_length_are_pooled_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    x, mask = torch.rand(2, 37, 3), ragged(37, 37)
    quick, real = masking.pool_max(x, mask, 8)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    general, also = masking.pool_max(x, mask, 8)
    assert torch.equal(quick, general)
    assert torch.equal(real, also)


@pytest.mark.parametrize("steps", [4, 9, 50])
def test_weights_are_shared_by_the_steps_of_their_segment(steps: int) -> None:
    mask = ragged(steps, 3)
    pooled = masking.pool_mean(torch.rand(2, steps, 1), mask, 4)[1]
    weights = torch.rand(2, 2, pooled.shape[1]) * pooled.unsqueeze(1)
    found = masking.spread(weights, pooled, mask)
    assert found.shape == (2, 2, steps)
    assert not found[1, :, 3:].any()
    torch.testing.assert_close(found.sum(dim=2), weights.sum(dim=2))
    segment = torch.arange(steps) * 4 // steps
    for k in range(4):
        torch.testing.assert_close(found[0, :, segment == k].sum(dim=1), weights[0, :, k])
        assert (found[0, 0, segment == k].diff() == 0).all()


def test_views_of_a_series() -> None:
    mask = ragged(6, 4)
    x = torch.randn(2, 6, 2) * 100 + 3
    found, real = ViewStem(2)(x.masked_fill(~mask.unsqueeze(2), 0), mask)
    assert torch.equal(real, mask)
    own = x[1, :4]
    shape = (own - own.mean(dim=0)) / own.std(dim=0, correction=0)
    change = torch.cat([torch.zeros(1, 2), shape.diff(dim=0)])
    torch.testing.assert_close(found[1, :4], torch.cat([own, shape, change], dim=1))
    assert not found[1, 4:].any()


def test_a_constant_series_has_no_shape() -> None:
    found, _ = ViewStem(1)(torch.full((1, 5, 1), 2.0), ragged(5))
    assert torch.equal(found[0, :, 0], torch.full((5,), 2.0))
    assert not found[0, :, 1:].any()


def test_half_precision_stays_finite() -> None:
    x = torch.full((1, 20_000, 1), 60.0, dtype=torch.float16)
    x[0, ::2] = -60.0
    found, _ = ViewStem(1)(x, ragged(20_000))
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[0, :2, 1], torch.tensor([-1.0, 1.0], dtype=torch.float16))


def test_mean_and_maximum_are_of_real_steps() -> None:
    x, mask = -torch.rand(2, 5, 3), ragged(5, 2)
    read, _ = MeanMax(3)(x, mask)
    assert MeanMax(3).out_channels == 6
    torch.testing.assert_close(read[1, 0, :3], x[1, :2].mean(dim=0))
    assert torch.equal(read[1, 0, 3:], x[1, :2].amax(dim=0))


def test_a_head_with_batch_norm_takes_one_item() -> None:
    head = ClassHead(4, num_classes=3, norm="batch")
    assert torch.isfinite(head(torch.randn(1, 1, 4))).all()
    x = torch.randn(8, 1, 4)
    plain = F.batch_norm(x[:, 0], None, None, training=True)
    torch.testing.assert_close(head(x), head.linear(plain))
