"""Readers of the archive's files, and what they say of broken ones."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.formats import read_archive, series_in

TS = """# a comment
@problemName Toy
@timeStamps false
@univariate false
@equalLength false
@classLabel true Up Down
@data
1,2,3:4,?,6:Up
7,8:9,NaN:Down
"""
ARFF = """% a comment
@relation Toy
@attribute a1 numeric
@attribute target {1,2}
@data
1.5,?,1
2.5,3.5,2
"""


def write(path: Path, text: str) -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["Toy_TRAIN.ts", "Toy_TRAIN.ts.gz"])
def test_ts_keeps_class_names_and_lengths(tmp_path: Path, name: str) -> None:
    found = read_archive(write(tmp_path / name, TS))
    assert found.labels == ["Up", "Down"]
    np.testing.assert_array_equal(found.item(0), [[1, 4], [2, np.nan], [3, 6]])
    assert found.item(1).shape == (2, 2)


def test_tsv(tmp_path: Path) -> None:
    found = read_archive(write(tmp_path / "Toy_TRAIN.tsv.gz", "1\t0.5\t1.5\n-1\tNaN\t2\n"))
    assert found.labels == ["1", "-1"]
    np.testing.assert_array_equal(found.item(1), [[np.nan], [2]])


def test_arff_of_one_and_of_many_channels(tmp_path: Path) -> None:
    found = read_archive(write(tmp_path / "Toy_TRAIN.arff", ARFF))
    assert found.labels == ["1", "2"]
    np.testing.assert_array_equal(found.item(0), [[1.5]])
    many = ARFF.replace("1.5,?,1\n2.5,3.5,2", "'1,2,3\\n4,5,6',up")
    found = read_archive(write(tmp_path / "Many_TRAIN.arff", many))
    assert found.labels == ["up"]
    np.testing.assert_array_equal(found.item(0), [[1, 4], [2, 5], [3, 6]])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "1\t2\t1_0\n", "line 1, column 3: '1_0' is no number"),
        ("a.tsv", "1\t2\n\n1\t1e39\n", r"line 3, column 2: 1e\+39 is beyond what 32 bits"),
        ("a.arff", ARFF + "1,inf,2\n", "line 8, column 2 is infinite"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_archive(write(tmp_path / name, text))


@pytest.mark.parametrize(
    "text",
    [
        TS.replace(":Up", ":?").replace(":Down", ":Left"),
        TS.replace("Label true Up Down", "Label false").replace(":Up", "").replace(":Down", ""),
    ],
    ids=["unknown", "absent"],
)
def test_series_without_labels_can_be_streamed(tmp_path: Path, text: str) -> None:
    rows = series_in(write(tmp_path / "a.ts", text), labelled=False)
    line, series, _ = next(rows)
    assert (line, series.shape) == (8, (3, 2))
    assert next(rows)[1].shape == (2, 2)


def test_another_encoding_is_named_where_it_begins(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(TS.replace(":Up", ":Über").encode("latin-1"))
    said = "line 8, column 13 is not UTF-8 .*: save it as UTF-8, .*iconv -f"
    with pytest.raises(InputError, match=said):
        read_archive(tmp_path / "a.ts")


def test_numbers_as_in_the_tser_archive(tmp_path: Path) -> None:
    text = "@problemName a\n@targetlabel true\n@data\n1,2:3,4:0.5\n5,6:7,8:-2\n"
    path = write(tmp_path / "a_TRAIN.ts", text)
    for head in ("", "@classlabel false\n"):
        path = write(tmp_path / "a_TRAIN.ts", head + text)
        found = read_archive(path, label_type="numbers")
        assert found.labels == [(0.5,), (-2.0,)]
        assert found.item(0).tolist() == [[1, 3], [2, 4]]
        rows = series_in(path, labelled=False)
        assert [values.shape for _, values, _ in rows] == [(2, 2)] * 2
    with pytest.raises(InputError, match="task=regression"):
        read_archive(path)
    write(path, text.replace("-2", "up"))
    with pytest.raises(InputError, match="a_TRAIN.ts, line 5.*'up'"):
        read_archive(path, label_type="numbers")
