"""Vectors of words from a file, into a stem."""

from pathlib import Path

import pytest
import torch

from seqfuse.data.read.vectors import read
from seqfuse.nn.stems import LinearStem, NgramStem, set_vectors

WORDS = {"play": 2, "jazz": 3, "0000": 4}


def test_known_words_get_their_vectors(tmp_path: Path) -> None:
    path = tmp_path / "v.vec"
    path.write_text("5 3\nPlay 1 2 3\nplay 9 9 9\nrock 4 5 6\n1999 -1 0 2.5\n")
    ids, vectors = read(path, WORDS)
    assert ids.tolist() == [2, 4]
    assert vectors.tolist() == [[1, 2, 3], [-1, 0, 2.5]]
    stem = NgramStem(5, 9, 9, out_channels=3)
    before = stem.words.weight.detach().clone()
    set_vectors(stem, torch.from_numpy(ids), torch.from_numpy(vectors))
    ratio = stem.words.weight[2] / torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(ratio, ratio[:1].expand(3))
    assert stem.words.weight[3].equal(before[3])


def test_vectors_that_do_not_fit() -> None:
    some = torch.randn(1, 3)
    with pytest.raises(ValueError, match="the vectors have 3 numbers, the stem 128"):
        set_vectors(NgramStem(5, 9, 9), torch.tensor([2]), some)
    with pytest.raises(ValueError, match="no words to set"):
        set_vectors(LinearStem(3), torch.tensor([2]), some)
