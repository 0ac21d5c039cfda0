"""With pandas and without, a table is read alike, or the same line and column are refused."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.cells import Cells, as_cells, read_cells
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import Table

NAMES = ("a", "b")
WORDS = "? NA N/A nan NULL None True FALSE 1_0 1e308 -1e39 inf 1e3 +.5 ٣ x 0x1A 1,5"
ODD = ["", " ", " 7 ", " NA ", "9" * 30, "18446744073709551615", "-9223372036854775809"]
CELLS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from([*WORDS.split(), *ODD]),
)
GOOD = ["date", "a", "b"]
HEADERS = [
    *[GOOD] * 8,
    ["date", " a", "b "],
    ["b", "date", "a"],
    [*GOOD, "a"],
    [*GOOD, ""],
    ["date", "a"],
]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name and content of a file; most of it is good."""
    rare = st.sampled_from([False] * 9 + [True])
    separator = draw(st.sampled_from([",", ",", "\t"]))
    header = draw(st.sampled_from(HEADERS))
    ends = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    lines = [separator.join(header)]
    for i in range(draw(st.integers(1, 6))):
        row = []
        for name in header:
            cell = f"2024-01-{i + 1:02d}" if name == "date" else draw(st.sampled_from("12"))
            cell = draw(CELLS) if draw(rare) else cell
            quoted = draw(rare) or separator in cell
            row.append(f'"{cell}"' if quoted else cell)
        row = row[:-1] if draw(rare) else row
        row = [*row, "1"] if draw(rare) else row
        lines.append(separator.join(row))
        if draw(rare):
            lines.append(draw(st.sampled_from(["", "  "])))
    text = ends.join(lines) + draw(st.sampled_from(["", ends, ends * 2]))
    content = text.encode(draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig"])))
    content = content.replace(b"2024-01-02", b"2024-01-\xff2") if draw(rare) else content
    name = "in.tsv" if separator == "\t" else "in.csv"
    return (f"{name}.gz", gzip.compress(content)) if draw(rare) else (name, content)


def with_pandas(path: Path) -> Table:
    return TableReader(targets=NAMES, gaps="ignore").read(path)


def without(path: Path) -> Table:
    return TableReader(targets=NAMES, gaps="ignore").parse(read_cells(path))


def in_memory(frame: pd.DataFrame, **options: Any) -> Table:
    return TableReader(**options).parse(as_cells(frame))


def fitted(values: Any) -> TablePipeline:
    pipeline = TablePipeline()
    pipeline.fit(values, NAMES, 2)
    return pipeline


def outcome(reader: Any, path: Path) -> Any:
    """What is read, or the line and column that are refused."""
    try:
        return reader(path)
    except InputError as error:
        return re.findall(r"line \d+|column '[^']*'|column \d+", str(error))[:2]


@pytest.mark.long
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(files())
def test_any_file_is_read_alike(tmp_path_factory: pytest.TempPathFactory, file: Any) -> None:
    path = tmp_path_factory.getbasetemp() / file[0]
    path.write_bytes(file[1])
    ours, theirs = outcome(with_pandas, path), outcome(without, path)
    assert isinstance(ours, list) == isinstance(theirs, list), (ours, theirs)
    if isinstance(ours, list):
        assert ours == theirs
        return
    np.testing.assert_array_equal(ours.time, theirs.time)
    # Where there are 17 digits and more, pandas rounds a little: far below what 32 bits show.
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-13)


BOTH = pytest.mark.parametrize("reader", [with_pandas, without])


