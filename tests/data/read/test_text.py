"""Tables of texts: what is read, and what is said of each mistake."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from seqfuse.data.loader import LengthShuffle
from seqfuse.data.read.text import TextTable
from seqfuse.data.splits import Folds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.text import TextPipeline
from seqfuse.runtime.read.labelled import read, read_texts
from seqfuse.runtime.recordings import Recordings

CSV = 'text,label\nWhere is my card?,card\n"No, wait,\nplease",wait\nHi there,greeting\n'


def words(items: Recordings) -> list[list[str]]:
    return [text.tolist() for text in items]


def table(path: Path, content: str, **knobs: Any) -> TextTable:
    path.write_text(content)
    return TextTable(path.name, path.name, root=str(path.parent), **knobs)


def test_csv_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    found = table(tmp_path / "a.csv", CSV)("train")
    assert found.item(1).tolist() == ["No", ",", "wait", ",", "please"]
    assert found.labels == ["card", "wait", "greeting"]
    assert list(found.lines) == [2, 3, 5]
    assert found.unit == "texts"


def test_tab_separated_and_gzipped(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.tsv.gz", "wt") as file:
        file.write("label\ttext\ncard\tWhere is it, now?\n")
    found = TextTable("a.tsv.gz", "a.tsv.gz", root=str(tmp_path))("train")
    assert words(found) == [["Where", "is", "it", ",", "now", "?"]]


def test_json_lines_of_words_or_of_text(tmp_path: Path) -> None:
    rows = [{"w": ["Add", "R&B"], "intent": "add"}, {"w": "play it", "intent": "play"}]
    content = "\n".join(map(json.dumps, rows)) + "\n\n"
    found = table(tmp_path / "a.jsonl", content, text="w", label="intent")("test")
    assert words(found) == [["Add", "R&B"], ["play", "it"]]


def test_words_that_other_readers_take_for_missing(tmp_path: Path) -> None:
    found = table(tmp_path / "a.csv", "text,label\nnull,NA\nnan,null\n")("train")
    assert words(found) == [["null"], ["nan"]]
    assert found.labels == ["NA", "null"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,label\nhi,x\n  ,y\n", "a.csv, line 3: column 'text' is empty"),
        ("a.csv", "text,label,text\nhi,x,y\n", "a.csv, line 1: columns 1 and 3 have one name"),
        ("a.csv", "review,mood\nhi,x\n", "no column 'text' .*data.text=.* data.label=<column>"),
        ("a.csv", f"{'so good ' * 9},x\nhi,y\n", "a.csv: the first line is read as names .* text,"),
        ("a.json", "[]", "a.json: .*call it .jsonl"),
        ("a.jsonl", '{"text": []  , "label": "x"}\n', "line 1: column 'text' is empty"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        table(tmp_path / name, content)("train")
    assert "\n" not in str(caught.value)


def test_a_label_that_training_never_saw(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,x\nb,y\n" * 1)
    (tmp_path / "test.csv").write_text("text,label\na,x\nb,z\n")
    source = TextTable("train.csv", "test.csv", root=str(tmp_path))
    splits = Folds(source, TextPipeline(), num_folds=0)
    splits.fit()
    with pytest.raises(InputError, match="test.csv: line 3 has label 'z', which training never"):
        splits.tensors("test")


def test_a_column_for_each_label(tmp_path: Path) -> None:
    content = "text,rude,long,x\nhi,1,0,2.5\nyou,0,0,-1\nall,true,1,3\n"
    labels = {"label": ["rude", "long"], "label_type": "several"}
    assert table(tmp_path / "a.csv", content, **labels)("train").labels == [
        *(("rude",), (), ("long", "rude")),
    ]
    found = table(tmp_path / "a.csv", content, label=["x"], label_type="numbers")("train")
    assert (found.labels, found.targets) == ([(2.5,), (-1.0,), (3.0,)], ("x",))
    with pytest.raises(InputError, match=r"a.csv, line 2, column 'x': 2.5 must be 0 or 1"):
        table(tmp_path / "a.csv", content, **{**labels, "label": ["rude", "x"]})("train")
    with pytest.raises(InputError, match=r"data.label=.rude,long. are .*task=multilabel"):
        table(tmp_path / "a.csv", content, **{**labels, "label_type": "classes"})("train")


@pytest.mark.parametrize(
    ("labels", "kind", "said"),
    [
        ([str(i) for i in range(30)], "classes", "task=regression"),
        ([str(i % 5) for i in range(30)], "classes", ""),
        (["a", "b", "a|b"] * 10, "classes", "task=multilabel"),
        (["a", "b", "a, b"] * 10, "several", "put |"),
        (["a", "b", "Paris, France"] * 10, "classes", ""),
    ],
)
def test_labels_that_look_like_others(
    tmp_path: Path, labels: list[str], kind: str, said: str
) -> None:
    rows = "".join(f'"word {i}","{label}"\n' for i, label in enumerate(labels))
    splits = Folds(
        table(tmp_path / "a.csv", f"text,label\n{rows}", label_type=kind), TextPipeline(), 0
    )
    splits.fit()
    notes = " ".join(splits.notes())
    assert (said in notes) if said else not notes


def test_a_folder_and_few_texts(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder is a folder: name a file in data\.train"):
        TextTable("folder", root=str(tmp_path))("train")
    with pytest.raises(InputError, match="folder: it is a folder: give its files one by one"):
        read(tmp_path / "folder", {"kind": "texts", "text": "text"})
    content = "text,label\n" + "a,x\nb,y\n" * 4
    splits = Folds(table(tmp_path / "a.csv", content), TextPipeline(), num_folds=10)
    with pytest.raises(InputError, match=r"num_folds=10 .* 8 texts of .*: type data.num_folds=5"):
        splits.fit()


@pytest.mark.parametrize("fold", range(3))
def test_a_row_whose_label_no_other_has_is_trained_on(tmp_path: Path, fold: int) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "a,x\nb,y\n" * 4 + "c,rare\n")
    splits = Folds(TextTable("a.csv", "a.csv", root=str(tmp_path)), TextPipeline(), 3, fold)
    splits.fit()
    assert splits.sizes()["class_counts"][splits.pipeline.labels.classes.index("rare")] == 1
    sizes = [len(splits.tensors(split)) for split in ("train", "val")]
    assert sum(sizes) == 9
    assert min(sizes) >= 2


def test_half_a_character_and_ids_in_some_rows(tmp_path: Path) -> None:
    half = '{"text": "bad \\ud83d fire \\ud83d\\ude00", "label": "x"}\n'
    found = table(tmp_path / "a.jsonl", half)("train")
    assert words(found) == [["bad", "\ufffd", "fire", "\U0001f600"]]
    assert found.fingerprint()
    (tmp_path / "b.jsonl").write_text('{"text": "a", "id": 1}\n{"text": "b"}\n')
    with pytest.raises(InputError, match="b.jsonl, line 2: no column 'id' .*in every row or"):
        list(read_texts(tmp_path / "b.jsonl", "text"))


def test_a_validation_file_is_not_a_fold(tmp_path: Path) -> None:
    for name, rows in (("train", 6), ("val", 2), ("test", 3)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "a,x\nb,y\n" * rows)
    source = TextTable("train.csv", "test.csv", "val.csv", root=str(tmp_path))
    splits = Folds(source, TextPipeline())
    splits.fit()
    sizes = {split: len(splits.tensors(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 12, "val": 4, "test": 6}
    alone = Folds(source, TextPipeline(), num_folds=0)
    alone.fit()
    assert not alone.has_validation


def test_batches_of_about_one_length() -> None:
    lengths = torch.randint(1, 60, (1000,))
    order = list(LengthShuffle(lengths, seed=0, batch_size=16))
    assert sorted(order) == list(range(1000))
    padded = sum(
        int(lengths[order[i : i + 16]].max()) * len(order[i : i + 16]) for i in range(0, 1000, 16)
    )
    shuffled = sum(int(part.max()) * len(part) for part in lengths.split(16))
    assert int(lengths.sum()) <= padded < 1.15 * int(lengths.sum()) < shuffled
    again = LengthShuffle(lengths, seed=0, batch_size=16)
    assert list(again) == order
    again.set_epoch(1)
    assert list(again) != order
