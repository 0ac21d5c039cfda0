"""Texts and tags on the command line: train, test, predict; small files written here."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests.conftest import QUIET, assert_refused, composed

FIGURES = ("attention", "confusion_matrix", "reliability", "precision_recall", "unfamiliar")
FAST = (*QUIET, "data.batch_size=16", "data.buckets=500", "trainer.max_epochs=3")
CITIES = ["paris", "rome", "new york", "oslo"]


def asked(i: int) -> tuple[str, list[str], list[str]]:
    """Class, words and tags of a question."""
    city = CITIES[i % 4].split()
    if i % 3:
        tags = ["O"] * 3 + ["B-city", "I-city"][: len(city)]
        return "weather", ["how", "warm", "is", *city], tags
    return "flight", ["fly", "to", *city, "!"], ["O", "O", *["B-city", "I-city"][: len(city)], "O"]


def written(folder: Path) -> Path:
    for name, size in (("train", 60), ("test", 12)):
        rows = [asked(i) for i in range(size)]
        table = pd.DataFrame(
            {"text": [" ".join(w) for _, w, _ in rows], "label": [r[0] for r in rows]}
        )
        table.to_csv(folder / f"{name}.csv", index=False)
        lines = [
            "\n".join(map("\t".join, zip(words, tags, strict=True))) for _, words, tags in rows
        ]
        (folder / f"{name}.tsv").write_text("\n\n".join(lines) + "\n")
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return written(tmp_path)


def recipe(files: Path, kind: str, *words: str):
    ending = {"text": "csv", "conll": "tsv"}[kind]
    names = [f"data.{split}={files}/{split}.{ending}" for split in ("train", "test")]
    task = ["task=entities"] if kind == "conll" else []
    return composed([*FAST, f"data={kind}", *task, *names, *words])


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = written(tmp_path_factory.mktemp("texts"))
    train(recipe(files, "text"), files / "run")
    return files / "run"


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = written(tmp_path_factory.mktemp("tags"))
    train(recipe(files, "conll", "model/head=crf"), files / "run")
    return files / "run"


def typed(run: Path, ending: str) -> list[str]:
    """The run's files, which lie outside of where a test stands."""
    return [f"data.{split}={run.parent}/{split}.{ending}" for split in ("train", "test")]


def metrics(run: Path) -> dict[str, float]:
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.long
def test_texts_predict_what_the_test_step_measured(
    texts: Path, files: Path, command: Callable
) -> None:
    ckpt = f"ckpt={texts}/checkpoints/best.ckpt"
    command(main, ckpt, *QUIET, *typed(texts, "csv"), "split=test", "output=split.csv")
    code, out, err = command(main, ckpt, *QUIET, f"input={files}/test.csv", "output=file.csv")
    assert (code, out) == (0, "12 rows  file.csv\n"), err
    split, file = pd.read_csv("split.csv"), pd.read_csv("file.csv")
    assert list(file) == ["row", "prediction", "p_flight", "p_weather", "unfamiliar"]
    pd.testing.assert_frame_equal(split.drop(columns="label"), file, rtol=1e-5)
    assert (split.prediction == split.label).mean() == pytest.approx(
        metrics(texts)["test/accuracy"]
    )
    names = {"curves.png", *(f"test_{name}.png" for name in FIGURES)}
    if metrics(texts)["test/accuracy"] < 1:  # else there is nothing to draw in them
        names |= {"test_worst_pairs.png", "test_most_wrong.png"}
    assert {path.name for path in (texts / "figures").iterdir()} == names


