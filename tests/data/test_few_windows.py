"""`auto` split, season, look-back and horizon: windows for every part and the bands."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import BAND_WINDOWS, TimeSplits, season_of
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader


def splits(folder: Path, rows: int, freq: str = "h", groups: int = 1, **options: Any) -> TimeSplits:
    time = pd.date_range("2024-01-01", periods=rows, freq=freq)
    frame = pd.concat(
        pd.DataFrame({"date": time, "shop": f"s{g}", "price": np.arange(rows) % 7.0, "spare": 1.0})
        for g in range(groups)
    )
    frame.to_csv(folder / "t.csv", index=False)
    gaps = options.pop("gaps", "refuse")
    reader = TableReader(targets=["price"], group="shop", gaps=gaps)
    file = TableFile("t.csv", str(folder))
    sizes = {"look_back": 24, "horizon": 12, "split": "auto", "season": "auto", **options}
    return TimeSplits(reader, TablePipeline(), file, **sizes)


@pytest.mark.parametrize(
    ("rows", "groups", "parts"),
    [
        (2000, 1, {"train": 1400, "val": 100, "calibration": 100, "test": 400}),
        (600, 1, {"train": 360, "val": 60, "calibration": 60, "test": 120}),
        (300, 10, {"train": 180, "val": 30, "calibration": 30, "test": 60}),
        (280, 1, {"train": 196, "val": 28, "test": 56}),
    ],
)
def test_a_split_leaves_enough_windows_to_calibrate(
    tmp_path: Path, rows: int, groups: int, parts: dict[str, int]
) -> None:
    data = splits(tmp_path, rows, groups=groups)
    data.fit()
    assert data.has_calibration == ("calibration" in parts)
    assert {name: int(np.subtract(*data.spans(name)[0][::-1])) for name in parts} == parts
    assert data.num_test == (parts["test"] - 12 + 1) * groups
    notes = list(data.notes())
    assert any("spare" in note and "data.covariates" in note for note in notes)
    if data.has_calibration:
        assert len(data.tensors("calibration")) >= BAND_WINDOWS
        assert len(notes) == 1
    else:
        assert "not calibrated" in notes[-1]
        assert "95 %" in notes[-1]


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (np.where(np.arange(400) % 50, 20.0, -9999), "price is -9999 in 6 of the training rows"),
        (np.where(np.arange(400) < 399, 3.0, 4), "price is 3 in all training rows"),
        (np.arange(400) * 25.0 - 999, ""),
        (np.where(np.arange(400) < 399, np.arange(400) % 7, -9999), ""),  # in the test part alone
    ],
)
def test_marks_of_missing_values_and_constant_targets_are_said(
    price: np.ndarray, said: str, tmp_path: Path
) -> None:
    splits(tmp_path, 400)
    frame = pd.read_csv(tmp_path / "t.csv").assign(price=price)
    frame.to_csv(tmp_path / "t.csv", index=False)
    file, reader = TableFile("t.csv", str(tmp_path)), TableReader(targets=["price"])
    data = TimeSplits(reader, TablePipeline(), file, look_back=24, horizon=12)
    data.fit()
    notes = [note for note in data.notes() if note.startswith("column price")]
    assert len(notes) == bool(said)
    assert not said or said in notes[0]


def test_few_windows_that_were_asked_for_are_said(tmp_path: Path) -> None:
    data = splits(tmp_path, 400, split=[0.75, 0.1, 0.05, 0.1])
    data.fit()
    assert data.has_calibration
    assert "9 windows calibrate them, and one of 95 % needs 19" in list(data.notes())[-1]


@pytest.mark.parametrize(
    ("freq", "gaps", "season"),
    [
        ("h", "refuse", 24),
        ("15min", "refuse", 96),
        ("D", "refuse", 7),
        ("W", "refuse", 52),
        ("MS", "refuse", 12),
        ("ME", "refuse", 12),
        ("QE", "refuse", 4),
        ("YS", "refuse", 1),
        ("B", "refuse", 5),
        ("B", "ignore", 1),
        ("MS", "ignore", 12),
        ("QS", "ignore", 4),
        ("h", "ignore", 1),
        ("7h", "refuse", 1),
        ("YS", "ignore", 1),
    ],
)
def test_the_season_is_that_of_the_clock(tmp_path: Path, freq: str, gaps: str, season: int) -> None:
    data = splits(tmp_path, 200, freq, gaps=gaps, split=[0.7, 0.1, 0.2], horizon=4)
    assert season_of(data.table()) == season
    assert data.season == season
    data.fit()
    assert data.sizes()["season"] == season


def test_a_season_longer_than_the_training_rows_is_none(tmp_path: Path) -> None:
    data = splits(tmp_path, 90, "15min", split=[0.7, 0.1, 0.2], horizon=4)
    data.fit()
    assert (data.season, data.skipped_season) == (1, 96)
    [note] = [note for note in data.notes() if "a season of" in note]
    assert "a season of 96 steps is longer than the 63 rows to train on" in note
    long = splits(tmp_path, 400, "15min", split=[0.7, 0.1, 0.2], horizon=4)
    long.fit()
    assert (long.season, long.skipped_season) == (96, 0)
    assert not any("a season of" in note for note in long.notes())


def test_a_word_is_no_split_and_no_season(tmp_path: Path) -> None:
    for options in ({"split": "half"}, {"split": 5}, {"split": None}, {"season": "day"}):
        with pytest.raises(InputError, match=f"data.{next(iter(options))}="):
            splits(tmp_path, 90, **options)


@pytest.mark.parametrize(
    ("rows", "freq", "look_back", "horizon"),
    [
        (20, "D", 4, 1),
        (60, "D", 7, 3),
        (60, "h", 12, 3),
        (60, "W", 12, 3),
        (60, "MS", 12, 3),
        (900, "D", 49, 7),
        (120, "MS", 24, 6),
        (500, "MS", 84, 12),
        (300, "W", 52, 15),
        (2000, "W", 312, 52),
        (5000, "h", 168, 24),
        (5000, "15min", 288, 96),
        (5000, "YS", 168, 24),
    ],
)
def test_sizes_by_rows_and_season(
    tmp_path: Path, rows: int, freq: str, look_back: int, horizon: int
) -> None:
    gaps = "ignore" if freq in ("MS", "YS") else "refuse"
    data = splits(tmp_path, rows, freq, gaps=gaps, look_back="auto", horizon="auto")
    data.fit()
    sizes = data.sizes()
    assert (sizes["look_back"], sizes["horizon"]) == (look_back, horizon)
    for part in ("train", "val", "test"):
        assert len(data.tensors(part)) > 0
    [note] = [note for note in data.notes() if "data.look_back" in note]
    assert f"data.look_back={look_back} data.horizon={horizon}" in note


def test_given_sizes_stay(tmp_path: Path) -> None:
    data = splits(tmp_path, 900, "D", look_back=30, horizon="auto")
    data.fit()
    assert (data.look_back, data.horizon) == (30, 7)
    data = splits(tmp_path, 900, "D", look_back="auto", horizon=30, season=30)
    data.fit()
    assert (data.look_back, data.horizon, data.season) == (180, 30, 30)
    data = splits(tmp_path, 900, "D", look_back="auto", horizon="auto", split=[600, 100, 10])
    data.fit()
    assert (data.look_back, data.horizon) == (49, 5)


def test_too_few_rows_for_any_size_are_said(tmp_path: Path) -> None:
    for groups, unit in ((1, "11 rows"), (3, "11 rows of a series")):
        data = splits(tmp_path, 11, groups=groups, look_back="auto", horizon="auto")
        with pytest.raises(InputError, match=f"{unit} are .* data.horizon=auto: 20 are enough"):
            data.fit()
    data = splits(tmp_path, 90, look_back="auto", horizon="auto", split=[50, 30, 1])
    with pytest.raises(InputError, match=r"data.split=\[50, 30, 1\] have \[50, 30, 1\]"):
        data.fit()
