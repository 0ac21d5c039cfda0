"""Stems of words: padding changes nothing, and words do without what was dropped."""

import pytest
import torch
from torch import Tensor

from seqfuse.nn.attention import Mean, ScaledSum
from seqfuse.nn.cnn import DenseCnn
from seqfuse.nn.stems import CharacterStem, NgramStem

STEMS = {"ngrams": NgramStem, "characters": CharacterStem}
LENGTHS = (5, 3, 1)


def ids() -> tuple[Tensor, Tensor]:
    """Three texts of five, three and one words, of four subwords at most."""
    mask = torch.arange(5) < torch.tensor(LENGTHS).unsqueeze(1)
    x = torch.randint(0, 20, (3, 5, 5), dtype=torch.int32)
    x[..., 0] += 1
    return x.masked_fill(~mask.unsqueeze(2), 0), mask


@pytest.mark.parametrize("kind", STEMS)
def test_padding_changes_nothing(kind: str) -> None:
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
    found, _ = stem(x, torch.ones(1, 2, dtype=torch.bool))
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
