"""What a file holds, row by row."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.labelled import read_series, read_texts
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.writer import Writer


def series(path: Path, content: str) -> Recordings:
    path.write_text(content)
    return Recordings.joined(list(read_series(path)))


def lines(*rows: dict) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def test_channels_are_in_the_order_of_the_first_row(tmp_path: Path) -> None:
    rows = {"id": 7, "a": 1, "b": 2}, {"b": 4, "id": 7, "a": None}, {"a": 5, "b": 6, "id": 8}
    found = series(tmp_path / "x.jsonl", lines(*rows))
    np.testing.assert_array_equal(found.item(0), [[1, 2], [np.nan, 4]])
    np.testing.assert_array_equal(found.item(1), [[5, 6]])
    assert found.names == ["7", "8"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"a": 1}, "x.jsonl, line 2 has the columns a, the first row a, b: give every row"),
        ({"a": 1, "c": 2}, "line 2 has the columns a, c, the first row a, b"),
        ({"a": 1, "b": 2, "id": 3}, "line 2 has the columns a, b, id, the first row a, b"),
    ],
)
def test_a_row_with_other_columns_is_named(tmp_path: Path, second: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        series(tmp_path / "x.jsonl", lines({"a": 1, "b": 2}, second))


@pytest.mark.parametrize("first", ["1.5,2", "1e-3,nan", "3,"])
def test_a_table_of_series_needs_a_header(tmp_path: Path, first: str) -> None:
    with pytest.raises(InputError, match="the first line holds numbers: add a line of column name"):
        series(tmp_path / "x.csv", f"{first}\n3,4\n")


def test_columns_may_be_numbered(tmp_path: Path) -> None:
    for found in (
        series(tmp_path / "x.csv", "id,0,1\na,3,4\n"),
        series(tmp_path / "x.jsonl", lines({"0": 3, "1": 4})),
    ):
        np.testing.assert_array_equal(found.values, [[3, 4]])


def test_a_text_without_its_column_is_to_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("message,id\nhi,1\n")
    message = r"no column 'text' \(it has: message, id\): "
    with pytest.raises(InputError, match=f"{message}rename the column to 'text'"):
        list(read_texts(tmp_path / "in.csv", "text"))
    with pytest.raises(InputError, match=f"{message}type data.text=.* rename the column to 'text'"):
        list(read_texts(tmp_path / "in.csv", "text", "id"))


def test_cells_with_line_breaks_are_quoted(tmp_path: Path) -> None:
    blocks = [{"id": ["a\nb", "c\rd", 'e"f', "g"], "score": [1.5, 2.0, np.nan, 4.0]}]
    with Writer(tmp_path / "out.csv") as writer:
        assert writer.write(blocks[0]) == 4
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [["a\nb", "1.5"], ["c\\rd", "2.0"], ['e"f', ""], ["g", "4.0"]]
    assert (tmp_path / "out.csv").read_bytes().endswith(b"\ng,4.0\n")


def test_a_tsv_of_series_is_as_in_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    found = series(path, "1\t2.5\t3\n?\t4\t?\n")
    assert [one.tolist() for one in found] == [[[2.5], [3]], [[4]]]
    with pytest.raises(InputError, match="x.tsv, line 2, column 2: '1_0' is no number"):
        series(path, "1\t2\n1\t1_0\n")
