"""Many Parquet files are one table: the same numbers, or the same row is refused."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import LabelledTable
from seqfuse.data.read.table_windows import TableWindows
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.table.cells import read_table
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import Table

FIRST = datetime(2024, 1, 1)
SELDOM = st.sampled_from([False] * 19 + [True])
Columns = dict[str, list[Any]]


def hours(n: int) -> list[Any]:
    return [FIRST + timedelta(hours=i) for i in range(n)]


@st.composite
def tables(draw: st.DrawFn) -> tuple[Columns, list[int]]:
    """Columns as people have them, seldom with an odd cell, and where they are cut."""
    n = draw(st.integers(2, 12))
    numbers = draw(st.sampled_from([st.integers(-9, 9), st.floats(-9, 9), st.booleans()]))
    columns: Columns = {
        "date": hours(n),
        "a": draw(st.lists(numbers, min_size=n, max_size=n)),
        "w": draw(st.lists(st.sampled_from(["calm", "gale"]), min_size=n, max_size=n)),
    }
    for name, odd in (("date", None), ("a", None), ("a", np.inf), ("a", 1e308), ("w", None)):
        if draw(SELDOM) and (odd is None or all(isinstance(c, float) for c in columns[name])):
            columns[name][draw(st.integers(0, n - 1))] = odd
    return columns, sorted(draw(st.lists(st.integers(0, n), max_size=4)))


def save(columns: Columns, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_parquet(path)
    return path


def cut(columns: Columns, edges: Sequence[int], folder: Path) -> Path:
    """A file for each part, whose types are its own."""
    size = len(next(iter(columns.values())))
    for i, (a, b) in enumerate(zip([0, *edges], [*edges, size], strict=True)):
        save({name: cells[a:b] for name, cells in columns.items()}, folder / f"part-{i}.parquet")
    return folder


def outcome(path: Path, **options: Any) -> Any:
    """A table as plain data, or why it is refused, but for where its file is."""
    try:
        table = TableReader(**{"covariates": ["w"], **options}).read(path, training=spans)
    except InputError as error:
        told = str(error).replace(str(path), "FILE")
        return re.sub(r" \(row \d+ of [^)]*\)", "", told)
    times = [table.times(np.arange(len(table.values))).tolist()]
    return [table.columns, table.values.tolist().__repr__(), times, table.rows.tolist()]


def spans(table: Table) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in zip(table.offsets, table.offsets[1:], strict=False)]


@pytest.mark.long
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=tables(), gaps=st.sampled_from(["refuse", "fill"]))
def test_a_table_cut_anywhere_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Columns, list[int]], gaps: str
) -> None:
    columns, edges = drawn
    folder = tmp_path_factory.mktemp("cut")
    whole, parts = save(columns, folder / "whole.parquet"), cut(columns, edges, folder / "parts")
    assert outcome(parts, gaps=gaps) == outcome(whole, gaps=gaps)
    assert outcome(parts / "*.parquet", gaps=gaps) == outcome(whole, gaps=gaps)


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """As dask, pandas and Spark write them: without zeros in front."""
    for year, month, part in (
        (2024, 9, 0),
        (2024, 9, 2),
        (2024, 9, 10),
        (2024, 10, 0),
        (2023, 12, 0),
    ):
        name = f"year={year}/month={month}/part-{part}.parquet"
        save({"a": [float(f"{year}{month:02d}{part:02d}")]}, tmp_path / "t" / name)
    for name in ("_metadata", "_temporary/x.parquet", ".part.parquet", "notes.txt"):
        (tmp_path / "t" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_text("no table")
    for path in (tmp_path / "t", tmp_path / "t/**/*.parquet", tmp_path / "t/*"):
        cells = read_table(path).columns
        assert cells["a"].tolist() == sorted(cells["a"])
        assert list(cells) == ["a", "year", "month"]
        assert cells["year"].tolist() == [2023, 2024, 2024, 2024, 2024]
        assert cells["month"].tolist() == [12, 9, 9, 9, 10]
    assert list(read_table(tmp_path / "t/year=2024").columns) == ["a", "month"]
    assert list(read_table(tmp_path / "t/year=2024/month=9/part-2.parquet").columns) == ["a"]


def test_folders_are_columns_of_words_too(tmp_path: Path) -> None:
    for name in ("b%20c", "a", "__HIVE_DEFAULT_PARTITION__"):
        save({"a": [1.0]}, tmp_path / f"site={name}" / "x.parquet")
    assert read_table(tmp_path).columns["site"] == [None, "a", "b c"]


def test_a_column_of_the_file_goes_before_that_of_its_folder(tmp_path: Path) -> None:
    for year in (1, 2):
        save({"year": [year + 0.5]}, tmp_path / f"year={year}" / "x.parquet")
    assert read_table(tmp_path).columns["year"].tolist() == [1.5, 2.5]


def test_categories_and_words_are_one_column(tmp_path: Path) -> None:
    save({"w": pd.Series(["x", "y"], dtype="category")}, tmp_path / "0.parquet")
    save({"w": ["z", "x"]}, tmp_path / "1.parquet")
    assert list(read_table(tmp_path).columns["w"]) == ["x", "y", "z", "x"]


def test_a_row_is_named_in_its_file(tmp_path: Path) -> None:
    columns: Columns = {"date": hours(9), "a": [1.0] * 9}
    columns["a"][7] = np.inf
    cut(columns, [4], tmp_path)
    with pytest.raises(InputError, match=r"row 9 \(row 5 of part-1.parquet\), column 'a'"):
        TableReader().read(tmp_path)


@pytest.mark.parametrize("kind", ["windows", "labelled"])
def test_other_readers_of_tables_take_a_folder(tmp_path: Path, kind: str) -> None:
    n = 60
    columns = {"date": hours(n), "a": np.arange(n).tolist(), "anomaly": [0] * 50 + [1] * 10}
    whole = save(columns, tmp_path / "whole.parquet")
    found = []
    for path in (whole, cut(columns, [7, 7, 31], tmp_path / "parts")):
        source = TableFile(str(path))
        if kind == "windows":
            items = TableWindows(TableReader(targets=["a"]), source, 6, 3, 2, [0.6, 0.2, 0.2])(
                "train"
            )
            found.append([items.values.tolist(), items.labels, items.names])
        else:
            [recording] = LabelledTable(source)()
            found.append([recording.values.tolist(), recording.labels.tolist()])
    assert found[0] == found[1]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_table(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    cut({"a": [1.0, 2.0, 3.0], "b": [1, 2, 3]}, [1, 2], tmp_path / "t")
    middle = tmp_path / "t/part-1.parquet"
    content = middle.read_bytes()
    middle.write_bytes(content[:-9])
    assert f"{middle} is truncated" in refused(tmp_path / "t")
    at = content.index(b"PAR1") + 4
    middle.write_bytes(content[:at] + b"\xff" * 40 + content[at + 40 :])
    assert str(middle) in refused(tmp_path / "t")
    save({"a": [2.0]}, middle)
    told = refused(tmp_path / "t")
    assert f"{middle} has no column 'b', which {tmp_path}/t/part-0.parquet has" in told
    save({"a": [2.0], "b": [2], "c": [2]}, middle)
    assert f"part-0.parquet has no column 'c', which {middle} has" in refused(tmp_path / "t")
    save({"a": [2.0], "b": ["x"]}, middle)
    told = refused(tmp_path / "t")
    assert all(word in told for word in (str(middle), "'b'", "int64", "string"))
    save({"a": [2.0], "b": [2]}, tmp_path / "t/year=1/x.parquet")
    save({"a": [2.0], "b": [2]}, middle)
    assert "part-0.parquet lies in no folder 'year=...'" in refused(tmp_path / "t")
    save({"a": [], "b": []}, tmp_path / "none/0.parquet")
    assert "none has no rows" in refused(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "empty holds no file that ends in .parquet" in refused(tmp_path / "empty")


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t/\*.parquet .*data\."):
        TableFile("t/*.parquet", str(tmp_path)).path()
    save({"a": [1.0]}, tmp_path / "t/0.parquet")
    assert TableFile("t/*.parquet", str(tmp_path)).path() == tmp_path / "t/*.parquet"
    assert TableFile("t", str(tmp_path)).path() == tmp_path / "t"
