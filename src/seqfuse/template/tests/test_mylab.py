"""The reader, the parts, and a run of two batches."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import torch
from mylab.data import Mine
from mylab.parts import Block, Head
from torch.nn.functional import pad

from seqfuse.runtime.recordings import Recordings

FOLDER = Path(__file__).parents[1]


def test_no_series_is_in_both_splits() -> None:
    read = Mine("mine.npz", str(FOLDER / "data"))
    train, test = read("train"), read("test")
    assert len(train) > len(test) > 0
    assert not contents(train) & contents(test)


def contents(recordings: Recordings) -> set[bytes]:
    spans = pairwise(recordings.offsets)
    return {recordings.values[start:end].tobytes() for start, end in spans}


def test_padding_changes_no_feature() -> None:
    block, x = Block(3, 8), torch.randn(2, 5, 3)
    mask = torch.ones(2, 5, dtype=torch.bool)
    features, _ = block(x, mask)
    padded, kept = block(pad(x, (0, 0, 0, 4)), pad(mask, (0, 4)))
    assert torch.allclose(padded[:, :5], features, atol=1e-6)
    assert not padded[:, 5:].any()
    assert kept.sum() == mask.sum()


def test_a_score_for_each_class() -> None:
    assert Head(8, num_queries=2, num_classes=5)(torch.randn(3, 2, 8)).shape == (3, 5)


def test_the_experiment_trains() -> None:
    words = ["--config-dir", "conf", "trust=[mylab]", "experiment=first", "debug=fast"]
    done = subprocess.run(
        [sys.executable, "-m", "seqfuse.train", *words, "trainer.accelerator=cpu"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "test/accuracy" in done.stdout
