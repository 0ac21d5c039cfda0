"""Tables and the windows over them, on series that count 0, 1, 2…"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.module import DataModule
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader
from tests.tables import counting, windows


def spans(splits: TimeSplits, split: str) -> tuple[list, list]:
    """The numbers in the first and the last window: look-back, then horizon."""
    tensors = splits.tensors(split)
    batch = tensors.__getitems__([0, len(tensors) - 1])
    steps = torch.cat([batch.x[..., 0], batch.y[..., 0]], dim=1)
    return steps[0].tolist(), steps[1].tolist()


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [("train", 0, 59), ("val", 50, 79), ("test", 70, 99)],
)
def test_borders(tmp_path: Path, split: str, first: int, last: int) -> None:
    """Horizons lie within the split; a look-back may reach into the part before."""
    start, end = spans(windows(counting(tmp_path / "a.csv")), split)
    assert start == list(range(first, first + 14))
    assert end == list(range(last - 13, last + 1))


def test_every_window_is_there(tmp_path: Path) -> None:
    splits = windows(counting(tmp_path / "a.csv"))
    assert [len(splits.tensors(s)) for s in ("train", "val", "test")] == [47, 17, 17]
    assert splits.tensors("test").index.tolist() == list(range(80, 97))


@pytest.mark.parametrize(
    "split",
    [
        [0.6, 0.1, 0.1, 0.2],
        [60, 10, 10, 20],
        ["2020-01-03 12:00", "2020-01-03 22:00", "2020-01-04 08:00"],
    ],
)
def test_fractions_rows_and_dates_cut_alike(tmp_path: Path, split: list) -> None:
    splits = windows(counting(tmp_path / "a.csv"), split=split)
    assert splits.has_calibration
    assert spans(splits, "train")[1][-1] == 59
    assert spans(splits, "val")[1][-1] == 69
    assert spans(splits, "calibration")[0][10] == 70
    assert spans(splits, "test")[1][-1] == 99


def test_windows_hold_each_row_once(tmp_path: Path) -> None:
    tensors = windows(counting(tmp_path / "a.csv")).tensors("train")
    assert tensors.windows.filled.nbytes == 60 * 4
    assert tensors.windows.values.nbytes == 60 * 4


def test_series_never_mix(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "date": list(pd.date_range("2020-01-01", periods=50, freq="D")) * 2,
            "name": ["b"] * 50 + ["a"] * 50,
            "value": [*range(1000, 1050), *range(50)],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    splits = windows(tmp_path / "a.csv", {"group": "name"}, split=[30, 10, 10])
    batch = splits.tensors("test").__getitems__(range(len(splits.tensors("test"))))
    assert len(batch.y) == 2 * 7
    steps = torch.cat([batch.x[..., 0], batch.y[..., 0]], dim=1)
    assert torch.all(steps.diff(dim=1) == 1)


def test_scaling_sees_training_rows_alone(tmp_path: Path) -> None:
    splits = windows(counting(tmp_path / "a.csv"))
    pipeline = TablePipeline()
    splits = TimeSplits(TableReader(), pipeline, splits.source, split=[60, 20, 20], look_back=10)
    splits.horizon = 4
    splits.fit()
    assert pipeline.standardisation.mean.tolist() == [29.5]
    np.testing.assert_allclose(pipeline.standardisation.std, np.arange(60).std())
    scaled = pipeline.transform(np.array([[99.0]]))
    np.testing.assert_allclose(pipeline.undo(scaled), [[99.0]], rtol=1e-6)


def test_known_ahead_is_seen_and_the_target_is_not(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv", rain=np.arange(100) + 0.5, sun=np.arange(100) + 0.25)
    reader = {"targets": "value", "covariates": ["sun"], "known": ["rain", "hour"]}
    splits = windows(path, reader)
    assert splits.pipeline.columns == ["value", "sun", "rain", "hour_sin", "hour_cos"]
    batch = splits.tensors("val").__getitems__([0])
    assert batch.x.shape == (1, 14, 5)
    assert batch.mask.tolist() == [[True] * 10 + [False] * 4]
    assert torch.all(batch.x[0, 10:, :2] == 0)
    assert batch.x[0, 10:, 2].tolist() == [60.5, 61.5, 62.5, 63.5]
    torch.testing.assert_close(batch.x[0, 12, 3], torch.tensor(62 % 24 * 2 * np.pi / 24).sin())


def test_gaps_are_filled_and_not_scored(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv")
    rows = path.read_text().splitlines()
    del rows[66]  # value 65
    path.write_text("\n".join(rows))
    splits = windows(path, {"gaps": "fill"})
    batch = splits.tensors("val").__getitems__([2, 10])
    assert batch.y[0, :, 0].isnan().tolist() == [False, False, False, True]
    assert batch.x[1, :, 0].tolist()[:6] == [60, 61, 62, 63, 64, 64]


def test_words_get_a_column_each(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv", wind=["N", "S"] * 50)
    reader = {"targets": "value", "covariates": ["wind"], "words": {"wind": ["S", "W"]}}
    splits = windows(path, reader)
    assert splits.pipeline.columns == ["value", "wind=S", "wind=W"]
    assert splits.table().values[:3].tolist() == [[0, 0, 0], [1, 1, 0], [2, 0, 0]]


def test_returns(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv", value=np.exp(0.25 * np.arange(100)))
    table = windows(path, {"returns": True}).table()
    np.testing.assert_allclose(table.values[1:], 0.25)
    assert table.values[0] == 0


def test_parquet_and_gzip_read_alike(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv")
    frame = pd.read_csv(path)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    tables = [windows(tmp_path / f"a.{end}").table() for end in ("csv", "csv.gz", "parquet")]
    assert len({table.fingerprint() for table in tables}) == 1


@pytest.mark.parametrize(
    ("reader", "knobs", "message"),
    [
        ({"targets": ["valu"]}, {}, "did you mean value?"),
        ({"time": "when"}, {}, "has no column 'when' for data.time"),
    ],
)
def test_ranges(tmp_path: Path, reader: dict, knobs: dict, message: str) -> None:
    path = counting(tmp_path / "a.csv")
    with pytest.raises(InputError, match=message):
        windows(path, reader, **knobs).tensors("val")


def test_ett_borders(data_root: Path) -> None:
    """12, 4 and 4 months of 30 days, as in the literature, and no dropped last window."""
    splits = TimeSplits(
        *(TableReader(), TablePipeline(), TableFile("ett/ETTh1.csv.gz", str(data_root))),
        look_back=720,
        split=[8640, 2880, 2880],
    )
    splits.fit()
    assert [len(splits.tensors(s)) for s in ("train", "val", "test")] == [7825, 2785, 2785]


def test_columns_must_be_those_of_training(tmp_path: Path) -> None:
    path = counting(tmp_path / "a.csv", other=np.arange(100.0))
    trained = windows(path, {"targets": ["value", "other"]})
    again = TimeSplits(
        *(TableReader(targets=["other", "value"]), trained.pipeline, TableFile(str(path))),
        split=[60, 20, 20],
    )
    with pytest.raises(InputError, match="training had value, other"):
        again.table()


def test_a_series_shorter_than_a_season_is_no_error(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "date": [pd.Timestamp("2020-01-01"), *pd.date_range("2020-01-01", periods=99)],
            "name": ["a"] + ["b"] * 99,
            "value": np.arange(100.0),
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    splits = windows(tmp_path / "a.csv", {"group": "name"}, split=[0.6, 0.2, 0.2], season=2)
    assert splits.sizes()["naive_errors"] == [2.0]


@pytest.mark.parametrize(("targets", "items"), [(1, 42), (5, 42), (7, 36)])
def test_a_batch_at_auto_is_of_so_many_series(tmp_path: Path, targets: int, items: int) -> None:
    """A tenth of the windows, but at most 256 series, in even batches."""
    columns = {f"c{i}": np.arange(480.0) for i in range(targets - 1)}
    splits = windows(counting(tmp_path / "a.csv", 480, **columns), split=[472, 4, 4])
    assert len(splits.tensors("train")) == 459
    data = DataModule(splits, batch_size="auto")
    data.setup("fit")
    assert data.batch_size == items
