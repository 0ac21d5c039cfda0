"""Runs on clips, from the config to predictions."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

import seqfuse
from seqfuse.data.read.clips.folder import ClipFolder
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import clips
from tests.conftest import QUIET, Compose, assert_refused, composed
from tests.trained import assert_same, weights

SMALL = (
    *QUIET,
    "data=video",
    "data.num_frames=8",
    "data.size=16",
    "data.batch_size=8",
    "model.stem.channels=[4,8]",
    "trainer.max_epochs=2",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.folder(tmp_path_factory.mktemp("made"))


def options(made: Path, folder: Path) -> list[str]:
    own = (f"data.root={made}", "data.folder=clips", "data.list=clips.csv")
    return [*SMALL, *own, f"data.cache={folder}/cache"]


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Compose:
    return lambda *words: composed([*options(made, tmp_path), *words])


@pytest.fixture(scope="module")
def trained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The folder of a run, and its metrics."""
    folder = tmp_path_factory.mktemp("trained")
    return folder / "run", train(composed(options(made, folder)), folder / "run")


@pytest.mark.slow
def test_one_batch_is_overfitted(small: Compose, tmp_path: Path) -> None:
    metrics = train(
        small(
            *("debug=overfit", "trainer.max_epochs=60", "optimizer.lr=0.01", "test=false"),
            *("model.stem.augment=null", "model.stem.dropout=0.0", "model.lstm.dropout=0.0"),
            "model.head.dropout=0.0",
        ),
        tmp_path / "run",
    )
    assert metrics["train/loss"] < 0.02


@pytest.mark.long
def test_a_poisoned_test_split_changes_no_weight(
    trained: tuple[Path, dict], small: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ClipFolder.__call__

    def poisoned(self: ClipFolder, split: str):
        found = original(self, split)
        if split == "test":
            noise = torch.randint(0, 256, found.values.shape, dtype=torch.uint8).numpy()
            return replace(found, values=noise, labels=found.labels[::-1])
        return found

    monkeypatch.setattr(ClipFolder, "__call__", poisoned)
    train(small("callbacks.figures=null"), tmp_path / "poisoned")
    for name in ("last", "best"):
        assert_same(weights(trained[0], name), weights(tmp_path / "poisoned", name))


@pytest.mark.slow
def test_resumed_equals_uninterrupted(
    small: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Augmentation draws what it would have drawn."""
    from tests.trained import Killed, stop_after

    words = ("trainer.max_epochs=4", "test=false")
    train(small(*words), tmp_path / "whole")
    stop_after(monkeypatch, epoch=1)
    with pytest.raises(Killed):
        train(small(*words), tmp_path / "part")
    monkeypatch.undo()
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    train(small(*words, f"resume={last}"), tmp_path / "part")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "part"))


@pytest.mark.long
def test_predictions_are_those_of_the_test_step(
    trained: tuple[Path, dict], made: Path, command: Callable
) -> None:
    run, metrics = trained
    assert {"test/accuracy", "test/macro_f1", "test/auroc"} <= set(metrics)
    figures = {path.name for path in (run / "figures").iterdir()}
    assert {"test_attention.png", "test_errors_by_source.png"} <= figures
    ckpt = run / "checkpoints" / "best.ckpt"
    cache = f"data.cache={run.parent}/cache"
    words = ("split=test", f"data.root={made}", cache, "output=test.csv")
    code, _, err = command(main, f"ckpt={ckpt}", *words, *QUIET)
    assert code == 0, err
    split = pd.read_csv("test.csv")
    assert list(split) == ["id", "prediction", "label", "p_moves", "p_stays", "unfamiliar"]
    known = json.loads((run / "metrics.json").read_text())
    right = split.prediction == split.label
    assert right.mean() == pytest.approx(known["test/accuracy"])
    Path("in").mkdir()
    for name in split.id:
        shutil.copy(made / "clips" / name, Path("in"))
    code, _, err = command(main, f"ckpt={ckpt}", "input=in", cache, "output=in.csv", *QUIET)
    assert code == 0, err
    own = pd.read_csv("in.csv")
    assert own.id.tolist() == [Path(name).name for name in split.id]
    pd.testing.assert_series_equal(own.p_moves, split.p_moves, rtol=1e-4)
    found = seqfuse.load(ckpt).table(Path("in") / own.id[0])
    assert found["p_moves"][0] == pytest.approx(own.p_moves[0], rel=1e-4)
    Path("in/broken.mp4").write_bytes(b"no video")
    assert_refused(
        command(main, f"ckpt={ckpt}", "input=in", cache, "output=b.csv", *QUIET),
        "broken.mp4 cannot be read",
    )
    words = ("input=in", cache, "output=b.csv", "data.skip_bad=true")
    code, out, err = command(main, f"ckpt={ckpt}", *words, *QUIET)
    assert code == 0, err
    assert "broken.mp4" in out
    assert len(pd.read_csv("b.csv")) == 4


ANOMALY = ("data=fight_anomaly", "data.normal=stays", "model.head.num_targets=4")


@pytest.mark.long
def test_anomalies_are_scored_and_never_trained_on(
    small: Compose, made: Path, tmp_path: Path, command: Callable
) -> None:
    metrics = train(small(*ANOMALY), tmp_path / "run")
    assert metrics["test/motion_auroc"] == 1.0  # what stays does not move
    figures = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"test_attention.png", "test_scores.png"}
    ckpt = f"ckpt={tmp_path / 'run' / 'checkpoints' / 'best.ckpt'}"
    words = ("split=test", f"data.root={made}", "output=test.csv")
    assert command(main, ckpt, *words, *QUIET)[0] == 0
    found = pd.read_csv("test.csv")
    assert found.label.tolist() == ["anomaly", "anomaly", "stays", "stays"]
    area = roc_auc_score(found.label == "anomaly", found.score)
    assert area == pytest.approx(metrics["test/auroc"])
    clip = made / "clips" / found.id[0]
    assert command(main, ckpt, f"input={clip}", "output=own.csv", *QUIET)[0] == 0
    own = pd.read_csv("own.csv")
    assert list(own) == ["id", "score"]
    assert own.score[0] == pytest.approx(found.score[0], rel=1e-4)
    clips.write(tmp_path / "one.mp4", clips.frames(True, 1))
    assert_refused(
        command(main, ckpt, f"input={tmp_path}/one.mp4", "output=one.csv", *QUIET),
        "one.mp4 has one frame: its motion cannot be scored",
    )


@pytest.mark.long
def test_clips_that_are_not_normal_change_no_weight(
    small: Compose, made: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(made, tmp_path / "own"))
    words = (*ANOMALY, "test=false", "callbacks.figures=null")
    train(small(*words, f"data.root={own}"), tmp_path / "clean")
    for clip in (own / "clips" / "moves").iterdir():
        clips.write(clip, clips.frames(True, 9, grey=200))
    train(small(*words, f"data.root={own}"), tmp_path / "poisoned")
    assert_same(*(weights(tmp_path / run) for run in ("clean", "poisoned")))


@pytest.mark.long
def test_what_is_normal_must_be_a_class(small: Compose, tmp_path: Path) -> None:
    for normal, message in (("null", "data.normal is empty"), ("x", "data.normal=x must be one")):
        with pytest.raises(InputError, match=message):
            train(small(*ANOMALY, f"data.normal={normal}"), tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.batch_size=99"], "more than the 16 training clips"),
        (["model.stem.augment.zoom=1.5"], "zoom=1.5 must be at least 0 and below 1"),
    ],
)
def test_one_line_says_what_is_wrong(
    small: Compose, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(small(*words), tmp_path / "run")
