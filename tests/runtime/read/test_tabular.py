"""Series in tables: one in a row, or a step in a row."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import labelled
from seqfuse.runtime.read.tabular import Tabular, read_tabular
from seqfuse.runtime.recordings import Recordings

LISTS = {
    **{"id": ["p", "q"], "y": ["up", "down"], "groups": [7, 8]},
    **{"a": [[1.0, 2.0, 3.0], [4.0, None]], "b": [[1, 2, 3], [4, 5]]},
}
STEPS = {"id": [3, 3, 3, 1, 1], "y": [0, 0, 0, 1, 1], "a": [1.0, 2.0, 3.0, 4.0, np.nan]}


def written(path: Path, columns: dict) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_a_row_of_lists_is_a_series(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", LISTS)
    [items] = read_tabular(path, labelled=True)
    assert items.labels == ["up", "down"]
    assert items.groups == ["7", "8"]
    assert items.offsets.tolist() == [0, 3, 5]
    expected = np.array([[1, 1], [2, 2], [3, 3], [4, 4], [np.nan, 5]], dtype=np.float32)
    np.testing.assert_array_equal(items.values, expected)


def test_rows_of_one_id_are_a_series(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {**STEPS, "b": [1, 2, 3, 4, 5]})
    [items] = read_tabular(path, labelled=True)
    assert items.labels == ["0", "1"]
    assert items.offsets.tolist() == [0, 3, 5]
    assert items.values[:, 1].tolist() == [1, 2, 3, 4, 5]


def test_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    for i in (2, 10):
        written(tmp_path / "all" / f"part-{i}.parquet", {"a": [[float(i)]] * i, "y": [i] * i})
    written(tmp_path / "all" / "part-3.parquet", {"a": pa.array([], pa.list_(pa.float64())),
                                                  "y": pa.array([], pa.int64())})  # fmt: skip
    found = list(read_tabular(tmp_path / "all", labelled=True))
    assert [items.labels for items in found] == [["2"] * 2, ["10"] * 10]
    assert {items.origin for items in found} == {str(tmp_path / "all")}


def test_numbers_and_several_labels(tmp_path: Path) -> None:
    many = written(tmp_path / "a.parquet", {"a": [[1.0], [2.0]], "y": [["x"], ["x", "z"]]})
    [items] = read_tabular(many, labelled=True, label_type="several")
    assert items.labels == [("x",), ("x", "z")]
    one = written(tmp_path / "b.parquet", {"a": [[1.0], [2.0]], "y": [0.5, 2.5]})
    [items] = read_tabular(one, labelled=True, label_type="numbers")
    assert np.ravel(items.labels or ()).tolist() == [0.5, 2.5]


def test_series_to_predict_keep_their_ids(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", LISTS)
    blocks = list(labelled.read(path, {"kind": "series"}, size=1))
    assert [items.names for items in blocks] == [["p"], ["q"]]
    assert all(items.labels is None for items in blocks)


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"a": [[1.0, 2.0]], "b": [[1.0]]}, ["row 2", "'a'", "'b'"]),
        ({"a": [[1.0], None]}, ["row 3", "'a'"]),
        ({"a": [["x"]]}, ["'a'", "string"]),
        ({"a": [[[1.0]]]}, ["'a'", "list<"]),
        ({"a": [[1.0]], "c": [1]}, ["'c'", "int64"]),
        ({"a": [1.0]}, ["'id'"]),
        ({}, ["channel"]),
        ({"id": [1, 2, 1], "a": [1.0, 2.0, 3.0], "y": [0, 1, 0]}, ["series '1'"]),
        ({"id": [1, 1], "a": [1.0, 2.0], "y": [0, 1]}, ["row 3", "y is 1", "series '1'"]),
        ({"id": [1, 1], "a": ["x", "2"], "y": [0, 0]}, ["'a'", "string"]),
        ({"a": pa.array([], pa.list_(pa.float64())), "y": pa.array([], pa.int64())}, ["no series"]),
    ],
)
def test_what_is_no_series_is_named(columns: dict, named: list[str], tmp_path: Path) -> None:
    rows = len(next(iter(columns.values()), [0]))
    path = written(tmp_path / "bad.parquet", {"y": [0] * rows, **columns})
    with pytest.raises(InputError) as error:
        list(read_tabular(path, labelled=True))
    for name in [path.name, *named]:
        assert name in str(error.value)


def test_labels_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "bad.parquet", {"a": [[1.0]]})
    with pytest.raises(InputError, match=r"bad.parquet .*'y'.*data.labelled=false"):
        list(read_tabular(path, labelled=True))


LONG = "id,y,groups,a,b\n3,up,g,1,10\n3,up,g,2,20\n1,down,h,3,\n1,down,h,4,40\n1,down,h,5,50\n"
WIDE = "y,groups,a,b,c\nup,g,1,2,3\ndown,h,4,5,\nup,h,6,7,8\n"


def text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_rows_of_text_are_steps_of_series(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", LONG)
    found = Tabular().of(path)
    assert (found.channels, found.wide) == (["a", "b"], False)
    [items] = read_tabular(path, found, labelled=True)
    assert (items.labels, items.groups, items.lines) == (["up", "down"], ["g", "h"], [2, 4])
    assert items.offsets.tolist() == [0, 2, 5]
    assert items.values[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(items.values[2, 1])
    mirrored = text(tmp_path / "b.csv", "b,c,a\n1,2,3\n")
    [new] = labelled.read(mirrored, {"kind": "series", "tabular": found._asdict()})
    assert new.values.tolist() == [[3, 1]]


@pytest.mark.parametrize("with_ids", [False, True])
def test_rows_of_text_may_be_series(with_ids: bool, tmp_path: Path) -> None:
    rows = WIDE.splitlines()
    rows = [f"{i or 'id'},{row}" for i, row in enumerate(rows)] if with_ids else rows
    path = text(tmp_path / "a.csv", "\n".join(rows))
    found = Tabular().of(path)
    assert (found.channels, found.wide) == (None, True)
    [items] = read_tabular(path, found, labelled=True)
    assert (items.labels, items.lengths.tolist()) == (["up", "down", "up"], [3, 2, 3])
    assert items.values.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    blocks = [*labelled.read(path, {"kind": "series", "tabular": found._asdict()}, size=2)]
    assert [items.lengths.tolist() for items in blocks] == [[3, 2], [3]]
    assert blocks[1].names == (["3"] if with_ids else None)


def test_lists_of_json_are_channels(tmp_path: Path) -> None:
    rows = [{"y": "up", "a": [1, 2], "b": [3, None]}, {"y": "down", "a": [5], "b": [6]}]
    path = text(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    found = Tabular().of(path)
    assert (found.channels, found.wide) == (["a", "b"], False)
    [items] = read_tabular(path, found, labelled=True)
    assert (items.labels, items.lengths.tolist()) == (["up", "down"], [2, 1])
    assert items.values[:, 0].tolist() == [1, 2, 5]


def test_text_and_parquet_are_the_same_series(tmp_path: Path) -> None:
    columns = {name: list(column) for name, column in STEPS.items()}
    path = written(tmp_path / "a.parquet", columns)
    rows = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    [one] = read_tabular(path, labelled=True)
    [other] = read_tabular(text(tmp_path / "a.csv", "\n".join(rows)), labelled=True)
    assert one.labels == other.labels
    np.testing.assert_array_equal(one.values, other.values)


@pytest.mark.parametrize(
    ("content", "named", "columns"),
    [
        ("y,a\nup,1\n", ["no column 'label'", "data.label=y"], {"label": "label"}),
        ("Class,a\nup,1\n", ["no column 'y'", "data.label=Class"], {}),
        ("id,y,a\n1,up,1\n1,down,2\n", ["line 3", "y is down", "series '1'"], {}),
        ("id,y,a\n1,up,1\n1,up,2\n2,up,1\n1,up,2\n", ["line 5", "series '1'", "by id"], {}),
        ("y,a\nup,1\n", ["no column 'who'", "data.id"], {"id": "who"}),
        ("y,a\n,1\nup,2\n", ["line 2", "'y' is empty"], {}),
        ("y,a,b\nup,1,x\n", ["line 2, column 'b'", "x"], {}),
        ("1,2,3\n4,5,6\n", ["first line holds numbers"], {}),
        ("y\nup\n", ["no column for a channel"], {}),
        ("y,a\n", ["no series"], {}),
    ],
)
def test_what_is_wrong_with_a_text_is_named(
    content: str, named: list[str], columns: dict[str, str], tmp_path: Path
) -> None:
    path = text(tmp_path / "bad.csv", content)
    with pytest.raises(InputError) as error:
        list(read_tabular(path, Tabular(**columns).of(path), labelled=True))
    for name in [path.name, *named]:
        assert name in str(error.value)


def test_several_columns_are_several_labels_or_numbers(tmp_path: Path) -> None:
    content = "who,walk,sit,a,b\np,1,0,1,2\nq,True,1,3,4\nr,0,0,5,6\n"
    frame = pd.read_csv(text(tmp_path / "a.csv", content)).astype({"walk": str})
    frame["x"] = [[a, b] for a, b in zip(frame.pop("a"), frame.pop("b"), strict=True)]
    frame["walk"] = [1, 1, 0]
    frame.to_parquet(tmp_path / "a.parquet")
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        wanted = ["x"] if path.suffix == ".parquet" else ["a", "b"]
        read = Tabular("id", ["walk", "sit"], "who", wanted, wide=True)
        [items] = read_tabular(path, read, labelled=True, label_type="several")
        assert items.labels == [("walk",), ("sit", "walk"), ()]
        assert (items.groups, items.values.ravel().tolist()) == (["p", "q", "r"], [*range(1, 7)])
        [items] = read_tabular(path, read, labelled=True, label_type="numbers")
        assert items.labels == [(1, 0), (1, 1), (0, 0)]
        assert items.targets == ["walk", "sit"]
        with pytest.raises(InputError, match="task=regression.*task=multilabel"):
            list(read_tabular(path, read, labelled=True))
    text(tmp_path / "a.csv", content.replace("r,0", "r,2"))
    with pytest.raises(InputError, match="line 4, column 'walk': 2 must be 0 or 1"):
        list(read_tabular(tmp_path / "a.csv", read._replace(channels=None), True, "several"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_each_step_may_have_a_class(ending: str, tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "id,y,a,b\n3,up,1,10\n3,down,2,20\n1,down,3,30\n1,up,3,\n")
    pd.read_csv(tmp_path / "a.csv").to_parquet(tmp_path / "a.parquet")
    path = tmp_path / f"a.{ending}"
    [items] = read_tabular(path, Tabular(channels=["b"], per_step=True), labelled=True)
    assert items.labels == [["up", "down"], ["down"]]
    assert items.values[:2].tolist() == [[10], [20]]
    with pytest.raises(InputError, match="y is down, .* series '3' up: a series has one"):
        list(read_tabular(path, Tabular(), labelled=True))


def test_a_folder_for_each_class_holds_a_series_in_each_file(tmp_path: Path) -> None:
    for name, number in (("walk/2", 2), ("walk/10", 10), ("sit/1", 1)):
        path = tmp_path / "all" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        text(path, f"t,a\n0,{number}\n1,{number}\n")
    text(tmp_path / "all" / "walk" / "about.txt", "no series")
    found = Tabular(channels=["a"]).of(tmp_path / "all")
    assert found.file
    blocks = list(read_tabular(tmp_path / "all", found, labelled=True))
    assert [items.labels for items in blocks] == [["sit"], ["walk"], ["walk"]]
    assert [items.values.ravel().tolist() for items in blocks] == [[1, 1], [10, 10], [2, 2]]
    path = tmp_path / "all" / "walk" / "2.csv"
    [new] = labelled.read(path, {"kind": "series", "tabular": found._asdict()})
    assert (new.names, new.lengths.tolist()) == (["2"], [2])
    text(path, "t,b\n0,1\n")
    with pytest.raises(InputError, match="walk/2.csv has no column 'a'"):
        list(read_tabular(tmp_path / "all", found, labelled=True))


def test_a_table_may_list_the_files_of_series(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / ("raw" if i else ".") / f"{i}.csv"
        path.parent.mkdir(exist_ok=True)
        text(path, f"a\n{i}\n{i}\n")
    path = text(tmp_path / "list.csv", "file,y,groups\n0.csv,up,g\n1.csv,down,g\nraw/2.csv,up,h\n")
    found = Tabular().of(path)
    assert (found.file, found.channels) == (True, ["a"])
    items = Recordings.joined(list(read_tabular(path, found, labelled=True)))
    assert (items.labels, items.groups) == (["up", "down", "up"], ["g", "g", "h"])
    assert items.values[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    text(path, "file,y\n0.csv,up\n7.csv,down\n")
    with pytest.raises(InputError, match="list.csv, line 3: 7.csv is not beside the table"):
        list(read_tabular(path, found, labelled=True))


def test_a_column_of_words_is_left_out_by_naming_the_channels(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "id,y,who,a\n1,up,Ann,1\n1,up,Ann,2\n")
    with pytest.raises(InputError, match=r"line 2, column 'who': 'Ann'.*data.columns=\[...\]"):
        list(read_tabular(path, labelled=True))
    [items] = read_tabular(path, Tabular(channels=["a"]), labelled=True)
    assert items.values.tolist() == [[1], [2]]


def test_decimal_commas_of_a_file_with_semicolons(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "id;y;a;b\n1;up;1,5;1,234\n1;up;2;-0,5\n")
    [items] = read_tabular(path, labelled=True)
    np.testing.assert_allclose(items.values, [[1.5, 1.234], [2, -0.5]])


def test_the_decimal_sign_is_that_of_a_column_in_series_too(tmp_path: Path) -> None:
    path = text(tmp_path / "a.csv", "id;y;a;b\n1;up;1.234,5;2.5\n1;up;1.234;3.125\n")
    [items] = read_tabular(path, labelled=True)
    np.testing.assert_allclose(items.values, [[1234.5, 2.5], [1234, 3.125]])


def test_a_number_may_be_missing_beside_another_in_every_format(tmp_path: Path) -> None:
    cells = {"id": [1, 1, 2], "u": [0.5, 0.5, 1.0], "v": [None, None, 2.0], "a": [1.0, 2.0, 3.0]}
    lists = {"u": [0.5, 1.0], "v": [None, 2.0], "a": [[1.0, 2.0], [3.0]]}
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    for path in (
        written(tmp_path / "a.parquet", cells),
        written(tmp_path / "b.parquet", lists),
        text(tmp_path / "a.csv", "id,u,v,a\n1,.5,,1\n1,.5,,2\n2,1,2,3\n"),
        text(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
    ):
        [items] = read_tabular(path, Tabular(label=["u", "v"]), True, "numbers")
        np.testing.assert_array_equal(items.labels, [[0.5, np.nan], [1, 2]])


@pytest.mark.parametrize("label", [None, " "])
def test_an_empty_label_is_no_class(label: str | None, tmp_path: Path) -> None:
    rows = {"y": ["up", label], "a": [[1.0, 2.0], [3.0, 4.0]]}
    steps = {"id": [1, 1], "y": ["up", label], "a": [1.0, 2.0]}
    lines = [json.dumps({"y": y, "a": a}) + "\n" for y, a in zip(*rows.values(), strict=True)]
    for path, tabular in (
        (written(tmp_path / "a.parquet", rows), Tabular()),
        (written(tmp_path / "b.parquet", steps), Tabular(per_step=True)),
        (text(tmp_path / "a.jsonl", "".join(lines)), Tabular()),
    ):
        with pytest.raises(InputError, match=r"(row 3|line 2).* column 'y' is empty"):
            list(read_tabular(path, tabular, labelled=True))
