"""What is held out of windows: how much, for how long, and always the same in a test."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.imputation import MaskedSplits, Masking
from seqfuse.data.module import DataModule
from seqfuse.data.read.files import TableFile
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader

ROWS, STEPS = 200, 12


def table(folder: Path, change: Any = None) -> Path:
    """Two columns to fill and one that is seen, with some gaps of their own."""
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(50, 9, size=(ROWS, 3)), columns=["load", "heat", "wind"])
    frame.insert(0, "date", pd.date_range("2024-01-01", periods=ROWS, freq="h"))
    frame.loc[30:34, "load"] = np.nan
    frame.loc[60, ["heat", "wind"]] = np.nan
    (change or (lambda frame: None))(frame)
    frame.to_csv(folder / "mine.csv", index=False)
    return folder / "mine.csv"


def splits(path: Path, masking: Masking | None = None, **more: Any) -> MaskedSplits:
    reader = TableReader(targets=["load", "heat"], covariates=["wind"], gaps="fill")
    options = {"look_back": STEPS, "horizon": STEPS, "split": [120, 40, 40], **more}
    masking = masking or Masking(0.3, [1, 3], 0.5)
    return MaskedSplits(reader, TablePipeline(), TableFile(str(path)), masking, **options)


@pytest.mark.parametrize("rate", [0.125, 0.5])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 6), (5, 5)])
@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_each_value_is_held_out_at_the_rate(
    rate: float, lengths: tuple[int, int], together: float
) -> None:
    """At every step of a window alike, whatever the length of gaps."""
    generator, masking = np.random.default_rng(0), Masking(rate, lengths, together)
    hidden = np.stack([masking(generator, 10, 3) for _ in range(3000)])
    np.testing.assert_allclose(hidden.mean(axis=(0, 2)), rate, atol=0.03)
    between_columns = np.corrcoef(hidden[..., 0].ravel(), hidden[..., 1].ravel())[0, 1]
    assert between_columns == pytest.approx(together, abs=0.04)


def test_gaps_are_as_long_as_they_should() -> None:
    generator, masking = np.random.default_rng(0), Masking(0.1, [4, 4], 0.0)
    hidden = np.stack([masking(generator, 40, 1)[:, 0] for _ in range(300)])
    for row in hidden:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
        inner = [b - a for a, b in edges.reshape(-1, 2) if a > 0 and b < 40]
        assert all(length >= 4 for length in inner)


def test_windows_lie_in_one_split(tmp_path: Path) -> None:
    made = splits(table(tmp_path))
    made.fit()
    spans = {"train": (0, 120), "val": (120, 160), "test": (160, 200)}
    for split, (first, end) in spans.items():
        index = made.tensors(split).index
        assert index.tolist() == list(range(first, end - STEPS + 1))


@pytest.mark.long
def test_a_test_is_always_the_same_and_training_new_each_epoch(tmp_path: Path) -> None:
    path = table(tmp_path)
    first, second = splits(path, seed=1), splits(path, seed=2)
    for made in (first, second):
        made.fit()
    a, b = (made.tensors("test").__getitems__([3, 0]) for made in (first, second))
    torch.testing.assert_close(a.y, b.y, equal_nan=True)
    torch.testing.assert_close(a.x[:1], first.tensors("test").__getitems__([3]).x)

    def epoch(made: MaskedSplits, number: int) -> dict[int, torch.Tensor]:
        order = made.tensors("train").shuffled(0, 32)
        order.set_epoch(number)
        batch = made.tensors("train").__getitems__(list(order))
        assert sorted(batch.index.tolist()) == made.tensors("train").index.tolist()
        return {row: y.isnan() for row, y in zip(batch.index.tolist(), batch.y, strict=True)}

    same = [(epoch(first, 0)[i] == epoch(first, 0)[i]).all() for i in range(20)]
    assert all(same)
    for other in (epoch(first, 1), epoch(second, 0)):
        assert sum(bool((epoch(first, 0)[i] == other[i]).all()) for i in range(20)) < 5


def test_values_held_out_change_nothing_that_is_seen(tmp_path: Path) -> None:
    """Poison: whatever is asked for may have any value, and the input is the same."""
    made = splits(table(tmp_path))
    made.fit()
    items, poisoned = made.tensors("test"), 0
    for row in range(len(items)):
        before = items.__getitems__([row])
        start, asked = int(before.index), ~before.y[0].isnan().numpy()
        values = items.windows.values
        kept = values[start : start + STEPS, :2].copy()
        values[start : start + STEPS, :2][asked] += 1e6
        after = items.__getitems__([row])
        values[start : start + STEPS, :2] = kept
        poisoned += int(asked.sum())
        assert torch.equal(before.x, after.x)
        torch.testing.assert_close(after.y[0][asked], before.y[0][asked] + 1e6, rtol=1e-3, atol=0)
    assert poisoned > 100


def test_what_the_table_lacks_is_never_asked_for(tmp_path: Path) -> None:
    made = splits(table(tmp_path), Masking(0.9, [1, 1], 0.0))
    made.fit()
    items = made.tensors("train")
    batch = items.__getitems__(list(range(len(items))))
    asked = ~batch.y.isnan()
    for row, start in enumerate(batch.index.tolist()):
        for step in range(STEPS):
            lacking = (30 <= start + step <= 34, start + step == 60)
            for column in (0, 1):
                assert not (asked[row, step, column] and lacking[column])


def test_sizes_and_words(tmp_path: Path) -> None:
    data = DataModule(splits(table(tmp_path)), batch_size=8)
    data.setup("fit")
    sizes = data.sizes()
    assert (sizes["channels"], sizes["num_columns"], sizes["num_targets"]) == (6, 3, 2)
    assert "2 columns to fill, 1 covariates; 200 rows" in data.splits.describe()
    assert next(data.splits.notes()).startswith("6 of 400 values are missing")


@pytest.mark.parametrize(("rows", "look_back"), [(80, 4), (ROWS, 10), (4000, 96)])
def test_windows_are_as_long_as_the_rows_allow(rows: int, look_back: int, tmp_path: Path) -> None:
    """Gaps of a few are shorter, and every part of the split has windows."""
    frame = pd.concat([pd.read_csv(table(tmp_path))] * (rows // ROWS + 1)).iloc[:rows]
    frame["date"] = pd.date_range("2024-01-01", periods=rows, freq="h")
    frame.to_csv(tmp_path / "mine.csv", index=False)
    sizes = {"look_back": "auto", "horizon": "auto", "split": "auto"}
    data = DataModule(splits(tmp_path / "mine.csv", Masking(), **sizes), batch_size=8)
    data.setup("fit")
    assert data.sizes()["look_back"] == data.sizes()["horizon"] == look_back
    assert f"data.look_back={look_back} " in list(data.splits.notes())[1]
    for part in ("train", "val", "test"):
        batch = data.splits.tensors(part).__getitems__([0, 1])
        assert batch.x.shape[1] == look_back
    assert Masking().lengths(look_back)[1] == look_back // 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "data.masking.rate=0.0"),
        ({"rate": 1.0}, "data.masking.rate=1.0"),
        ({"lengths": [0, 2]}, "data.masking.lengths"),
        ({"lengths": [3, 2]}, "data.masking.lengths"),
        ({"lengths": [2]}, "data.masking.lengths"),
        ({"lengths": [1, 2.5]}, "data.masking.lengths"),
        ({"together": 1.5}, "data.masking.together=1.5"),
    ],
    ids=str,
)
def test_masking_that_cannot_be_drawn_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Masking(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 6}, "data.horizon=6"),
        ({"look_back": 3, "horizon": 3}, "data.masking.lengths.*data.look_back=3"),
        ({"reader": TableReader(gaps="refuse")}, "data.gaps=refuse"),
        ({"reader": TableReader(gaps="fill", returns=True)}, "data.returns"),
        ({"pipeline": TablePipeline("none")}, "data.scaling=none"),
        ({"pipeline": TablePipeline("series")}, "data.scaling=series"),
        ({"min_look_back": 3}, "data.min_look_back=3"),
        ({"split": [190, 5, 5]}, "val split has 5 rows.*data.look_back=12"),
        (
            {"look_back": "auto", "horizon": "auto", "split": [190, 5, 5]},
            "mine.csv: 200 rows are too few for data.look_back=auto: .*each needs 8",
        ),
        (
            {
                "look_back": "auto",
                "horizon": "auto",
                "split": "auto",
                "masking": Masking(0.3, [1, 30]),
            },
            r"data.masking.lengths=\[1, 30\].*data.look_back=10",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
def test_splits_that_leave_nothing_to_learn_are_refused(
    options: dict, message: str, tmp_path: Path
) -> None:
    parts = {
        "reader": TableReader(gaps="fill"),
        "pipeline": TablePipeline(),
        "source": TableFile(str(table(tmp_path))),
        "masking": Masking(0.3, [1, 3], 0.5),
        "look_back": STEPS,
        "horizon": STEPS,
        "split": [120, 40, 40],
    }
    with pytest.raises(InputError, match=message):
        DataModule(MaskedSplits(**{**parts, **options}), batch_size=4).setup("fit")  # type: ignore[arg-type]


def test_a_column_without_a_value_is_refused(tmp_path: Path) -> None:
    def empty(frame: pd.DataFrame) -> None:
        frame["heat"] = np.nan

    with pytest.raises(InputError, match=r"mine.csv: column 'heat' has no value in the training"):
        splits(table(tmp_path, empty)).fit()
