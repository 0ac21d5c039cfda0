"""The frame stem: shapes, padding, and what augmentation leaves alone."""

import pytest
import torch

from seqfuse.nn.stems import Augment, FrameStem, motion


def clips(b: int = 3, t: int = 5, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (b, t, 3, size, size), dtype=torch.uint8)


def masked(lengths: list[int], steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("colour", "motion"), [(True, True), (True, False), (False, True)])
def test_shapes(training: bool, colour: bool, motion: bool) -> None:
    stem = FrameStem(3, [4, 8], colour=colour, motion=motion).train(training)
    features, mask = stem(clips(), masked([5, 2, 4], 5))
    assert features.shape == (3, 5, stem.out_channels)
    assert stem.out_channels == 16
    assert torch.all(features[~mask] == 0)
    assert features[mask].abs().sum() > 0


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing(training: bool) -> None:
    stem = FrameStem(3, [4, 8], Augment()).double().train(training)
    x, mask = clips().double() / 255, masked([5, 2, 4], 5)
    x = x.masked_fill(~mask.reshape(3, 5, 1, 1, 1), 0)
    padded = torch.cat([x, torch.zeros(3, 4, 3, 16, 16, dtype=torch.float64)], dim=1)
    torch.manual_seed(1)
    alone, _ = stem(x, mask)
    torch.manual_seed(1)
    found, _ = stem(padded, masked([5, 2, 4], 9))
    torch.testing.assert_close(found[:, :5], alone, atol=1e-10, rtol=0)
    assert torch.all(found[:, 5:] == 0)


def test_whole_numbers_are_fractions_of_255() -> None:
    stem = FrameStem(3, [4]).eval()
    x, mask = clips(), masked([5, 2, 4], 5)
    torch.testing.assert_close(stem(x, mask)[0], stem(x.float() / 255, mask)[0])


def test_augmentation_draws_once_per_clip_and_in_training_only() -> None:
    torch.manual_seed(3)
    still = clips(2, 1).float().div(255).expand(2, 4, 3, 16, 16)
    found = Augment()(still)
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
    assert (found[0] - still[0]).abs().max() > 0.01
    stem = FrameStem(3, [4], Augment()).eval()
    x, mask = clips(), masked([5, 5, 5], 5)
    torch.testing.assert_close(stem(x, mask)[0], stem(x, mask)[0], atol=0, rtol=0)
    augmented = FrameStem(3, [4], Augment()).train()
    assert (augmented(x, mask)[0] - augmented(x, mask)[0]).abs().max() > 1e-3


def test_no_augmentation_is_the_identity_and_a_flip_a_mirror() -> None:
    x = clips().float() / 255
    torch.testing.assert_close(Augment(0.0, 0.0, 0.0)(x), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(Augment(1.0, 0.0, 0.0)(x), x.flip(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "knobs", [{"channels": []}, {"colour": False, "motion": False}, {"dropout": 1.0}]
)
def test_knobs_have_ranges(knobs: dict) -> None:
    with pytest.raises(ValueError, match="channels|colour|dropout"):
        FrameStem(3, **knobs)


def test_motion_is_what_changes_in_each_cell() -> None:
    x = torch.zeros(1, 4, 3, 8, 8, dtype=torch.uint8)
    x[:, 1:, :, :4, 4:] = 255
    found = motion(x, masked([3], 4), 2)
    assert found.shape == (1, 4, 4)
    assert found[0, 0].isnan().all()
    torch.testing.assert_close(found[0, 1], torch.tensor([0.0, 100.0, 0.0, 0.0]))
    assert torch.all(found[0, 2] == 0)
    assert found[0, 3].isnan().all()
