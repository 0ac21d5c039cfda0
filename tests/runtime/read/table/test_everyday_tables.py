"""Tables as spreadsheets and people write them: read rightly, or refused with what to type."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import lines_of
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.labelled import read_texts
from seqfuse.runtime.read.numbers import with_points
from seqfuse.runtime.read.table.cells import read_cells, read_table
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.stamps import written as stamp_written
from seqfuse.runtime.read.table.table import Table

DAYS = [f"2024-01-{day:02}" for day in range(1, 31)]


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, ""]))
    return path


def table(path: Path, **options: Any) -> Table:
    return TableReader(**options).read(path)


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["3,14", "5", "0,125"], [3.14, 5, 0.125]),
        (["1.234,5", "987", "1.234", "1,234"], [1234.5, 987, 1234, 1.234]),
        (["1,234.5", "987", "1,234", "1.234"], [1234.5, 987, 1234, 1.234]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1 234,5", "2\u00a0345\u00a0678", "7"], [1234.5, 2345678, 7]),
        (["1'234.5", "12\u2019345"], [1234.5, 12345]),
        (["-1.234,50", "+2,5e3"], [-1234.5, 2500]),
        (["1.5", "2.25", "-3"], [1.5, 2.25, -3]),
        (["$1,960.24", "-$3", "($1,200.00)", "7"], [1960.24, -3, -1200, 7]),
        (["$1,960.24", "(1,200.00)", "( 3 )"], [1960.24, -1200, -3]),
        (["1.234,50 €", "7 €"], [1234.5, 7]),
        (["2.5 %", "-1%", "0"], [2.5, -1, 0]),
    ],
)
def test_the_decimal_sign_is_that_of_the_column(cells: list[str], numbers: list[float]) -> None:
    assert [float(cell) for cell in with_points(cells, str)] == numbers


@pytest.mark.parametrize(
    "cells",
    [["1,5", "2.5"], ["a,b", "1.5"], ["1,2,3"], ["1.2.3"], [","], ["$5", "5 €"], ["5%", "0.05"]],
)
def test_cells_that_disagree_are_left_as_they_are(cells: list[str]) -> None:
    assert list(with_points(cells, str)) == cells


def test_either_sign_is_asked_for_but_in_a_file_of_semicolons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'1,234' may be 1234 or 1\.234"):
        with_points(["5", "1,234"], str)
    lines = ["date;price", *(f"{day};1,23{i % 10}" for i, day in enumerate(DAYS))]
    found = table(written(tmp_path / "t.csv", *lines))
    np.testing.assert_allclose(found.values[:3, 0], [1.230, 1.231, 1.232])


@pytest.mark.parametrize("read", [read_table, read_cells])
def test_semicolons_and_tabs_separate_columns(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    for sign in ";\t,":
        lines = [sign.join(row) for row in (["date", "a", "b"], ["2024-01-01", "1.5", "2"])]
        assert list(read(written(tmp_path / "t.csv", *lines)).columns) == ["date", "a", "b"]
    path = written(tmp_path / "u.csv", '"date, of; day"\tprice', "2024-01-01\t1")
    assert list(read(path).columns) == ["date, of; day", "price"]


def test_texts_between_semicolons(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "text;label", "Good, or bad?;up")
    [block] = read_texts(path, "text", "label")
    assert block.labels == ["up"]


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path: Path, ending: str, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    text = mark + end.join(["date,größe", *(f"{day},1.5" for day in DAYS), ""])
    path, content = tmp_path / f"t.{ending}", text.encode(encoding)
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    found = table(path)
    assert found.columns == ["größe"]
    assert found.values.tolist() == [[1.5]] * 30
    assert [number for number, _ in lines_of(path)] == list(range(1, 32))


def test_broken_utf_16_and_workbooks_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("date,a\n".encode("utf-16") + b"\x00")
    with pytest.raises(InputError, match=r"t.csv is broken UTF-16 .*save it as UTF-8"):
        list(lines_of(tmp_path / "t.csv"))
    (tmp_path / "u.csv").write_bytes(b"PK\x03\x04" + b"\x00" * 20)
    with pytest.raises(InputError, match=r"u.csv is a workbook.*save it as CSV"):
        table(tmp_path / "u.csv")
    with pytest.raises(InputError, match=r"v.xlsx: the ending.*\.csv.*save its sheet as CSV"):
        read_cells(written(tmp_path / "v.xlsx"))


@pytest.mark.parametrize("read", [read_table, read_cells])
def test_empty_columns_and_rows_at_the_end_are_left_out(
    tmp_path: Path, read: Callable[[Path], Any]
) -> None:
    path = written(tmp_path / "t.csv", "date,a,,", "2024-01-01,1,,", "2024-01-02,2,,", ",,,", ",,,")
    found = read(path)
    assert list(found.columns) == ["date", "a"]
    assert list(found.columns["date"]) == ["2024-01-01", "2024-01-02"]
    path = written(tmp_path / "t.csv", "date,a", "2024-01-01,1,", "2024-01-02,2,", ",")
    assert list(read(path).columns["a"]) == ["1", "2"]


def test_what_lies_beyond_the_header_or_within_is_refused(tmp_path: Path) -> None:
    for lines, message in (
        (["date,a,,", "2024-01-01,1,,5"], "line 2 has 4 columns, the header 2"),
        (["date,,a", "2024-01-01,,5"], "column 2 has no name"),
        (["date,a", "2024-01-01,1", ",", "2024-01-03,1"], "line 3, column 'date' is empty"),
    ):
        with pytest.raises(InputError, match=message):
            table(written(tmp_path / "t.csv", *lines))


@pytest.mark.parametrize(
    ("form", "dates", "named"),
    [
        ("%d/%m/%Y %H:%M", ["01/02/2024 00:00", "13/02/2024 00:00"], ["'%d/%m/%Y %H:%M'"]),
        ("%m/%d/%Y", ["1/2/2024", "1/13/2024"], ["'%m/%d/%Y'"]),
        ("%d.%m.%Y", ["01.02.2024", "02.02.2024"], ["'%d.%m.%Y'"]),
        ("%d-%m-%Y", ["01-02-2024", "02-02-2024"], ["'%d-%m-%Y' if the day", "'%m-%d-%Y' if"]),
        ("%m/%d/%Y %I:%M:%S %p", ["01/13/2024 01:00:00 PM"] * 2, ["'%m/%d/%Y %I:%M:%S %p'"]),
    ],
)
def test_a_form_of_dates_is_named_as_it_must_be_typed(
    tmp_path: Path, form: str, dates: list[str], named: list[str]
) -> None:
    path = written(tmp_path / "t.csv", "date,a", *(f"{date},1" for date in dates))
    with pytest.raises(InputError, match=r"line 2, column 'date'") as caught:
        table(path)
    assert str(caught.value).count("data.time_format=") == len(named)
    assert all(f"data.time_format={part}" in str(caught.value) for part in named)
    if len(set(dates)) == 2:
        assert len(table(path, time_format=form, gaps="ignore").values) == 2


def test_the_newest_row_may_come_first(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "date,a", *(f"{day},{day[-2:]}" for day in DAYS[::-1]))
    found = table(path)
    assert found.values[:, 0].tolist() == [*range(1, 31)]
    assert found.rows is not None
    assert found.rows.tolist() == [*range(29, -1, -1)]


def test_a_date_and_a_time_may_be_two_columns(tmp_path: Path) -> None:
    rows = [
        f"2024-01-0{day},{hour:02}:00,{24 * day + hour}" for day in (1, 2) for hour in range(24)
    ]
    path = written(tmp_path / "t.csv", "date,time,a", *rows)
    found = table(path, time=["date", "time"])
    assert (found.clock, found.columns) == (Clock(3600), ["a"])
    assert str(found.time[25]) == "2024-01-02T01:00:00"
    with pytest.raises(InputError, match=r"'time' has the time of day: type data.time=\[.*,time\]"):
        table(path, targets=["a"])
    path = written(tmp_path / "t.csv", "Tag;Uhr;a", "31.01.2024;23:30;1,5", "01.02.2024;00:30;2,5")
    found = table(path, time=["Tag", "Uhr"], time_format="%d.%m.%Y %H:%M")
    assert str(found.time[1]) == "2024-02-01T00:30:00"
    assert stamp_written(found.time[1], "23:30") == "00:30"


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
@pytest.mark.parametrize("read", [read_table, read_cells])
def test_row_numbers_of_pandas_are_left_out(
    name: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    rows = [f"{i + 7},{day},{i}" for i, day in enumerate(DAYS)]
    assert list(read(written(tmp_path / "t.csv", f"{name},date,a", *rows)).columns) == ["date", "a"]
    path = written(tmp_path / "t.csv", f"{name},a", *(f"{day},1" for day in DAYS))
    assert list(read(path).columns) == ["index", "a"]
    with pytest.raises(InputError, match="no column 'date'.*type data.time=index"):
        table(path)
    assert len(table(path, time="index").values) == 30


@pytest.mark.parametrize("by_series", [True, False])
def test_rows_of_one_stamp_are_refused_unless_one_is_chosen(
    tmp_path: Path, by_series: bool
) -> None:
    shops = "xy" if by_series else "x"
    rows = [f"{day},{shop},{i}{k}" for shop in shops for i, day in enumerate(DAYS) for k in "12"]
    path, group = written(tmp_path / "t.csv", "date,shop,a", *rows), {"group": "shop"}
    with pytest.raises(InputError, match=r"line 3: .*twice: type data.duplicates=last, or first"):
        table(path, **group)
    for kept, end in (("first", 1), ("last", 2)):
        found = table(path, duplicates=kept, **group)
        assert found.values[:, 0].tolist() == [10 * i + end for i in range(30)] * len(shops)


@pytest.mark.parametrize("form", ["2024-01-01 00:00:{:05.2f}", "17067024{:05.2f}"])
def test_rows_within_a_second_are_their_own_clock(tmp_path: Path, form: str) -> None:
    rows = [f"{form.format(i / 50)},{i}" for i in range(200)]
    path = written(tmp_path / "t.csv", "date,a", *rows)
    with pytest.raises(InputError, match="finer than a second.*data.gaps=ignore"):
        table(path)
    assert table(path, gaps="ignore").values[:, 0].tolist() == [*range(200)]
    path = written(tmp_path / "t.csv", "date,a", *rows, rows[-1])
    with pytest.raises(InputError, match=r"line 202: .* is there twice: .*data.duplicates"):
        table(path, gaps="ignore")


@pytest.mark.parametrize("targets", ["all", ["price"]])
@pytest.mark.parametrize("by_series", [True, False])
def test_a_panel_asks_for_its_group(tmp_path: Path, targets: Any, by_series: bool) -> None:
    keys = [(shop, day) for shop in ("x", "y", "z") for day in DAYS]
    keys = keys if by_series else sorted(keys, key=lambda key: key[1])
    path = written(tmp_path / "t.csv", "date,shop,price", *(f"{d},{s},1.5" for s, d in keys))
    with pytest.raises(InputError, match=r"'shop' tells 3 series apart: type data.group=shop"):
        table(path, targets=targets)
    assert table(path, targets=["price"], group="shop").names == ["x", "y", "z"]


def test_rows_out_of_order_are_no_panel(tmp_path: Path) -> None:
    days = [*DAYS[:10], DAYS[5], *DAYS[10:]]
    rows = [f"{day},{i % 2},{i}" for i, day in enumerate(days)]
    path = written(tmp_path / "t.csv", "date,flag,price", *rows)
    with pytest.raises(InputError, match="is before the row above it: sort the rows by time"):
        table(path)


def test_rows_that_are_there_twice_are_not_to_be_sorted(tmp_path: Path) -> None:
    rows = [f"{day},{i}" for i, day in enumerate(DAYS)]
    path = written(tmp_path / "t.csv", "date,price", *rows, *rows)
    with pytest.raises(InputError, match=rf"line {len(DAYS) + 2}: .* line 2, .*data.group="):
        table(path)


def half(found: Table) -> list[tuple[int, int]]:
    return [(0, len(found.values) // 2)]


def test_words_of_covariates_are_those_of_training(tmp_path: Path) -> None:
    winds = ["NW", "SE"] * 10 + ["E"] * 10
    rows = [f"{day},{i},{wind}" for i, (day, wind) in enumerate(zip(DAYS, winds, strict=True))]
    path = written(tmp_path / "t.csv", "date,price,wind", *rows)
    reader = TableReader(targets=["price"], covariates=["wind"])
    found = reader.read(path, None, (), half)
    assert found.columns == ["price", "wind=NW", "wind=SE"]
    assert found.values[-1].tolist() == [29, 0, 0]
    assert reader.words == {"wind": ["NW", "SE"]}
    # What was fitted tells the words to another reader, of other rows.
    pipeline = TablePipeline()
    pipeline.fit(found.values, found.columns, 1, 0, found.clock)
    fresh = TableReader(targets=["price"], covariates=["wind"])
    few = written(tmp_path / "u.csv", "date,price,wind", *rows[:3])
    assert fresh.ahead(few, pipeline, horizon=2).columns == found.columns
    assert fresh.read(few, found.clock, pipeline.columns).columns == found.columns


def test_words_that_are_no_covariate_are_shown_as_to_be_typed(tmp_path: Path) -> None:
    rows = [f"{day},1,{'NW' if i % 2 else 'SE'}" for i, day in enumerate(DAYS)]
    path = written(tmp_path / "t.csv", "date,price,wind", *rows)
    with pytest.raises(InputError, match=r"data.covariates=\[wind\] \+data.words.wind=\[NW,SE\]"):
        table(path)
    reader = TableReader(targets=["price"], covariates=["note"])
    lines = [f"2024-0{1 + i // 28}-{1 + i % 28:02},1,n{i}" for i in range(60)]
    with pytest.raises(InputError, match=r"'note' has 60 different words.*\+data.words.note"):
        reader.read(written(tmp_path / "u.csv", "date,price,note", *lines), None, (), half)


def test_columns_that_are_not_read_are_known(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "date,a,b,c", *(f"{day},1,2,3" for day in DAYS))
    assert table(path, targets=["a"], covariates=["c"]).left_out == ("b",)
    assert table(path).left_out == ()


def test_a_column_of_dates_is_offered(tmp_path: Path) -> None:
    for dates in ("2024-01-31 12:00", "31.01.2024", "2024-01"):
        (tmp_path / "t.csv").write_text(f"price,note,when\n1,a,{dates}\n")
        with pytest.raises(InputError, match="no column 'date' for data.time.*type data.time=when"):
            TableReader().read(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("price,note\n1,a\n")
    with pytest.raises(InputError, match="no column 'date' for data.time.*name another"):
        TableReader().read(tmp_path / "t.csv")


def test_a_time_of_day_beside_the_newest_row_first_is_a_column_like_any(tmp_path: Path) -> None:
    rows = [f"{day},{i},09:30" for i, day in enumerate(reversed(DAYS))]
    found = table(written(tmp_path / "t.csv", "date,a,opened", *rows), targets=["a"])
    assert found.values[:, 0].tolist() == list(range(29, -1, -1))


@pytest.mark.parametrize(("duplicates", "value"), [("first", 2), ("last", 22)])
def test_the_newest_row_may_be_first_and_be_there_twice(
    duplicates: str, value: int, tmp_path: Path
) -> None:
    rows = ["2024-01-03,3", "2024-01-02,2", "2024-01-02,22", "2024-01-01,1"]
    path = written(tmp_path / "t.csv", "date,a", *rows)
    assert table(path, duplicates=duplicates).values[:, 0].tolist() == [1, value, 3]
    with pytest.raises(InputError, match="line 3: .*is there twice"):
        table(path)
