"""Stems: shapes, padding, and what training draws."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from seqfuse.nn.attention import Mean, ScaledSum
from seqfuse.nn.cnn import DenseCnn
from seqfuse.nn.stems import Augment, CharacterStem, FrameStem, NgramStem, motion


def clips(b: int = 3, t: int = 5, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (b, t, 3, size, size), dtype=torch.uint8)


def masked(lengths: Sequence[int], steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("colour", "motion"), [(True, True), (True, False), (False, True)])
def test_shapes_of_frames(training: bool, colour: bool, motion: bool) -> None:
    stem = FrameStem(3, [4, 8], colour=colour, motion=motion).train(training)
    features, mask = stem(clips(), masked([5, 2, 4], 5))
    assert features.shape == (3, 5, stem.out_channels)
    assert stem.out_channels == 16
    assert torch.all(features[~mask] == 0)
    assert features[mask].abs().sum() > 0


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_frame(training: bool) -> None:
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
    "options", [{"channels": []}, {"colour": False, "motion": False}, {"dropout": 1.0}]
)
def test_frames_have_ranges(options: dict) -> None:
    with pytest.raises(ValueError, match="channels|colour|dropout"):
        FrameStem(3, **options)


def test_motion_is_what_changes_in_each_cell() -> None:
    x = torch.zeros(1, 4, 3, 8, 8, dtype=torch.uint8)
    x[:, 1:, :, :4, 4:] = 255
    found = motion(x, masked([3], 4), 2)
    assert found.shape == (1, 4, 4)
    assert found[0, 0].isnan().all()
    torch.testing.assert_close(found[0, 1], torch.tensor([0.0, 100.0, 0.0, 0.0]))
    assert torch.all(found[0, 2] == 0)
    assert found[0, 3].isnan().all()


STEMS = {"ngrams": NgramStem, "characters": CharacterStem}
LENGTHS = (5, 3, 1)


def ids() -> tuple[Tensor, Tensor]:
    """Three texts of five, three and one words, of four subwords at most."""
    mask = masked(LENGTHS, 5)
    x = torch.randint(0, 20, (3, 5, 5), dtype=torch.int32)
    x[..., 0] += 1
    return x.masked_fill(~mask.unsqueeze(2), 0), mask


@pytest.mark.parametrize("kind", STEMS)
def test_padding_changes_no_word(kind: str) -> None:
    stem = STEMS[kind](5, 30, 30).double().eval()
    x, mask = ids()
    found, same = stem(x, mask)
    assert same is mask
    assert found.shape == (3, 5, stem.out_channels)
    assert (found[~mask] == 0).all()
    for i, steps in enumerate(LENGTHS):
        alone, _ = stem(x[i : i + 1, :steps], mask[i : i + 1, :steps])
        torch.testing.assert_close(found[i : i + 1, :steps], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", STEMS)
def test_padding_learns_nothing(kind: str) -> None:
    stem = STEMS[kind](5, 30, 30)
    x, mask = ids()
    stem(x, mask)[0].square().sum().backward()
    for table in (stem.words, stem.subwords):
        assert table.weight[0].abs().sum() == 0
        assert table.weight.grad is not None
        assert table.weight.grad[0].abs().sum() == 0
        assert table.weight.grad[1:].abs().sum() > 0


def test_the_sum_of_a_word_and_its_subwords() -> None:
    stem = NgramStem(3, 9, 9, out_channels=4)
    x = torch.tensor([[[2, 5, 7], [3, 4, 0]]])
    words, subwords = stem.words.weight, stem.subwords.weight
    stem.eval()
    found, _ = stem(x, torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(found[0, 0], (words[2] + subwords[5] + subwords[7]) / 3**0.5)
    torch.testing.assert_close(found[0, 1], (words[3] + subwords[4]) / 2**0.5)


def test_the_order_of_characters_counts() -> None:
    stem = CharacterStem(4, 9, 9).eval()
    x = torch.tensor([[[2, 5, 6, 7], [2, 7, 6, 5]]])
    found, _ = stem(x, torch.ones(1, 2, dtype=torch.bool))
    assert not torch.allclose(found[0, 0], found[0, 1])


def test_all_words_unknown_or_left_out() -> None:
    x, mask = ids()
    stem = CharacterStem(5, 30, 30, word_dropout=0.999, dropout=0.0)
    other = x.clone()
    other[..., 0] = 1
    torch.manual_seed(0)
    torch.testing.assert_close(stem(x, mask)[0], stem(other.where(mask.unsqueeze(2), x), mask)[0])
    few = NgramStem(5, 30, 30, id_dropout=0.999)
    assert few(x, mask)[0].isfinite().all()


def test_dense_keeps_what_came_in() -> None:
    x, mask = torch.randn(3, 5, 8), ids()[1]
    x = x * mask.unsqueeze(2)
    cnn = DenseCnn(8, channels=[6])
    found, _ = cnn(x, mask)
    assert cnn.out_channels == found.shape[-1] == 14
    torch.testing.assert_close(found[..., :8], x)


def test_scaled_sum() -> None:
    x, mask = torch.randn(3, 5, 8), ids()[1]
    x = x * mask.unsqueeze(2)
    found, weights = ScaledSum(8)(x, mask)
    for i, steps in enumerate(LENGTHS):
        torch.testing.assert_close(found[i, 0], x[i, :steps].sum(dim=0) / steps**0.5)
    torch.testing.assert_close(weights, Mean(8)(x, mask)[1])