@BOTH
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("date,a,b,a\n2024-01-01,1,2,3\n", "line 1: columns 2 and 4 have one name, 'a'"),
        ("date,a, a,b\n2024-01-01,1,2,3\n", "line 1: columns 2 and 3 have one name, 'a'"),
        ("date,a,,b\n2024-01-01,1,2,3\n", "line 1: column 3 has no name"),
        ("\n\ndate,a,b\n2024-01-01,1,2\n\n2024-01-02,1,x\n", "line 6, column 'b': 'x' is no num"),
        ('date,a,"b"\n2024-01-01,1,"\n"\n2024-01-02,1,x\n', "line 4, column 'b': 'x' is no num"),
        ("date,a,b\n2024-01-01,1,2\n2024-01-02,1\n", "line 3 has 2 columns, the header 3"),
        ("date,a,b\n2024-01-01,1,2\n\n2024-01-01,1,2\n", "line 4: 2024-01-01.*is there twice"),
        ("date,a,b\n2024-01-01,1,1e308\n", "line 2, column 'b': 1e.308 is beyond what 32 bits"),
        ("date,a,b\n2024-01-01,1," + "9" * 30 + "\n", "line 2, column 'b': a whole number of 30"),
        ("date,a,b\n2024-01-01,1,2\n02.01.2024,1,2\n", "line 3, column 'date'.*data.time_format"),
    ],
)
def test_the_line_is_the_true_one(tmp_path: Path, reader: Any, content: str, message: str) -> None:
    (tmp_path / "in.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        reader(tmp_path / "in.csv")


@BOTH
def test_a_key_that_stands_twice_in_an_object_is_refused(tmp_path: Path, reader: Any) -> None:
    row = '{"date": "2024-01-01", "a": 1, "b": 2'
    (tmp_path / "in.jsonl").write_text(f'{row}}}\n\n{row}, "a": 3}}\n')
    with pytest.raises(InputError, match="line 3: columns 2 and 4 have one name, 'a'"):
        reader(tmp_path / "in.jsonl")


def test_parquet_and_frames_with_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [pa.array(["2024-01-01"]), pa.array([1.0]), pa.array([2.0])]
    pq.write_table(pa.table(columns, names=["date", "a", "a"]), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="in.parquet: columns 2 and 3 have one name, 'a'"):
        with_pandas(tmp_path / "in.parquet")
    frame = pd.DataFrame([["2024-01-01", 1, 2]], columns=["date", "a", "a"])
    with pytest.raises(InputError, match="the table: columns 2 and 3 have one name"):
        in_memory(frame)


@pytest.mark.parametrize("form", [None, "%d.%m.%Y %H:%M"])
@pytest.mark.parametrize("rows", [12, 300])
def test_dates_day_first_are_read_where_the_form_is_named(
    tmp_path: Path, form: str | None, rows: int
) -> None:
    time = pd.date_range("2024-01-01", periods=rows, freq="6h")
    written = time.strftime(form or "%Y-%m-%d %H:%M")
    frame = pd.DataFrame({"date": written, "a": np.arange(rows), "b": 1.5})
    frame.to_csv(tmp_path / "in.csv", index=False)
    reader = TableReader(targets=NAMES, time_format=form)
    table = reader.read(tmp_path / "in.csv")
    np.testing.assert_array_equal(table.time, time.to_numpy().astype("datetime64[s]"))
    ahead = reader.ahead(read_cells(tmp_path / "in.csv"), fitted(table.values), horizon=1)
    assert ahead.time[:-1].tolist() == table.time.tolist()


@pytest.mark.parametrize("cell", ["01.02.2024", "1/2/2024", "01-02-2024", "31.12.2024", "24-01-31"])
def test_other_orders_than_year_first_are_refused(tmp_path: Path, cell: str) -> None:
    (tmp_path / "in.csv").write_text(f"date,a,b\n{cell},1,2\n")
    for reader in (with_pandas, without):
        with pytest.raises(InputError, match=f"line 2, column 'date': '{cell}'.*data.time_format="):
            reader(tmp_path / "in.csv")


def test_a_form_is_kept_to_and_can_be_read() -> None:
    frame = pd.DataFrame({"date": ["31.12.2024", "2024-12-31"], "a": [1, 2]})
    with pytest.raises(InputError, match="row 3.*'2024-12-31' is not of the form data.time_format"):
        in_memory(frame, time_format="%d.%m.%Y")
    for form, message in (("%Q", "cannot be read"), ("%d.%m.", "cannot be read|has no year")):
        with pytest.raises(InputError, match=f"data.time_format={form} ({message})"):
            TableReader(time_format=form)
    with pytest.raises(InputError, match="is for data.time=<one column>"):
        TableReader(time=["year", "month", "day"], time_format="%Y")


def test_offsets_become_utc_where_all_rows_have_one(tmp_path: Path) -> None:
    cells = ["2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00", "2024-03-31T02:30:00Z"]
    for form in (None, "%Y-%m-%dT%H:%M:%S%z"):
        time = in_memory(pd.DataFrame({"date": cells, "a": 1.0}), time_format=form).time
        assert [str(one)[11:16] for one in time] == ["00:30", "01:30", "02:30"]
    frame = pd.DataFrame({"date": [*cells[:2], "2024-04-01 00:00"], "a": 1.0})
    with pytest.raises(InputError, match="row 4.*'2024-04-01 00:00' has no offset from UTC"):
        in_memory(frame)


def test_parts_of_time_are_whole_and_in_range() -> None:
    def read(**parts: Any) -> Any:
        frame = pd.DataFrame({"year": [2024], "month": [2], "day": [29], "a": 1.0, **parts})
        names = [name for name in frame if name != "a"]
        return in_memory(frame, time=names).time[0]

    assert str(read(hour=[23])) == "2024-02-29T23:00:00"
    for parts, message in (
        ({"day": [30]}, "column 'day': 30 is no day of month 2"),
        ({"month": [13]}, "column 'month': 13 is no month"),
        ({"hour": [1.5]}, "column 'hour': 1.5 is no hour"),
        ({"year": [24]}, "column 'year': 24 is no year"),
    ):
        with pytest.raises(InputError, match=f"row 2, {message}"):
            read(**parts)


def test_no_more_rows_are_added_than_there_are(tmp_path: Path) -> None:
    dates = ["2024-01-01", "2024-01-02", "2024-01-03", "2224-01-04", "2224-01-05"]
    rows = [f"{one},1,2" for one in dates]
    (tmp_path / "in.csv").write_text("\n".join(["date,a,b", *rows]))
    message = "missing of 5, most of them between line 4, 2024-01-03.*, and line 5, 2224-01-04"
    reader = TableReader(gaps="fill")
    with pytest.raises(InputError, match=message):
        reader.read(tmp_path / "in.csv")
    with pytest.raises(InputError, match=message):
        reader.ahead(reader.cells(tmp_path / "in.csv"), fitted(np.ones((3, 2))), horizon=1)


def test_objects_and_tables_say_the_same(tmp_path: Path) -> None:
    rows = [{"date": "2024-01-01", "a": 1, "b": None}, {"date": "2024-01-02", "a": True, "b": "?"}]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for reader in (with_pandas, without):
        np.testing.assert_array_equal(
            reader(tmp_path / "in.jsonl").values, [[1, np.nan], [1, np.nan]]
        )
    assert isinstance(read_cells(tmp_path / "in.jsonl"), Cells)


def test_the_line_of_an_empty_cell_is_the_true_one(tmp_path: Path) -> None:
    rows = ["date,a,b", "", *(f"2024-01-0{i},{i},{'' if i == 2 else i}" for i in (1, 2, 3))]
    (tmp_path / "in.csv").write_text("\n".join(rows))
    reader = TableReader()
    with pytest.raises(InputError, match="in.csv: line 4, column 'b' is empty"):
        reader.read(tmp_path / "in.csv")
    with pytest.raises(InputError, match="in.csv: line 4, column 'b' is empty"):
        reader.ahead(reader.cells(tmp_path / "in.csv"), fitted(np.ones((3, 2))), horizon=1)


def test_what_a_frame_leaves_out_is_missing() -> None:
    stamps = pd.to_datetime(["2024-01-01", "2024-01-02"]).tz_localize("Europe/Berlin")
    frame = pd.DataFrame({"date": stamps, "a": pd.array([1, None], dtype="Int64"), "b": [None, 2]})
    table = in_memory(frame, gaps="fill")
    np.testing.assert_array_equal(table.values, [[1, np.nan], [np.nan, 2]])
    assert [str(one)[:16] for one in table.time] == ["2023-12-31T23:00", "2024-01-01T23:00"]


def test_parquet_is_read_whatever_the_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=3).date,
            "a": pd.array([1, None, 3], dtype="Int64"),
            "b": [True, False, True],
            "wind": pd.Categorical(["N", None, "S"]),
        },
        index=[4, 5, 7],
    )
    frame.to_parquet(tmp_path / "in.parquet")
    table = TableReader(covariates=["wind"], words={"wind": ["N", "S"]}, gaps="fill").read(
        tmp_path / "in.parquet"
    )
    assert table.columns == ["a", "b", "wind=N", "wind=S"]
    wanted = [[1, 1, 1, 0], [np.nan, 0, 1, 0], [3, 1, 0, 1]]
    np.testing.assert_array_equal(table.values, wanted)
    assert str(table.time[2]) == "2024-01-03T00:00:00"
