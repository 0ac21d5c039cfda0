"""Public holidays as a column that is known ahead."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.read.table.holidays import Holidays
from seqfuse.runtime.read.table.reader import TableReader


def dates(*given: Any) -> list[str]:
    return [*Holidays(*given)]


def frame(**more: Any) -> pd.DataFrame:
    """Three days, every twelve hours."""
    times = pd.date_range("2024-12-24", periods=6, freq="12h")
    return pd.DataFrame({"date": times, "load": np.arange(6.0), **more})


def test_holidays_are_read_from_a_table_and_from_a_list(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text("date,name\n2024-12-26,second\n2024-12-25,first\n")
    assert dates("days.csv", str(tmp_path)) == ["2024-12-25", "2024-12-26"]
    assert dates(["2024-12-25"]) == ["2024-12-25"]
    assert dates(None) == []
    with pytest.raises(InputError, match=r"none.csv.*data.holidays"):
        dates("none.csv", str(tmp_path))


def test_a_country_is_asked_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in answers as the library does, which is not among what the tests install."""

    def days(code: str, subdiv: str | None = None, years: range = range(0)) -> dict[str, str]:
        return {f"{year}-01-0{1 + (subdiv == 'BY') + (code == 'XNYS')}": "" for year in years}

    library = SimpleNamespace(
        list_supported_countries=lambda: {"DE": ["BY"], "FR": []},
        list_supported_financial=lambda: {"XNYS": []},
        country_holidays=days,
        financial_holidays=days,
    )
    monkeypatch.setitem(sys.modules, "holidays", library)
    assert dates("DE")[:2] == ["1970-01-01", "1971-01-01"]
    assert dates("DE-BY")[-1] == dates("XNYS")[-1] == "2050-01-02"
    for code, named in {"Germany": "Germany.*DE", "DE-XX": "BY", "FR-A": "none"}.items():
        with pytest.raises(InputError, match=f"data.holidays={code}: .*{named}"):
            dates(code)


def test_the_library_itself_knows_christmas() -> None:
    pytest.importorskip("holidays", reason="type pip install 'seqfuse[holidays]'")
    assert "2030-12-25" in dates("DE")
    assert "2030-01-06" in {*dates("DE-BY")} - {*dates("DE")}
    assert "2030-12-25" in dates("XNYS")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(InputError, match=r"data.holidays=DE .*seqfuse.holidays."):
        dates("DE")


def test_a_holiday_lasts_all_day_and_is_known_ahead() -> None:
    reader = TableReader(targets=["load"], known=["hour"], holidays=["2024-12-25"])
    table = reader.parse(as_cells(frame()), horizon=2)
    assert table.columns[1:] == ["holiday", "hour_sin", "hour_cos"]
    assert table.num_known == 3
    assert table.values[:, 1].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    pipeline = TablePipeline()
    pipeline.fit(table.values, table.columns, 1, 3, table.clock, table.holidays)
    again = TableReader(**reader.options).ahead(as_cells(frame()), pipeline, 2)
    np.testing.assert_array_equal(again.values, table.values)


@pytest.mark.parametrize(
    ("more", "options", "named"),
    [
        ({}, {"known": ["holiday"]}, "'holiday' for data.known.*data.holidays=DE"),
        ({"holiday": [0] * 6}, {"holidays": ["2024-12-25"]}, "column 'holiday'.*data.holidays"),
        ({}, {"holidays": ["Christmas"]}, "data.holidays=Christmas"),
        ({}, {"holidays": ["2024-12-25"], "covariates": ["holiday"]}, "'holiday'"),
    ],
)
def test_holidays_that_cannot_be(more: Any, options: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        TableReader(targets=["load"], **options).parse(as_cells(frame(**more)))