@pytest.mark.long
def test_texts_keep_ids_and_need_no_labels(texts: Path, command: Callable) -> None:
    rows = [{"id": "b", "text": "fly to rome"}, {"id": "a", "text": "is oslo warm"}]
    Path("new.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = Path("new.jsonl").absolute()
    code, _, err = command(main, f"ckpt={texts}/checkpoints/best.ckpt", *QUIET, f"input={path}",
                           "output=p.csv", "data.batch_size=1")  # fmt: skip
    assert code == 0, err
    assert pd.read_csv("p.csv").id.tolist() == ["b", "a"]
    found = pd.DataFrame(seqfuse.load(texts / "checkpoints" / "best.ckpt").table(path))
    pd.testing.assert_frame_equal(found, pd.read_csv("p.csv"), rtol=1e-5, check_dtype=False)
    Path("none.csv").write_text("text,label\n")
    words = (f"ckpt={texts}/checkpoints/best.ckpt", "input=none.csv", "output=none.parquet")
    assert_refused(command(main, *words, *QUIET), "none.csv holds nothing to predict")
    assert not Path("none.parquet").exists()


@pytest.mark.long
def test_tags_predict_what_the_test_step_measured(
    tags: Path, files: Path, command: Callable
) -> None:
    ckpt = f"ckpt={tags}/checkpoints/best.ckpt"
    command(main, ckpt, *QUIET, *typed(tags, "tsv"), "split=test", "output=split.csv")
    code, _, err = command(main, ckpt, *QUIET, f"input={files}/test.tsv", "output=file.csv")
    assert code == 0, err
    split, file = pd.read_csv("split.csv"), pd.read_csv("file.csv")
    assert list(file) == ["row", "step", "token", "prediction", "probability"]
    pd.testing.assert_frame_equal(split.drop(columns="label"), file, rtol=1e-5)
    assert file.token.tolist() == [word for i in range(12) for word in asked(i)[1]]
    assert file.groupby("row").step.max().tolist() == [len(asked(i)[1]) for i in range(12)]
    assert file.probability.between(0, 1).all()
    found = metrics(tags)
    assert (split.prediction == split.label).mean() == pytest.approx(found["test/accuracy"])
    assert 0 <= found["test/entity_f1"] <= 1
    figures = {path.name for path in (tags / "figures").iterdir()}
    assert figures == {"curves.png", "test_sentences.png"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "conll"])
def test_one_batch_is_overfitted(kind: str, files: Path) -> None:
    words = ["debug=overfit", "trainer.max_epochs=60", "model.head.dropout=0.0", "test=false",
             "model.lstm.dropout=0.0", "optimizer.lr=1e-2"]  # fmt: skip
    words += {"text": ["model.stem.id_dropout=0.0"], "conll": ["model.stem.dropout=0.0"]}[kind]
    found = train(recipe(files, kind, *words), files / "run")
    assert found["train/loss"] < 0.02


@pytest.mark.long
def test_vectors_to_begin_with(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "v.vec").write_text("fly 1 2 3\nwarm 3 1 2\nrock 1 1 1\n")
    size = ["model.stem.out_channels=3", f"data.vectors={files}/v.vec", "test=false"]
    train(recipe(files, "text", *size), files / "run")
    assert "v.vec: 2 of 11 words" in capsys.readouterr().out


def changed(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.long
def test_a_mistake_in_the_test_file_says_where_the_trained_net_is(files: Path) -> None:
    changed(files / "test.csv", "label", "class")
    kept = r"no column 'label' .*\(the trained net is kept: seqfuse-evaluate ckpt=.*best\.ckpt\)$"
    with pytest.raises(InputError, match=kept):
        train(recipe(files, "text"), files / "run")
    assert (files / "run" / "checkpoints" / "best.ckpt").exists()


@pytest.mark.long
def test_a_test_file_that_was_trained_on_is_said(files: Path, capsys) -> None:
    train(recipe(files, "text", f"data.test={files}/train.csv", "test=false"), files / "run")
    assert "data.test is data.train: test numbers say little" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(("kind", "ending"), [("text", "csv"), ("conll", "tsv")])
def test_poisoned_test_split_changes_no_weight(kind: str, ending: str, files: Path) -> None:
    train(recipe(files, kind, "test=false", "callbacks.figures=null"), files / "clean")
    changed(files / f"test.{ending}", "oslo", "poison")
    (files / f"test.{ending}").write_bytes((files / f"test.{ending}").read_bytes() + b"\xff\xfe")
    train(recipe(files, kind, "test=false", "callbacks.figures=null"), files / "poisoned")
    clean, poisoned = (
        torch.load(files / run / "checkpoints" / "best.ckpt", weights_only=True)
        for run in ("clean", "poisoned")
    )
    assert clean["DataModule"] == poisoned["DataModule"]
    for name, value in clean["state_dict"].items():
        assert torch.equal(value, poisoned["state_dict"][name]), name


@pytest.mark.long
def test_attention_of_tags_is_of_steps(tags: Path, files: Path) -> None:
    """Every query looks at the words of its own sentence alone."""
    from seqfuse.config import loading

    task, data, _ = loading.load(tags / "checkpoints" / "best.ckpt")
    batch = data.tensors("test").__getitems__([0, 1, 2])
    weights = task(batch.x, batch.mask).weights
    assert weights.shape[1:] == (batch.mask.shape[1],) * 2
    shares = weights.sum(dim=2)[batch.mask]
    np.testing.assert_allclose(shares.detach(), np.ones(len(shares)), rtol=1e-5)
