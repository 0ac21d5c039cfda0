"""Horizons that are still to come, on series that count 0, 1, 2…"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.windows import TimeSplits, WindowTensors
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.packed import pack
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.windows import Windows
from tests.tables import counting, windows

RAIN = {"targets": ["value"], "known": ["rain"]}


def trained(tmp_path: Path, reader: dict | None = None, **columns: Any) -> tuple[TimeSplits, Any]:
    """Splits fitted to a table, and the table."""
    path = counting(tmp_path / "a.csv", **columns)
    return windows(path, reader), pd.read_csv(path)


def ahead(
    splits: TimeSplits, frame: pd.DataFrame, every: int | None = None
) -> tuple[Table, WindowTensors]:
    cells = as_cells(frame)._replace(origin="new.csv")
    reader: Any = splits.reader
    table = reader.ahead(cells, splits.pipeline, splits.horizon)
    starts = table.ends(splits.look_back, every)
    sizes = (splits.look_back, splits.horizon, table.num_targets, table.num_known)
    windows = Windows(*reader.scaled(table, splits.pipeline), starts, *sizes)
    return table, WindowTensors(windows)


def rainy(tmp_path: Path, **reader: Any) -> tuple[TimeSplits, Any]:
    return trained(tmp_path, RAIN | reader, rain=np.arange(100) + 0.5)


def test_the_last_rows_are_looked_back_on(tmp_path: Path) -> None:
    table, found = ahead(*trained(tmp_path))
    batch = found.__getitems__([0])
    assert (len(found), found.index.tolist()) == (1, [100])
    assert batch.x[0, :, 0].tolist() == list(range(90, 100))
    assert batch.y.isnan().all()
    stamps = pd.date_range("2020-01-05 04:00", periods=4, freq="h").to_numpy()
    np.testing.assert_array_equal(table.time[100:], stamps)


def test_months_and_weekdays_go_on_by_the_calendar(tmp_path: Path) -> None:
    for frequency in ("ME", "QS", "B"):
        times = pd.date_range("2020-01-01", periods=104, freq=frequency)
        splits, frame = trained(tmp_path, date=times[:100].strftime("%Y-%m-%d"))
        table, found = ahead(splits, frame)
        assert found.index.tolist() == [100]
        np.testing.assert_array_equal(table.time, times.to_numpy())
        assert pack(splits.pipeline)["state"]["clock"] == list(splits.table().clock or ())


@pytest.mark.parametrize(("every", "starts"), [(1, range(10, 101)), (40, [20, 60, 100])])
def test_every_nth_row_counts_from_the_last(tmp_path: Path, every: int, starts: Any) -> None:
    _, found = ahead(*trained(tmp_path), every)
    assert found.index.tolist() == list(starts)
    assert found.__getitems__([1]).y[0, :, 0].tolist() == [starts[1] + i for i in range(4)]


def test_trailing_rows_without_targets_are_not_seen(tmp_path: Path) -> None:
    splits, frame = trained(tmp_path)
    frame.loc[97:, "value"] = np.nan
    table, found = ahead(splits, frame)
    assert found.index.tolist() == [97]
    assert len(table.time) == 101


def test_rows_after_the_last_target_hold_what_is_known(tmp_path: Path) -> None:
    splits, frame = rainy(tmp_path)
    frame["value"] = frame["value"].where(frame.index < 94)
    batch = ahead(splits, frame)[1].__getitems__([0])
    assert batch.x[0, :, 0].tolist() == [*range(84, 94), 0, 0, 0, 0]
    assert batch.x[0, 10:, 1].tolist() == [94.5, 95.5, 96.5, 97.5]


def test_the_calendar_is_worked_out(tmp_path: Path) -> None:
    splits, frame = trained(tmp_path, {"targets": ["value"], "known": ["hour"]})
    late = ahead(splits, frame)[1].__getitems__([0]).x[0, 10:, 1:]
    early = ahead(splits, frame.iloc[:76])[1].__getitems__([0]).x[0, 10:, 1:]
    np.testing.assert_array_equal(late, early)  # a day apart
    np.testing.assert_allclose(late[:, 0], np.sin(np.arange(100, 104) % 24 / 24 * 2 * np.pi), 1e-5)


def test_parts_of_the_stamp_are_known_ahead(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv")
    frame = pd.read_csv(path, parse_dates=["date"])
    for part in ("year", "month", "day", "hour"):
        frame[part] = getattr(frame["date"].dt, part)
    frame.to_csv(path, index=False)
    reader = {"time": ["year", "month", "day", "hour"], "targets": ["value"], "known": ["hour"]}
    table, found = ahead(windows(path, reader), frame)
    hours = torch.tensor([4.0, 5, 6, 7]) * 2 * np.pi / 24
    known = found.__getitems__([0]).x[0, 10:, 1:]
    torch.testing.assert_close(known, torch.stack([hours.sin(), hours.cos()], dim=1))
    assert str(table.time[-1]) == "2020-01-05T07:00:00"


def test_without_a_clock_there_are_no_stamps(tmp_path: Path) -> None:
    table, found = ahead(*trained(tmp_path, {"gaps": "ignore"}))
    assert found.index.tolist() == [100]
    assert np.isnat(table.time[100:]).all()


def test_each_series_has_its_own_end(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv", name=["b"] * 60 + ["a"] * 40)
    splits = windows(path, {"group": "name"}, split=[20, 10, 10], look_back=5)
    frame = pd.read_csv(path)
    table, found = ahead(splits, frame)
    assert table.names == ["a", "b"]
    batch = found.__getitems__([0, 1])
    assert batch.x[..., 0].tolist() == [[*range(95, 100)], [*range(55, 60)]]
    with pytest.raises(InputError, match=r"new.csv \(a\): 3 rows up to the last target are too"):
        ahead(splits, frame.iloc[:63])


def known_to(row: int) -> Any:
    """Targets end before row 90 of the frame, and what is known ahead before this one."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame["value"] = frame["value"].where(frame.index < 90)
        frame["rain"] = frame["rain"].where(frame.index < row)
        return frame

    return change


