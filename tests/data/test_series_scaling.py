"""Series of different scales in one table, each in units of its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.predict import main
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.pipelines.packed import pack, unpack
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.rows import RowReader
from seqfuse.train import train
from tests.conftest import composed
from tests.runtime.fakes import Zeros

ROWS = 60
COURSE = np.sin(np.arange(ROWS) / 3) + 0.2 * np.cos(np.arange(ROWS))
SCALES = {"a": (5.0, 1.0), "b": (-700.0, 1000.0), "c": (0.0, 1e-3)}
"""Level and scale of each series."""


def frame(**scales: tuple[float, float]) -> pd.DataFrame:
    dates = pd.date_range("2024-01-01", periods=ROWS, freq="h")
    parts = [
        pd.DataFrame({"date": dates, "shop": name, "price": level + scale * COURSE, "heat": COURSE})
        for name, (level, scale) in scales.items()
    ]
    return pd.concat(parts, ignore_index=True)


def splits(folder: Path, given: pd.DataFrame, **options: Any) -> TimeSplits:
    given.to_csv(folder / "t.csv", index=False)
    reader = TableReader(targets=["price"], covariates=["heat"], group="shop")
    sizes: dict[str, Any] = {"look_back": 10, "horizon": 4, "split": [36, 12, 12], **options}
    file = TableFile("t.csv", str(folder))
    found = TimeSplits(reader, TablePipeline("series"), file, **sizes)
    found.fit()
    return found


def test_series_of_one_course_are_one(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(**SCALES))
    for split in ("train", "test"):
        tensors = data.tensors(split)
        batch = tensors.__getitems__(range(len(tensors)))
        for part in (batch.x, batch.y):
            first, *others = part.chunk(3)
            for other in others:
                torch.testing.assert_close(other, first, atol=1e-4, rtol=0)
    train_rows = (COURSE - COURSE[:36].mean()) / COURSE[:36].std()
    np.testing.assert_allclose(data.tensors("train").windows.values[:36, 0], train_rows[:36], 1e-4)
    assert any("own training rows" in note for note in data.notes())


def test_what_was_scaled_is_undone(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(**SCALES))
    table, starts = data.rows("test")
    windows = data.tensors("test").windows
    for start in starts[:: len(starts) // 5]:
        row = int(start)
        name = "abc"[row // ROWS]
        level, scale = SCALES[name]
        wanted = level + scale * COURSE[row % ROWS : row % ROWS + 4]
        y = windows.y(np.array([row]))[0]
        np.testing.assert_allclose(data.undo(y, row)[:, 0], wanted, rtol=1e-4, atol=1e-6)
        outputs = np.repeat(y[..., None], 3, axis=2)
        np.testing.assert_array_equal(data.undo(outputs, row, True)[..., 1], data.undo(y, row))
    assert table.levels is not None


def test_scales_see_training_rows_alone(tmp_path: Path) -> None:
    clean = splits(tmp_path, frame(**SCALES))
    given = frame(**SCALES)
    given.loc[given.index % ROWS >= 36, "price"] = 1e6
    poisoned = splits(tmp_path, given)
    assert poisoned.pipeline.state_dict() == clean.pipeline.state_dict()


def forecaster(data: TimeSplits) -> Forecaster:
    """Of zeros, which are the mean of what a series is scaled by."""
    again = unpack(json.loads(json.dumps(pack(data.pipeline))))
    metadata = {**data.metadata(), "pipeline": pack(again), "quantiles": [0.5]}
    return Forecaster(metadata, Zeros(4, 1, 1))


def test_a_new_series_is_scaled_by_what_comes_before_its_first_forecast(tmp_path: Path) -> None:
    data = splits(tmp_path, frame(**SCALES))
    model = forecaster(data)
    offset = data.pipeline.standardisation.mean[0]  # all but nothing
    assert abs(offset) < 1e-6
    given = frame(a=(5.0, 1.0), new=(300.0, 40.0))
    found = pd.DataFrame(model.predict(given))
    wanted = [5 + COURSE[:36].mean()] * 4 + [300 + 40 * COURSE.mean()] * 4
    np.testing.assert_allclose(found["price"], wanted, rtol=1e-5)
    every = pd.DataFrame(model.predict(given, every=10))
    new = every.loc[every["shop"] == "new", "price"]
    np.testing.assert_allclose(new, 300 + 40 * COURSE[:10].mean(), rtol=1e-5)
    given.loc[given.index >= ROWS + 10, "price"] = 1e6
    poisoned = pd.DataFrame(model.predict(given, every=10))
    np.testing.assert_array_equal(poisoned.loc[every["shop"] == "new", "price"], new)
    array = given.loc[given["shop"] == "new", ["price", "heat"]].to_numpy()[:10]
    np.testing.assert_allclose(model.predict(array)[:, 0, 0], 300 + 40 * COURSE[:10].mean(), 1e-5)


def test_a_series_that_begins_after_training_is_new(tmp_path: Path) -> None:
    given = frame(**SCALES)
    dates = pd.date_range("2024-01-02 12:00", periods=ROWS, freq="h")
    late = frame(late=(50.0, 9.0)).assign(date=dates)
    days = ["2024-01-02 12:00", "2024-01-02 20:00"]
    data = splits(tmp_path, pd.concat([given, late]), split=days)
    assert set(data.pipeline.series) == {"a", "b", "c"}
    table = data.table()
    assert table.levels is not None
    np.testing.assert_allclose(table.levels[0][3], 50 + 9 * COURSE[:10].mean())


@pytest.mark.long
def test_errors_are_in_units_of_each_series(tmp_path: Path, command: Callable) -> None:
    frame(**SCALES).to_csv(tmp_path / "t.csv", index=False)
    words = ["data=csv", f"data.file={tmp_path}/t.csv", "data.group=shop", "data.targets=[price]",
             "data.look_back=12", "data.horizon=4", "data.scaling=series", "data.season=1",
             "data.split=[0.6,0.1,0.1,0.2]", "model.segment_size=4",
             "trainer.max_epochs=2"]  # fmt: skip
    quiet = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
    metrics = train(composed([*words, *quiet]), tmp_path / "run")
    ckpt = tmp_path / "run" / "checkpoints" / "best.ckpt"
    code, _, err = command(main, f"ckpt={ckpt}", "split=test", "output=p.csv", *quiet)
    assert code == 0, err
    found = pd.read_csv("p.csv")
    pipeline = torch.load(ckpt, weights_only=True)["DataModule"]["pipeline"]
    std = found["shop"].map({name: pipeline["series"][name]["std"][0] for name in SCALES})
    errors = (found["price"] - found["price_true"]) / std / pipeline["standardisation"]["std"][0]
    assert np.square(errors).mean() == pytest.approx(metrics["test/mse"], rel=1e-3)
    model = seqfuse.load(ckpt)
    ahead = pd.DataFrame(model.predict(frame(**SCALES, new=(1e4, 10.0))))
    for name, (level, scale) in {**SCALES, "new": (1e4, 10.0)}.items():
        relative = (ahead.loc[ahead["shop"] == name, "price"] - level) / scale
        assert relative.abs().max() < 10


def test_rows_on_disk_have_one_scale(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((100, 1)))
    file = TableFile("a.npy", str(tmp_path))
    with pytest.raises(InputError, match="data.scaling=series"):
        TimeSplits(RowReader(), TablePipeline("series"), file, 10, 4).fit()
