"""Forecasts of arrays in memory."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.writer import Writer
from tests.runtime.fakes import Zeros, metadata

X = np.random.default_rng(0).normal(size=(12, 3)) + 5
"""Five rows more than are looked at: 4 of a look-back, and 3 of a horizon."""
SIZES = {"look_back": 4, "horizon": 3, "quantiles": [0.5], "season": 1}
HOURS = pd.date_range("2024-01-01", periods=20, freq="h")


def forecaster() -> Forecaster:
    pipeline = TablePipeline()
    pipeline.fit(X, ["sales", "rain", "offer"], 1, num_known=1)
    more = {**SIZES, "file_format": {"kind": "table"}}
    return Forecaster(metadata(pipeline, **more), Zeros(3, 1, 1))


@pytest.mark.parametrize(
    ("rows", "column", "value", "message"),
    [
        (8, 1, np.inf, "x: row 8, column 'rain' is infinite: correct it"),
        (0, 0, -np.inf, "x: row 0, column 'sales' is infinite"),
        (10, 2, np.inf, "x: row 10, column 'offer' is infinite"),
        (10, 2, np.nan, "x: column 'offer' is to be known ahead, but step 2 of the 3 behind"),
        (slice(5, 9), 0, np.nan, "x: none of the last 4 rows up to row 8 has a value in sales"),
    ],
)
def test_what_no_forecast_can_come_from_is_refused(
    rows: int | slice, column: int, value: float, message: str
) -> None:
    x = X.copy()
    x[rows, column] = value
    with pytest.raises(InputError, match=message):
        forecaster().predict(x)


def test_what_is_not_looked_at_may_be_anything() -> None:
    x = X.copy()
    x[9:, :2] = [np.nan, np.inf]
    np.testing.assert_array_equal(forecaster().predict(x), forecaster().predict(X))
    x[6, 0] = np.nan
    assert np.isfinite(forecaster().predict(x)).all()


@pytest.mark.parametrize(("every", "forecasts"), [(None, 1), (1, 29), (10, 3)])
def test_the_number_of_rows_is_known_before(
    every: int | None, forecasts: int, tmp_path: Path
) -> None:
    pipeline = TablePipeline()
    pipeline.fit(X, ["0", "1", "2"], 3)
    known = metadata(pipeline, file_format={"kind": "rows"}, **SIZES)
    model = Forecaster(known, Zeros(3, 3, 1), 8, every=every)
    np.save(tmp_path / "a.npy", np.resize(X, (32, 3)))
    rows = model.rows(tmp_path / "a.npy")
    assert rows.total == 3 * forecasts
    assert sum(len(block["step"]) for block in rows) == rows.total


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([X, X[:9]], "x holds rows of unequal lengths, expected numbers .time, columns. or"),
        (X[None][:0], "there is nothing to forecast: x is empty"),
        ([], "x is float64 of shape"),
        (None, "x is NoneType, expected an array, or a table such as a dict of columns"),
        ("sales", "x is str, expected an array, or a table"),
        ("sales.csv", "sales.csv: there is no such file"),
        ({"sales": 3}, "x is dict, expected an array, or a table such as a dict of columns"),
        ({"sales": [3, 4], "when": [1]}, "unequal numbers of rows .sales: 2, when: 1"),
    ],
)
def test_what_is_no_table_is_named(x: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        forecaster().predict(x)


def test_a_path_a_frame_and_columns_are_one_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["sales", "rain", "offer"])
    frame["date"] = pd.date_range("2024-01-01", periods=len(X), freq="s")
    frame.loc[9:, "sales"] = np.nan
    frame.to_csv(tmp_path / "sales.csv", index=False)
    pipeline = TablePipeline()
    pipeline.fit(X, ["sales", "rain", "offer"], 1, num_known=1)
    reader = {"kind": "table", "targets": ["sales"], "covariates": ["rain"], "known": ["offer"]}
    more = {**SIZES, "file_format": reader}
    model = Forecaster(metadata(pipeline, **more), Zeros(3, 1, 1))
    wanted = model.table(tmp_path / "sales.csv")
    assert len(wanted["sales"]) == 3
    path = tmp_path / "sales.csv"
    for x in (path, str(path), frame, {name: frame[name].to_list() for name in frame}):
        found = model.predict(x)
        assert found.keys() == wanted.keys()
        for name, column in wanted.items():
            np.testing.assert_array_equal(found[name], column)


class Even(Zeros):
    """Looks at every step alike."""

    def __call__(self, feeds: Feeds) -> Predicted:
        predicted = super().__call__(feeds)
        return predicted._replace(weights=np.ones_like(predicted.weights))


def counting(
    rows: int = 20, kind: str = "table", seconds: int = 3600, **more: Any
) -> tuple[Forecaster, pd.DataFrame]:
    """A job that forecasts 0, and hourly rows of two columns that count up."""
    frame = pd.DataFrame({"date": HOURS[:rows], "load": np.arange(rows) + 1.0, "heat": 10.0})
    pipeline = TablePipeline("none")
    pipeline.fit(frame[["load", "heat"]].to_numpy(), ["load", "heat"], 2, clock=Clock(seconds))
    reader = {"kind": kind, "targets": ["load", "heat"]}
    return Forecaster(
        metadata(pipeline, file_format=reader, **SIZES), Even(3, 2, 1), 8, **more
    ), frame


def test_forecasts_begin_at_a_stamp_or_at_the_next_row() -> None:
    model, frame = counting()
    for start in ("2024-01-01 10:00", "2024-01-01T09:30", HOURS[10], HOURS[10].to_numpy()):
        found = model.predict(frame, start=start)
        assert found["time"].tolist() == HOURS[10:13].tolist()
        assert found["load_true"].tolist() == [11, 12, 13]
    assert "load_true" not in model.predict(frame)
    assert model.predict(frame, start=HOURS[-1] + pd.Timedelta("1h"))["step"].tolist() == [1, 2, 3]


def test_origins_roll_on_from_the_start_and_the_truth_ends_with_the_file() -> None:
    model, frame = counting()
    found = pd.DataFrame(model.predict(frame, start="2024-01-01 10:00", every=5))
    assert found["from"].unique().tolist() == HOURS[[9, 14, 19]].tolist()
    np.testing.assert_array_equal(found["load_true"], [11, 12, 13, 16, 17, 18, *[np.nan] * 3])
    back = pd.DataFrame(model.predict(frame, every=7))
    assert back["from"].unique().tolist() == HOURS[[5, 12, 19]].tolist(), "counted from the end"
    assert back["load_true"].tolist()[:6] == [7, 8, 9, 14, 15, 16]


def test_a_shorter_horizon_is_the_beginning_of_the_longer_one(tmp_path: Path) -> None:
    model, frame = counting()
    whole = pd.DataFrame(model.predict(frame, every=4))
    short = pd.DataFrame(model.predict(frame, every=4, horizon=2))
    pd.testing.assert_frame_equal(short, whole[whole["step"] <= 2].reset_index(drop=True))
    assert model.predict(np.ones((6, 2)), horizon=2).shape == (2, 2, 1)
    frame.to_csv(tmp_path / "t.csv", index=False)
    rows = counting(every=4, horizon=2)[0].rows(tmp_path / "t.csv")
    assert rows.total == sum(len(block["step"]) for block in rows) == len(short)


def test_rows_without_dates_begin_at_a_number(tmp_path: Path) -> None:
    model, frame = counting(kind="rows")
    frame.drop(columns="date").to_parquet(tmp_path / "t.parquet")
    found = pd.DataFrame(model.predict(tmp_path / "t.parquet", start=14, every=4))
    assert found["from"].unique().tolist() == [13, 17]
    np.testing.assert_array_equal(found["load_true"], [15, 16, 17, 19, 20, np.nan])
    with pytest.raises(InputError, match="start=2024-01-01 must be the number of a row"):
        model.predict(tmp_path / "t.parquet", start="2024-01-01")
    with pytest.raises(InputError, match="start=21 must be from 4.* to 20"):
        model.predict(tmp_path / "t.parquet", start=21)
    with pytest.raises(InputError, match="known=.*data.known"):
        model.predict(tmp_path / "t.parquet", known=frame)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": "soon"}, "start=soon is no time stamp such as 2024-01-31 12:00"),
        ({"start": 20240101}, "start=20240101 is no time stamp"),
        ({"start": "2023-12-31"}, "start=2023-12-31 00:00:00 must be from 2024-01-01 04:00:00"),
        ({"start": "2024-01-01 03:00"}, "must be from 2024-01-01 04:00:00"),
        ({"start": "2024-01-01 20:30"}, "to 2024-01-01 20:00:00"),
        ({"horizon": 0}, "horizon=0: .* trained to forecast 3 steps"),
        ({"horizon": 4}, "horizon=4: .* trained to forecast 3 steps"),
        ({"horizon": 1.5}, "horizon=1.5: "),
        ({"every": 0}, "every=0 must be"),
        ({"known": {"date": ["2024-01-02"]}}, "known=<table>: .*data.known"),
    ],
)
def test_a_request_that_cannot_be_fulfilled(given: dict[str, Any], message: str) -> None:
    model, frame = counting()
    with pytest.raises(InputError, match=message):
        model.predict(frame, **given)


def test_options_of_tables_are_refused_beside_an_array() -> None:
    model, _ = counting()
    for given in ({"every": 2}, {"start": "2024-01-01"}, {"known": {}}):
        with pytest.raises(InputError, match=f"{next(iter(given))}=.* x is an array"):
            model.predict(np.ones((6, 2)), **given)


def test_a_back_test_is_summed_up_beside_naive_forecasts(tmp_path: Path) -> None:
    """The net says 0, and the drift knows a line."""
    model, frame = counting(every=5, start="2024-01-01 10:00")
    frame.to_csv(tmp_path / "t.csv", index=False)
    rows = model.rows(tmp_path / "t.csv")
    found = pd.concat(map(pd.DataFrame, rows))
    text = "\n".join(rows.notes())
    assert "2 forecasts" in text
    assert np.nanmean(found["load_true"]) == 14.5
    assert re.search(r"load +MAE +14.5 +2 +\S+\n", text), "the last value lags by 1, 2 and 3"
    assert text.splitlines()[-1].startswith("warning     scaled MAE")
    twice = model.folder([tmp_path / "t.csv", tmp_path / "t.csv"])
    assert len(list(twice)) == 2
    assert [line for line in twice.notes() if line.startswith("file")] == ["file        t.csv"] * 2


def test_panels_show_what_was_forecast() -> None:
    model, frame = counting(start="2024-01-01 10:00", every=1)
    table, starts = model.windows(as_cells(frame))
    [(name, panels)] = model.panels(table, starts)
    assert name == ""
    assert len(panels) == 12, "6 origins of two targets"
    assert {panel.title.split(",")[0] for panel in panels} == {"load", "heat"}
    first, last = panels[0], panels[-2]
    assert first.time.tolist() == HOURS[6:13].tolist()
    assert first.history.tolist() == [7, 8, 9, 10]
    assert first.truth.tolist() == [11, 12, 13]
    assert first.prediction.tolist() == [[0]] * 3
    assert np.isnan(last.truth).all()
    assert last.history.tolist() == [17, 18, 19, 20]


@pytest.mark.parametrize(
    ("hours", "first", "seen"),
    [
        (24, "2024-01-20,2024-01-21,1", "2024-01-20"),
        (1, "2024-01-01 19:00:00,2024-01-01 20:00:00,1", "2024-01-01 19:00:00"),
        # Horizons of hours that begin at midnight are no days.
        (8, "2024-01-07 08:00:00,2024-01-07 16:00:00,1", "2024-01-07 08:00:00"),
    ],
)
def test_days_are_written_as_dates(hours: int, first: str, seen: str, tmp_path: Path) -> None:
    model, frame = counting(seconds=3600 * hours)
    frame["date"] = pd.date_range("2024-01-01", periods=20, freq=f"{hours}h")
    frame.to_csv(tmp_path / "in.csv", index=False)
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        with Writer(tmp_path / name) as writer:
            for block in model.rows(tmp_path / "in.csv"):
                writer.write(block)
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith(first)
    line = (tmp_path / "out.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["from"] == seen.replace(" ", "T")
    for found in (pd.read_parquet(tmp_path / "out.parquet"), model.predict(frame)):
        assert str(found["from"].dtype).startswith("datetime64[")
        assert "[D]" not in str(found["from"].dtype)