BROKEN = {
    "no row ahead": (RAIN, lambda f: f, "'rain' .* 2020-01-05 04:00:00 .step 1 of data.horizon=4"),
    "few rows ahead": (RAIN, lambda f: known_to(99)(f)[:92], "but 2020-01-04 20:00:00 .step 3 of"),
    "cells ahead": (RAIN, known_to(93), "but row 95, 2020-01-04 21:00:00, .step 4 of"),
    "no clock": (
        {"targets": ["value"], "known": ["hour"], "gaps": "ignore"},
        lambda f: f,
        "'hour' is to be known ahead, but the 1. row after the last, 2020-01-05 03:00:00,",
    ),
    "gap ahead": (
        RAIN,
        lambda f: known_to(99)(f).assign(rain=f["rain"].where(f.index != 91)),
        "row 93, column 'rain' is empty",
    ),
    "gap behind": (
        {},
        lambda f: f.assign(value=f["value"].where(f.index != 7)),
        "row 9, column 'v",
    ),
    "no target": ({}, lambda f: f.assign(value=np.nan), "new.csv: no row has a value in value"),
    "too short": ({}, lambda f: f[:9], "new.csv: 9 rows up to the last target are too few"),
    "unknown column": ({}, lambda f: f.assign(b=1), "new.csv has a column 'b' that the training"),
    "off the step": (
        {},
        lambda f: f.iloc[[1, 0, *range(2, 100)]],
        "new.csv: row 3: .* is before the row above it",
    ),
    "other form": (
        {"targets": ["value"], "known": ["hour"]},
        lambda f: f.assign(hour=1)[:96].pipe(lambda g: g.assign(value=g["value"][:90])),
        "is read as the columns value, hour, but the training data as value, hour_sin, hour_cos",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_named(tmp_path: Path, name: str) -> None:
    reader, change, message = BROKEN[name]
    columns = {"rain": np.arange(100) + 0.5} if "rain" in str(reader) else {}
    splits, frame = trained(tmp_path, reader, **columns)
    with pytest.raises(InputError, match=message) as caught:
        ahead(splits, change(frame))
    assert "\n" not in str(caught.value)


def test_gaps_in_what_is_known_are_filled_as_in_training(tmp_path: Path) -> None:
    splits, frame = rainy(tmp_path, gaps="fill")
    frame = known_to(99)(frame).drop(index=91)
    batch = ahead(splits, frame)[1].__getitems__([0])
    assert batch.x[0, 10:, 1].tolist() == [90.5, 90.5, 92.5, 93.5]
