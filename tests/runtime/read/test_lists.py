"""Series in Parquet: one in a row, of lists, or a step in a row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import labelled
from seqfuse.runtime.read.lists import read_rows

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
    [items] = read_rows(path, labelled=True)
    assert items.labels == ["up", "down"]
    assert items.groups == ["7", "8"]
    assert items.offsets.tolist() == [0, 3, 5]
    expected = np.array([[1, 1], [2, 2], [3, 3], [4, 4], [np.nan, 5]], dtype=np.float32)
    np.testing.assert_array_equal(items.values, expected)


def test_rows_of_one_id_are_a_series(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {**STEPS, "b": [1, 2, 3, 4, 5]})
    [items] = read_rows(path, labelled=True)
    assert items.labels == ["0", "1"]
    assert items.offsets.tolist() == [0, 3, 5]
    assert items.values[:, 1].tolist() == [1, 2, 3, 4, 5]


def test_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    for i in (2, 10):
        written(tmp_path / "all" / f"part-{i}.parquet", {"a": [[float(i)]] * i, "y": [i] * i})
    written(tmp_path / "all" / "part-3.parquet", {"a": pa.array([], pa.list_(pa.float64())),
                                                  "y": pa.array([], pa.int64())})  # fmt: skip
    found = list(read_rows(tmp_path / "all", labelled=True))
    assert [items.labels for items in found] == [["2"] * 2, ["10"] * 10]
    assert {items.origin for items in found} == {str(tmp_path / "all")}


def test_numbers_and_several_labels(tmp_path: Path) -> None:
    many = written(tmp_path / "a.parquet", {"a": [[1.0], [2.0]], "y": [["x"], ["x", "z"]]})
    [items] = read_rows(many, labelled=True, label_type="several")
    assert items.labels == [("x",), ("x", "z")]
    one = written(tmp_path / "b.parquet", {"a": [[1.0], [2.0]], "y": [0.5, 2.5]})
    [items] = read_rows(one, labelled=True, label_type="numbers")
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
        list(read_rows(path, labelled=True))
    for name in [path.name, *named]:
        assert name in str(error.value)


def test_labels_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "bad.parquet", {"a": [[1.0]]})
    with pytest.raises(InputError, match=r"bad.parquet .*'y'.*data.labelled=false"):
        list(read_rows(path, labelled=True))
