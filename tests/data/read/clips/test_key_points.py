"""Sequences of key points: blocks of rows, with gaps between the splits."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.data.read.clips.key_points import KeyPoints
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.labelled import read_points
from seqfuse.train import train
from tests.conftest import QUIET, composed

STEPS = 16


def windows(rows: int, number: int) -> list[str]:
    """Windows of one recording: each is the one before, a step later."""
    path = np.cumsum(np.random.default_rng(number).normal(size=(rows + STEPS, 2)), axis=0)
    path += 10 * number * np.arange(len(path))[:, None]
    cut = [path[i : i + STEPS] - path[i] for i in range(rows)]
    return [",".join(map(str, [number, *one.ravel().round(4).tolist()])) for one in cut]


@pytest.fixture
def source(tmp_path: Path) -> KeyPoints:
    lines = windows(300, 0) + windows(200, 1)
    with gzip.open(tmp_path / "p.csv.gz", "wt") as file:
        file.write("\n".join(lines))
    (tmp_path / "names.txt").write_text("left\nright\n")
    return KeyPoints("p.csv.gz", "names.txt", root=str(tmp_path))


@pytest.mark.parametrize("fold", range(5))
def test_windows_of_two_splits_never_overlap(fold: int) -> None:
    numbers = np.repeat([0, 1], [300, 203])
    source = KeyPoints("", "", test_fold=fold)
    splits = {split: source.rows(numbers, split) for split in ("train", "val", "test")}
    for number in (0, 1):
        own = {split: rows[numbers[rows] == number] for split, rows in splits.items()}
        for one in own:
            for other in set(own) - {one}:
                apart = np.abs(own[one][:, None] - own[other][None]).min()
                assert apart > STEPS
        assert len(own["train"]) > 0.5 * (numbers == number).sum()
        assert len(own["val"]) > 0


def test_all_beside_the_test_split_may_be_trained_on() -> None:
    numbers = np.repeat([0, 1], [300, 203])
    source = KeyPoints("", "", test_fold=1, val_fraction=0.0)
    train, test = source.rows(numbers, "train"), source.rows(numbers, "test")
    assert len(test) == 60 + 41
    assert len(train) == 503 - len(test) - 4 * STEPS
    with pytest.raises(InputError, match="data.val_fraction=0 leaves nothing to validate on"):
        source.rows(numbers, "val")


def test_every_row_is_tested_on_once() -> None:
    numbers = np.repeat([0, 1], [300, 203])
    tested = [KeyPoints("", "", test_fold=fold).rows(numbers, "test") for fold in range(5)]
    assert np.sort(np.concatenate(tested)).tolist() == list(range(503))


def test_sequences_and_names(source: KeyPoints) -> None:
    test = source("test")
    x = test.padded()[0]
    assert x.shape == (100, STEPS, 2)
    assert test.labels == ["left"] * 60 + ["right"] * 40
    assert not x[:, 0].any()


def test_a_file_to_predict_may_have_labels_or_not(tmp_path: Path) -> None:
    lines = windows(30, 1)
    (tmp_path / "with.csv").write_text("\n".join(lines))
    (tmp_path / "without.csv").write_text("\n".join(line.split(",", 1)[1] for line in lines))
    found = [list(read_points(tmp_path / f"{name}.csv", size=8)) for name in ("with", "without")]
    assert [len(block) for block in found[0]] == [8, 8, 8, 6]
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one.values, two.values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0,1,2\n0,a,2\n", "line 2: could not convert string to float: 'a'"),
        ("0,1,2\n0,nan,2\n", "line 2 needs x and y, as numbers"),
        ("0,1,2\n\n7\n", "line 3 needs x and y, as numbers"),
    ],
)
def test_bad_lines(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        list(read_points(tmp_path / "p.csv"))


@pytest.mark.long
def test_predictions_are_those_of_the_test_step(
    source: KeyPoints, tmp_path: Path, command: Callable
) -> None:
    words = [f"data.root={tmp_path}", "data.file=p.csv.gz", "data.names=names.txt"]
    words += ["callbacks.figures=null"]
    run = tmp_path / "run"
    metrics = train(
        composed(["data=hand_gesture", "model=base", "trainer.max_epochs=1", *words, *QUIET]), run
    )
    ckpt = f"ckpt={run}/checkpoints/best.ckpt"
    assert command(main, ckpt, "split=test", "output=test.csv", *QUIET)[0] == 0
    split = pd.read_csv("test.csv")
    assert (split.prediction == split.label).mean() == pytest.approx(metrics["test/accuracy"])
    assert command(main, ckpt, "input=p.csv.gz", "output=own.csv", *QUIET)[0] == 0
    own = pd.read_csv("own.csv")
    assert len(own) == 500
    np.testing.assert_allclose(own.p_left[:60], split.p_left[:60], rtol=1e-4, atol=1e-6)
