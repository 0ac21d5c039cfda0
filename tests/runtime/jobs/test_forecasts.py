"""Forecasts of arrays in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.pipelines.scaling import TablePipeline
from tests.runtime.fakes import Zeros, metadata

X = np.random.default_rng(0).normal(size=(12, 3)) + 5
"""Five rows more than are looked at: 4 of a look-back, and 3 of a horizon."""


def forecaster() -> Forecaster:
    pipeline = TablePipeline()
    pipeline.fit(X, ["sales", "rain", "offer"], 1, num_known=1)
    more = {"look_back": 4, "horizon": 3, "quantiles": [0.5], "reader": {"kind": "table"}}
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
    sizes = {"look_back": 4, "horizon": 3, "quantiles": [0.5]}
    known = metadata(pipeline, reader={"kind": "rows"}, **sizes)
    model = Forecaster(known, Zeros(3, 3, 1), 8, every)
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
    more = {"look_back": 4, "horizon": 3, "quantiles": [0.5], "reader": reader}
    model = Forecaster(metadata(pipeline, **more), Zeros(3, 1, 1))
    wanted = model.table(tmp_path / "sales.csv")
    assert len(wanted["sales"]) == 3
    path = tmp_path / "sales.csv"
    for x in (path, str(path), frame, {name: frame[name].to_list() for name in frame}):
        found = model.predict(x)
        assert found.keys() == wanted.keys()
        for name, column in wanted.items():
            np.testing.assert_array_equal(found[name], column)
