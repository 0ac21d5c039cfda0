"""Look-backs that begin before their series: shorter, and masked."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.tasks.metrics import NaiveError
from seqfuse.train import train
from tests.conftest import composed
from tests.runtime.fakes import Zeros
from tests.tables import windows

READER = {"targets": ["value"], "group": "name", "known": ["rain"]}


def frame(**series: int) -> pd.DataFrame:
    """Series of so many rows, which count on from 0, 1000, 2000 ..."""
    parts = [
        pd.DataFrame(
            {
                "date": pd.date_range("2024-01-01", periods=rows, freq="h"),
                "name": name,
                "value": 1000.0 * i + np.arange(rows),
                "rain": 1000.0 * i + np.arange(rows) + 0.5,
            }
        )
        for i, (name, rows) in enumerate(series.items())
    ]
    return pd.concat(parts, ignore_index=True)


def splits(folder: Path, given: pd.DataFrame, **options: Any) -> TimeSplits:
    given.to_csv(folder / "a.csv", index=False)
    sizes = {"split": [0.6, 0.2, 0.2], "min_look_back": 3}
    return windows(folder / "a.csv", READER, **{**sizes, **options})


def test_a_short_look_back_comes_first_and_is_masked_behind(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(a=100, b=20))
    batch = data.tensors("train").__getitems__(range(len(data.tensors("train"))))
    starts = batch.index.tolist()
    # Of 60 and of 12 rows, with 3 before and 4 from each start on.
    assert starts == [*range(3, 57), *range(103, 109)]
    for start, x, mask, y in zip(starts, batch.x, batch.mask, batch.y, strict=True):
        begin, row = (0, start) if start < 100 else (1000, start - 100)
        seen = min(row, 10)
        assert mask.tolist() == [True] * seen + [False] * (14 - seen)
        assert x[:seen, 0].tolist() == [begin + row - seen + i for i in range(seen)]
        assert not x[seen:10].any()
        assert x[10:, 1].tolist() == [begin + row + i + 0.5 for i in range(4)]
        assert y[:, 0].tolist() == [begin + row + i for i in range(4)]


def test_without_it_whole_look_backs_alone_are_seen(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(a=100, b=20), min_look_back=None)
    assert data.tensors("train").index.tolist() == list(range(10, 57))
    assert data.tensors("train").__getitems__([0]).mask.sum() == 10
    [note] = [note for note in data.notes() if "min_look_back" in note]
    assert "1 of 2 series" in note
    again = splits(tmp_path, frame(a=100, b=20))
    assert not any("min_look_back" in note for note in again.notes())


@pytest.mark.parametrize("least", [0, 11])
def test_the_range_of_the_least_look_back(tmp_path: Path, least: int) -> None:
    with pytest.raises(InputError, match=f"data.min_look_back={least} .* data.look_back=10"):
        splits(tmp_path, frame(a=100), min_look_back=least)


class Seen(Zeros):
    """Answers the sum of the real steps of the first channel, scaled."""

    def __call__(self, feeds: Feeds) -> Predicted:
        zeros, weights, *_ = super().__call__(feeds)
        sums = (feeds["x"][..., 0] * feeds["mask"]).sum(axis=1)
        return Predicted(zeros + sums.reshape(-1, 1, 1, 1).astype(np.float32), weights)


def forecaster(data: TimeSplits) -> Forecaster:
    return Forecaster({**data.metadata(), "quantiles": [0.5]}, Seen(4, 1, 1))


def test_new_series_are_forecast_from_the_rows_that_they_have(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(a=100, b=20))
    new = frame(a=30, c=9, d=12)
    new.loc[new.groupby("name").cumcount(ascending=False) < 4, "value"] = np.nan
    model = forecaster(data)
    found = pd.DataFrame(model.predict(new))
    assert found["name"].tolist() == ["a"] * 4 + ["c"] * 4 + ["d"] * 4
    wanted = [sum(range(16, 26)), sum(range(1000, 1005)), sum(range(2000, 2008))]
    assert found["value"][::4].tolist() == wanted
    every = pd.DataFrame(model.predict(new, every=1))
    assert every["name"].value_counts().to_dict() == {"a": 24 * 4, "c": 3 * 4, "d": 6 * 4}
    with pytest.raises(InputError, match=r"\(c\): 2 rows up to the last target are too few.*3"):
        model.predict(new.drop(index=range(30, 33)))
    # Arrays: the same rows, those of the horizon behind them.
    for rows, total in ((9, 1000 + 1001 + 1002 + 1003 + 1004), (7, 3003)):
        array = new.loc[new["name"] == "c", ["value", "rain"]].to_numpy()[:rows]
        assert model.predict(array)[0, 0, 0] == total
        assert model.predict(np.stack([array] * 2))[1, 0, 0, 0] == total
    with pytest.raises(InputError, match=r"x has shape .6, 2., expected 7 steps or more"):
        model.predict(new.loc[new["name"] == "c", ["value", "rain"]].to_numpy()[:6])


def test_naive_forecasts_repeat_what_each_series_has() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1).repeat(3, 1, 1)
    mask = torch.arange(6) < torch.tensor([[6], [4], [1]])
    for season, wanted in ((1, [5, 5, 5, 3, 3, 3, 0, 0, 0]), (2, [4, 5, 4, 2, 3, 2, 0, 0, 0])):
        metric = NaiveError(season)
        metric.update(torch.zeros(3, 3, 1, 1), torch.zeros(3, 3, 1), x=x, mask=mask)
        assert metric.compute() == pytest.approx(np.mean(wanted))


@pytest.mark.long
def test_short_series_are_trained_on_and_measured(tmp_path: Path) -> None:
    frame(a=40, b=40, c=14, d=60).to_csv(tmp_path / "a.csv", index=False)
    words = ["data=csv", f"data.file={tmp_path}/a.csv", "data.group=name", "data.targets=[value]",
             "data.look_back=48", "data.horizon=4", "data.min_look_back=2", "data.batch_size=8",
             "data.split=[0.5,0.15,0.15,0.2]", "model.segment_size=8", "data.season=4",
             "data.known=[hour]", "trainer.max_epochs=1", "trainer.accelerator=cpu",
             "trainer.enable_progress_bar=false"]  # fmt: skip
    metrics = train(composed(words), tmp_path / "run")
    assert np.isfinite([metrics["test/mse"], metrics["test/seasonal_mse"]]).all()
    assert (tmp_path / "run" / "figures" / "test_forecasts.png").stat().st_size > 10_000
    model = seqfuse.load(tmp_path / "run" / "checkpoints" / "best.ckpt")
    found = pd.DataFrame(model.predict(frame(a=40, new=2)))
    assert found["name"].unique().tolist() == ["a", "new"]
    assert np.isfinite(found["value"]).all()
    table = model.reader.ahead(as_cells(frame(a=40)), model.pipeline, 4)
    assert table.ends(2).tolist() == [40]
