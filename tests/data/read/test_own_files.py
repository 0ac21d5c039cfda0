"""A file of the user's own is cut into training and test, and what was done is said."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse.data.read.arrays import Arrays
from seqfuse.data.read.own_files import OwnFiles
from seqfuse.data.read.text import Conll, TextTable
from seqfuse.runtime import runner
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.train import train
from tests import shipped
from tests.conftest import composed


def texts(folder: Path, rows: int = 50) -> TextTable:
    lines = [f"the day number {i},{'up' if i % 5 else 'down'}" for i in range(rows)]
    (folder / "t.csv").write_text("\n".join(["text,label", *lines, ""]))
    return TextTable("t.csv", root=str(folder))


def tags(folder: Path) -> Conll:
    lines = [f"{word}{i}\t{tag}\n" for i in range(30) for word, tag in (("a", "X"), ("b", "Y"))]
    (folder / "t.tsv").write_text("\n".join(lines))
    return Conll("t.tsv", root=str(folder))


def contents(source: OwnFiles, split: str) -> list[tuple[str, ...]]:
    return [tuple(item.tolist()) for item in source(split)]


@pytest.mark.parametrize(("make", "sizes"), [(texts, (40, 10)), (tags, (48, 12))])
def test_texts_and_sentences_are_cut_once(make, sizes: tuple[int, int], tmp_path: Path) -> None:
    source = make(tmp_path)
    train, test = contents(source, "train"), contents(source, "test")
    assert (len(train), len(test)) == sizes
    assert source.num_test == sizes[1]
    assert not set(train) & set(test)
    assert contents(make(tmp_path), "test") == test
    [note] = source.notes(source("train"))
    assert "data.test_folds" in note
    assert "data.test=<file>" in note


def test_classes_are_held_out_evenly(tmp_path: Path) -> None:
    source = texts(tmp_path)
    assert Counter(source("train").labels or ()) == {"up": 32, "down": 8}
    assert Counter(source("test").labels or ()) == {"up": 8, "down": 2}


def test_a_validation_file_leaves_the_test_to_be_cut(tmp_path: Path) -> None:
    texts(tmp_path)
    (tmp_path / "v.csv").write_text("text,label\nnew,up\n")
    source = TextTable("t.csv", None, "v.csv", root=str(tmp_path))
    assert [len(source(split)) for split in ("train", "val", "test")] == [40, 1, 10]


def test_a_test_file_is_not_opened_to_train(tmp_path: Path) -> None:
    texts(tmp_path)
    source = TextTable("t.csv", "gone.csv", root=str(tmp_path))
    assert len(source("train")) == 50
    assert source.num_test is None
    assert not list(source.notes(source("train")))
    with pytest.raises(InputError, match=r"gone.csv is not there.*data\.test"):
        source("test")


def test_doubles_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "same text,a\nother text,b\n" * 10)
    source = TextTable("t.csv", root=str(tmp_path))
    _, note = source.notes(source("train"))
    assert note.startswith("4 of the 4 texts")
    x = np.zeros((20, 9, 2))
    x[::2] = np.arange(10)[:, None, None]
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 2)
    arrays = Arrays("x.npz", root=str(tmp_path))
    _, note = arrays.notes(arrays("train"))
    assert note.startswith("2 of the 4 series")


@pytest.mark.parametrize(
    ("shape", "layout", "other"),
    [((20, 2, 60), "btc", "bct"), ((20, 60, 2), "bct", "btc"), ((20, 1, 8), "btc", "bct")],
)
def test_more_channels_than_steps_are_said(
    shape: tuple[int, ...], layout: str, other: str, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 2)
    arrays = Arrays("x.npz", layout=layout, root=str(tmp_path))
    note = list(arrays.notes(arrays("train")))[-1]
    for part in (f"data.layout={other}", "(series, channels, time)", "(series, time, channels)"):
        assert part in note
    turned = Arrays("x.npz", layout=other, root=str(tmp_path))
    assert len(list(turned.notes(turned("train")))) == 1


def table(path: Path, rows: int = 20) -> Path:
    """Long series, a row for each step."""
    lines = [f"{i},{'ab'[i % 2]},{(i % 2) * 2 + k / 9},{k}" for i in range(rows) for k in range(5)]
    path.write_text("\n".join(["who,kind,a,b", *lines]))
    return path


def test_tables_and_files_of_the_archive_are_series(tmp_path: Path) -> None:
    table(tmp_path / "t.csv")
    arrays = Arrays("t.csv", root=str(tmp_path), id="who", label="kind")
    items = arrays("train")
    assert (len(items), items.columns) == (16, ["a", "b"])
    assert Counter(items.labels or ()) == {"a": 8, "b": 8}
    assert "channels are the columns a, b" in list(arrays.notes(items))[-1]
    (tmp_path / "t.tsv").write_text("".join(f"{i % 2}\t{i}\t2\t3\n" for i in range(10)))
    assert Arrays("t.tsv", root=str(tmp_path))("train").lengths.tolist() == [3] * 8
    (tmp_path / "w.csv").write_text("y,a,b\n" + "u,1,2\nv,3,4\n" * 5)
    wide = Arrays("w.csv", root=str(tmp_path))
    assert "series of 2 steps" in list(wide.notes(wide("train")))[-1]
    per_step = Arrays(
        "t.csv", root=str(tmp_path), id="who", label="a", columns=["b"], per_step=True
    )
    assert len((per_step("train").labels or ())[0]) == 5
    np.savez(tmp_path / "s.npz", x=np.ones((5, 4, 1)), y=np.eye(5, 4), lengths=[4, 3, 4, 4, 2])
    steps = Arrays("s.npz", "s.npz", root=str(tmp_path), per_step=True)("train")
    assert (steps.labels or ())[1] == ["0", "1", "0"]
    groups = [*"aabbc"]
    np.savez(tmp_path / "g.npz", x=np.ones((5, 4, 1)), y=np.eye(5, 4), groups=groups)
    steps = Arrays("g.npz", test_folds=3, root=str(tmp_path), per_step=True)
    assert set(steps("train").groups or ()).isdisjoint(steps("test").groups or ())
    (tmp_path / "flat").mkdir()
    (tmp_path / "t.csv").rename(tmp_path / "flat" / "t.csv")
    with pytest.raises(InputError, match="no folder for each class.*columns file and y"):
        Arrays("flat", root=str(tmp_path))("train")
    (tmp_path / "who.xlsx").touch()
    with pytest.raises(InputError, match=r"who.xlsx.*\.csv"):
        Arrays("who.xlsx", root=str(tmp_path))("train")


def test_a_test_file_with_its_channels_in_another_order_is_refused(tmp_path: Path) -> None:
    frame = pd.read_csv(table(tmp_path / "t.csv"))
    frame[["who", "kind", "b", "a"]].to_csv(tmp_path / "turned.csv", index=False)
    names = {"root": str(tmp_path), "id": "who", "label": "kind"}
    pipeline = SeriesPipeline().fit(Arrays("t.csv", "t.csv", **names)("train"))
    alone = Arrays("t.csv", "turned.csv", **names)("test")  # as seqfuse-evaluate reads it
    with pytest.raises(InputError, match="are b, a, those of the training data a, b"):
        pipeline.transform(alone)
    both = Arrays("t.csv", "turned.csv", **names)
    both("train")
    pipeline.transform(both("test"))  # by name


@pytest.mark.long
def test_new_tables_are_read_as_those_trained_on(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", 40)
    words = ["data=arrays", f"data.train={path}", "data.id=who", "data.label=kind"]
    words += ["logger=none", "callbacks.figures=null", "trainer.max_steps=20", "model=base"]
    run = tmp_path / "run"
    train(composed([*words, "trainer=cpu", "trainer.enable_progress_bar=false"]), run)
    frame = pd.read_csv(path).drop(columns="kind")
    frame[["b", "who", "a"]].to_csv(tmp_path / "new.csv", index=False)
    model = seqfuse.load(run / "checkpoints" / "best.ckpt")
    ordered = model.predict_proba(tmp_path / "new.csv")
    frame[["who", "a", "b"]].to_csv(tmp_path / "new.csv", index=False)
    np.testing.assert_array_equal(model.predict_proba(tmp_path / "new.csv"), ordered)
    folder = runner.load(shipped.export(run, tmp_path / "shipped"))
    found = folder.predict_proba(tmp_path / "new.csv")
    np.testing.assert_allclose(found, ordered, rtol=0, atol=1e-5)
    frame.rename(columns={"a": "c"}).to_csv(tmp_path / "new.csv", index=False)
    for one in (model, folder):
        with pytest.raises(InputError, match=r"new.csv has no column 'a'.*it has: who, c, b"):
            one.predict_proba(tmp_path / "new.csv")


@pytest.mark.long
def test_a_run_says_what_is_held_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    texts(tmp_path)
    words = ["data=text", f"data.train={tmp_path}/t.csv", "data.num_folds=4", "logger=none"]
    words += ["callbacks=none", "trainer.max_steps=1", "trainer.accelerator=cpu"]
    found = train(composed([*words, "trainer.enable_progress_bar=false"]), tmp_path / "run")
    out = capfd.readouterr().out
    assert "30 texts to train on, 10 to validate, 10 to test" in out
    assert "note        one part in 5 is held out" in out
    assert "confidence (10 texts)" in out
    assert "test/accuracy" in found


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("x.npz", {"label": "z"}, "data.label=z .* x.npz .* leave data.label out .* array 'y'"),
        ("x.npz", {"label": ["a", "b"]}, r"data.label=\[a,b\] .* array 'y'"),
        ("x.npz", {"groups": "who"}, "data.groups=who .* array 'groups'"),
        ("x.npy", {"columns": ["a"]}, r"data.columns=\[a\] .* leave data.columns out$"),
        ("x.ts.gz", {"id": "who"}, "data.id=who .* leave data.id out$"),
    ],
)
def test_files_without_columns_have_none_to_name(name: str, option: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Arrays(name, **option)
    Arrays("x.csv", name, **option)
