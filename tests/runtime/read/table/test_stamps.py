"""Time stamps as they are written."""

import re
from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.table.cells import rows_in_memory
from seqfuse.runtime.read.table.stamps import half_of_form, shown_in, stamp_of, stamps_of, written


def read(names: list[str], form: str | None = None, **columns: Any) -> np.ndarray:
    return stamps_of(rows_in_memory(columns, "in.csv"), names, form)


@pytest.mark.parametrize(
    "cell",
    ["2020-01-31 13:00", " 2020/01/31 13:00:00", "2020-01-31T13", np.datetime64("2020-01-31T13")],
)
def test_these_forms_are_read(cell: Any) -> None:
    found = read(["when"], when=[cell])
    assert str(found[0]) == "2020-01-31T13:00:00"


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (["2020-01-01T00:00:00", "2020-01-02T00:00:00"], "2020-01-02"),
        (["2020-01-01T23:00:00", "2020-01-02T00:00:00"], "2020-01-02 00:00:00"),
        ([3, 4], "4"),
    ],
)
def test_days_are_shown_without_a_clock(times: list[Any], text: str) -> None:
    array = np.array(times, "datetime64[s]" if isinstance(times[0], str) else int)
    assert shown_in(array, 1) == text


def test_parts_of_a_stamp_are_numbers() -> None:
    columns = {"year": ["2020", "2020"], "month": ["1", "2"], "day": [31, 1.0]}
    assert str(read(list(columns), **columns)[1]) == "2020-02-01T00:00:00"


def test_months_and_years_begin_with_their_first_day() -> None:
    days = ["2020-02-01", "2020-01-01"]
    assert str(read(["when"], when=["2020-02"])[0])[:10] == days[0]
    assert str(read(["Year", "Month"], Year=[2020], Month=["2"])[0])[:10] == days[0]
    for cell in ("2020", 2020, 2020.0):
        assert str(read(["Year"], Year=[cell])[0])[:10] == days[1]
    assert str(read(["year"], year=["2020-02-01"])[0])[:10] == days[0]


@pytest.mark.parametrize(
    ("like", "part", "text"),
    [
        ("2019-12", None, "2020-02"),
        ("2019/12", None, "2020/02"),
        ("2019-12-01", None, "2020-02-01"),
        ("2019-12-01T00:00", None, "2020-02-01T00:00"),
        ("2019", "Year", "2020"),
        (12, "month", 2),
        ("2019-12-01", "year", "2020-02-01"),
    ],
)
def test_stamps_are_written_as_their_neighbours(like: Any, part: str | None, text: Any) -> None:
    assert written(np.datetime64("2020-02-01", "s"), like, part=part) == text


@pytest.mark.parametrize(
    ("cell", "form", "stamp"),
    [
        ("2012Q3", None, "2012-07-01T00:00:00"),
        ("2012-Q3", None, "2012-07-01T00:00:00"),
        ("20240131", None, "2024-01-31T00:00:00"),
        (20240131, None, "2024-01-31T00:00:00"),
        ("2024013112", None, "2024-01-31T12:00:00"),
        ("202401311230", None, "2024-01-31T12:30:00"),
        ("1706702400", None, "2024-01-31T12:00:00"),
        (1706702400000, None, "2024-01-31T12:00:00"),
        (1706702400.0, "unix", "2024-01-31T12:00:00"),
        ("45322.5", "excel", "2024-01-31T12:00:00"),
        (45322, "excel", "2024-01-31T00:00:00"),
    ],
)
def test_quarters_and_numbers_are_stamps_and_written_alike(
    cell: Any, form: str | None, stamp: str
) -> None:
    found = read(["when"], form, when=[cell, cell])
    assert found.astype(str).tolist() == [stamp, stamp]
    assert written(found[0], cell, form) == cell
    if form:
        assert str(stamp_of(cell, form, "start")) == stamp


def test_counted_time_is_of_this_time() -> None:
    with pytest.raises(
        InputError, match=r"row 3, column 'when': 1.7067e\+12 .*data.time_format=unix"
    ):
        read(["when"], when=["1706702400", "1706702400000"])
    with pytest.raises(InputError, match="row 3, column 'when' is empty"):
        read(["when"], when=["1706702400", ""])
    for cell, fix in (("45322", "excel"), ("1950", "%Y")):
        with pytest.raises(InputError, match=f"data.time_format={fix}"):
            read(["when"], when=[cell])


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("Jan 2024", "%b %Y"),
        ("31-Jan-24", "%d-%b-%y"),
        ("January 31, 2024", "%B %d, %Y"),
        ("1/31/24", "%m/%d/%y"),
        ("31.01.24 13:00", "%d.%m.%y %H:%M"),
        ("2024.01.31 12:00", "%Y.%m.%d %H:%M"),
        ("2024-01-31 01:00:00 PM", "%Y-%m-%d %I:%M:%S %p"),
    ],
)
def test_a_form_that_fits_is_named(cell: str, form: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"type data.time_format='{form}'")):
        read(["when"], when=[cell])
    assert str(read(["when"], form, when=[cell])[0]).startswith("2024-01-")


@pytest.mark.parametrize(
    ("names", "keys"),
    [(["year", "day"], "'month'"), (["year", "hour"], "'month'"), (["month", "day"], "'year'")],
)
def test_a_part_between_two_is_missed(names: list[str], keys: str) -> None:
    with pytest.raises(InputError, match=f"data.time=.*has no {keys}"):
        read(names, **{name: [1] for name in names})


@pytest.mark.parametrize("cell", ["1580475600", "2020010100", "2020", "1.58e9", 1580475600, 7.5])
def test_numbers_are_no_stamps(cell: Any) -> None:
    message = "in.csv: row 3, column 'when' holds numbers, not dates such as 2024-01-31 12:00"
    with pytest.raises(InputError, match=message):
        read(["when"], when=["2020-01-31", cell])


@pytest.mark.parametrize("cell", ["01/31/2020 13:00", "31.01.2020", "soon", None, np.nan])
def test_other_forms_are_to_be_named(cell: Any) -> None:
    with pytest.raises(InputError, match="row 2.*data.time_format|empty"):
        read(["when"], when=[cell])


def test_a_year_of_two_digits_leaves_day_and_month_open() -> None:
    with pytest.raises(InputError, match="'%d/%m/%y' if the day comes first, .*'%m/%d/%y'"):
        read(["when"], when=["01/02/24", "02/02/24"])


def test_fractions_of_a_second_are_no_decimals() -> None:
    form, cells = "%d.%m.%Y %H:%M:%S.%f", ["31.01.2024 12:00:00.0", "31.01.2024 12:00:01.5"]
    assert str(read(["when"], form, when=cells)[0]) == "2024-01-31T12:00:00"
    assert str(read(["when"], "%Y", when=["2024.0"])[0]) == "2024-01-01T00:00:00"


@pytest.mark.parametrize("like", [45322, 45322.0, "45322"])
def test_parts_of_a_day_are_written_beside_whole_days(like: Any) -> None:
    noon = np.datetime64("2024-01-31T12:00:00")
    assert float(written(noon, like, "excel")) == 45322.5
    assert isinstance(written(noon, like, "excel"), str) == isinstance(like, str)


def test_a_date_and_a_time_have_one_half_of_a_form_each() -> None:
    form, noon = "%d %b %Y %H:%M", np.datetime64("2024-01-31T12:00:00")
    for like, text in {"01 Feb 2024": "31 Jan 2024", "09:30": "12:00"}.items():
        assert written(noon, like, half_of_form(form, like, like != "09:30")) == text
