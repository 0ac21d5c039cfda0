"""Random changes of series: what they keep, and what they change."""

from unittest import mock

import pytest
import torch
from hydra.utils import instantiate

from seqfuse.data import augment
from seqfuse.runtime.errors import InputError
from tests.conftest import composed

CHANGES = [
    augment.Crop(0.4),
    augment.WindowWarp(0.4, 0.8),
    augment.Jitter(0.2),
    augment.Scale(0.3),
    augment.Scale(0.3, together=True),
    augment.TimeMask(0.5),
    augment.Permute(3),
    augment.Rotate(90),
]


def series() -> tuple[torch.Tensor, torch.Tensor]:
    """Four series of 12, 7, 3 and 1 steps; each value is above 0 and there once."""
    mask = torch.arange(12) < torch.tensor([12, 7, 3, 1]).unsqueeze(1)
    x = torch.arange(1.0, 4 * 12 * 2 + 1).reshape(4, 12, 2)
    return x * mask.unsqueeze(2), mask


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_steps_that_are_not_real_stay_zero(change) -> None:
    torch.manual_seed(0)
    x, mask = series()
    changed = 0
    for _ in range(20):
        found, real = change(x, mask)
        assert found.shape == x.shape
        assert not found[~real].any()
        lengths = real.sum(dim=1)
        assert (lengths >= 1).all()
        assert torch.equal(real, torch.arange(12) < lengths.unsqueeze(1))  # real ones first
        assert torch.equal(real, mask) or not change.keeps_steps
        changed += not torch.equal(found, x)
    assert changed >= 10


def test_a_window_warp_is_a_stretch_resized() -> None:
    torch.manual_seed(0)
    x, mask = series()
    found, real = augment.WindowWarp(0.5, 1.0)(x, mask)
    assert torch.equal(real, mask)
    for i, n in enumerate([12, 7, 3, 1]):
        steps = found[i, :n, 0].diff()
        # A line stays a line, by less a step; here 2 from step to step.
        torch.testing.assert_close(steps, steps[:1].expand(n - 1) if n > 1 else steps)
        assert n == 1 or 1.0 - 1e-4 <= float(steps[0]) <= 2.0
        assert x[i, 0, 0] <= found[i, 0, 0]
        assert found[i, n - 1, 0] <= x[i, n - 1, 0] + 1e-4


def test_a_window_warp_leaves_the_others_as_they_are() -> None:
    x, mask = series()
    assert torch.equal(augment.WindowWarp(0.5, 0.0)(x, mask)[0], x)


def test_a_crop_is_a_stretch() -> None:
    torch.manual_seed(0)
    x, mask = series()
    kept = set()
    for _ in range(200):
        found, real = augment.Crop(0.5)(x, mask)
        steps = int(real[0].sum())
        first = int(found[0, 0, 0]) // 2
        assert torch.equal(found[0, :steps], x[0, first : first + steps])
        kept.add((first, steps))
    assert {steps for _, steps in kept} - {6} == set(range(7, 13))
    assert {first for first, steps in kept if steps == 9} == {0, 1, 2, 3}


def test_parts_are_shuffled_whole() -> None:
    torch.manual_seed(0)
    x, mask = series()
    found, _ = augment.Permute(3)(x, mask)
    assert torch.equal(found.sum(dim=1), x.sum(dim=1))
    parts = [part.tolist() for part in x[0].split(4)]
    assert all(part.tolist() in parts for part in found[0].split(4))


def test_a_time_mask_hides_one_stretch() -> None:
    torch.manual_seed(0)
    x, mask = series()
    for _ in range(50):
        found, _ = augment.TimeMask(0.5)(x, mask)
        hidden = (found[0] == 0).all(dim=1).nonzero().flatten()
        assert len(hidden) <= 6
        assert len(hidden) == 0 or hidden[-1] - hidden[0] + 1 == len(hidden)


def test_turning_keeps_lengths_and_stays_within_the_angle() -> None:
    torch.manual_seed(0)
    x, mask = series()
    found, _ = augment.Rotate(30)(x, mask)
    assert torch.allclose(found.norm(dim=2), x.norm(dim=2), rtol=1e-5)
    cosine = torch.cosine_similarity(found[0], x[0], dim=1)
    assert (cosine >= torch.tensor(30.0).deg2rad().cos() - 1e-5).all()


def test_scaling_by_one_number_keeps_proportions() -> None:
    torch.manual_seed(0)
    x, mask = series()
    together = augment.Scale(0.5, together=True)(x, mask)[0][0] / x[0]
    assert torch.allclose(together, together[0, 0].expand_as(together))
    apart = augment.Scale(0.5)(x, mask)[0][0] / x[0]
    assert not torch.allclose(apart[:, 0], apart[:, 1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: augment.Crop(0), "shortest=0 of a crop must be above 0"),
        (lambda: augment.TimeMask(1), "longest=1 of a time mask must be at least 0 and below 1"),
        (lambda: augment.Jitter(-1), "std=-1 must be at least 0"),
        (lambda: augment.Permute(0), "parts=0 must be at least 1"),
        (lambda: augment.Rotate(20)(torch.ones(1, 2, 3), torch.ones(1, 2) > 0), "3 channels"),
    ],
)
def test_mistakes_are_one_line(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.long
def test_the_config_changes_training_batches_alone() -> None:
    words = ["data=synthetic", "+data.augment.jitter._target_=seqfuse.data.augment.Jitter"]
    node = composed(words).data.module
    data = instantiate(node, _convert_="all")
    data.setup("fit")
    batch = data.tensors("train").__getitems__([0, 1])
    assert data.on_after_batch_transfer(batch, 0) is batch  # nobody trains

    class Training:
        training = True

    data.trainer = Training()
    changed = data.on_after_batch_transfer(batch, 0)
    assert not torch.equal(changed.x, batch.x)
    assert changed.y is batch.y
    data.augment["crop"] = augment.Crop()
    moves = pytest.raises(InputError, match="data.augment.crop moves steps")
    with mock.patch.object(data.tensors("train"), "per_step", True), moves:
        data.on_after_batch_transfer(batch, 0)
