"""What is said of classes and of accuracies."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seqfuse.config import runs
from seqfuse.config.cli import offer_recipe
from seqfuse.data.module import DataModule
from seqfuse.data.splits import Folds
from seqfuse.evaluate import evaluate
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.sets import Sets
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.tasks import summary
from seqfuse.train import train
from tests.conftest import composed

QUIET = ("trainer=cpu", "trainer.enable_progress_bar=false", "callbacks.figures=null")


def made(counts: dict[str, int], test: str) -> DataModule:
    def dataset(split: str):
        labels = [name for name, n in counts.items() for _ in range(n)]
        labels = labels if split == "train" else list(test)
        return series(np.random.default_rng(0).normal(size=(len(labels), 4, 1)), labels)

    data = DataModule(Folds(dataset, SeriesPipeline(), num_folds=0))
    data.setup("fit")
    return data


def test_wilson_as_published() -> None:
    assert summary.interval(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = summary.interval(1.0, 150)
    assert 0.97 < low < high == 1.0
    with pytest.raises(InputError, match="0 items"):
        summary.interval(0.5, 0)


def test_rows_of_each_class() -> None:
    text = summary.of_classes(made({"a": 7, "b": 3, "c": 1}, "a"))
    for part in ("a: 7, b: 3, c: 1", "data.num_folds=5", "fewer than 5", "b (3), c (1)"):
        assert part in text
    assert "6 rows of each of 2" in summary.of_classes(made({"a": 6, "b": 6}, "a"))


def test_many_classes_are_a_range() -> None:
    text = summary.of_classes(made({f"c{i:04}": 1 + (i == 0) for i in range(1000)}, "a"))
    assert "1 to 2 rows of each of 1000" in text
    assert "990 more" in text
    assert len(text) < 400


def test_an_accuracy_beside_the_largest_class() -> None:
    data = made({"a": 7, "b": 6}, "aaab")
    assert summary.num_judged(data, "test", [7, 6]) == 4
    assert summary.num_judged(data, "test", None) is None
    line, warning = summary.of_accuracy(1.0, data, "test", [7, 6])
    assert "0.510 to 1.000" in line
    assert "4 series" in line
    assert "always a" in line
    assert "0.750" in line
    assert not warning
    for accuracy in (0.75, 0.5):
        _, warning = summary.of_accuracy(accuracy, data, "test", [7, 6])
        assert "no better than always saying a (0.750)" in warning
        assert "find_lr=true" in warning


def test_an_accuracy_of_steps_beside_the_most_frequent_class() -> None:
    def dataset(split: str):
        labels = [[*"aab"], [*"ab"]] if split == "train" else [[*"abbb"], [*"ab"]]
        return series([np.ones((len(item), 1)) for item in labels], labels)

    data = DataModule(Folds(dataset, SeriesPipeline(), num_folds=0, split="random"))
    data.setup("fit")
    line, warning = summary.of_accuracy(0.5, data, "test", [3, 2])
    assert "6 steps in 2 series; always a, the most frequent class in training: 0.333" in line
    assert not warning


def test_numbers_beside_the_mean() -> None:
    line, warning = summary.of_numbers({"test/r2": 0.826, "test/mae": 3.0}, "test")
    assert "test/r2 0.826: 83 %" in line
    assert not warning
    line, warning = summary.of_numbers({"test/r2": -0.1}, "test")
    assert "no better than always saying the mean" in warning
    assert not line
    for metrics in ({"test/r2": np.nan}, {"test/mae": 1.0}):
        assert summary.of_numbers(metrics, "test") == ("", "")


def test_several_labels_beside_one_answer_for_all() -> None:
    y = torch.tensor([[1, 0], [1, 1], [1, 0], [0, 0]])
    rows = [SimpleNamespace(unit="series")]
    splits = SimpleNamespace(rows=lambda _: rows)
    data: Any = SimpleNamespace(tensors=lambda _: SimpleNamespace(y=y), splits=splits)
    found = {"test/hamming": 0.125, "test/subset_accuracy": 0.75}
    line = summary.of_labels(found, data, "test")
    assert line.startswith("12.5 % of 8 labels, absent or present, of 4 series are wrong; ")
    assert line.endswith("always: 25.0 %; all labels are right for 75.0 % of series")
    assert summary.of_labels({"test/hamming": np.nan}, data, "test") == ""


def test_flagged_steps_in_words() -> None:
    found = {"test/recall": 0.9, "test/precision": 0.446, "test/false_alarms": 0.06}
    line = summary.of_anomalies(found, "test", 0.999)
    assert line.startswith("90 % of anomalous steps are flagged, 45 % of flagged ones are")
    assert "6 % of normal ones are flagged, where task.quantile=0.999 promises 0.1 %" in line
    line = summary.of_anomalies({"test/false_alarms": 0.002}, "test", 0.99)
    assert line.startswith(
        "0.2 % of normal ones are flagged, where task.quantile=0.99 promises 1 %"
    )


@pytest.mark.parametrize(("limit", "found"), [(1.0, {"test_items": 4}), (1, {}), (0.5, {})])
def test_an_accuracy_of_some_batches_is_no_fraction_of_all_items(limit: float, found: dict) -> None:
    record = SimpleNamespace(config={"data": {"class_counts": [7, 6]}})
    trainer: Any = SimpleNamespace(
        lightning_module=SimpleNamespace(record=record),
        datamodule=made({"a": 7, "b": 6}, "aaab"),
        limit_val_batches=1.0,
        limit_test_batches=limit,
    )
    assert runs.num_judged({"test/accuracy": 0.75, "val/loss": 0.1}, trainer) == found
    assert runs.num_judged({"test/loss": 0.75}, trainer) == {}


def test_a_fraction_of_single_precision_is_no_better_than_itself() -> None:
    data = made({"a": 7, "b": 6}, "aaabb")
    assert float(np.float32(0.6)) > 0.6
    _, warning = summary.of_accuracy(float(np.float32(0.6)), data, "test", [7, 6])
    assert warning


@pytest.mark.long
def test_the_largest_class_is_known_without_the_training_file(
    tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(0)
    for name, n in (("train", 24), ("test", 10)):
        y = np.array(["a", "b"])[np.arange(n) % 3 % 2]
        np.savez(tmp_path / f"{name}.npz", x=draw.normal(size=(n, 12, 1)), y=y)
    files = [f"data.{name}={tmp_path / name}.npz" for name in ("train", "test")]
    small = ("data=arrays", *files, "model=bank", "model.bank.num_features=84", *QUIET)
    train(composed([*small, "trainer.max_steps=2", "logger=none"]), tmp_path / "run")
    (tmp_path / "train.npz").unlink()
    capfd.readouterr()
    ckpt = next((tmp_path / "run").rglob("*.ckpt"))
    monkeypatch.setattr("sys.argv", ["seqfuse-evaluate", f"ckpt={ckpt}"])
    offer_recipe()
    words = [f"ckpt={ckpt}", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    evaluate(composed(words, "evaluate"), tmp_path / "evaluated")
    assert "always a, the largest class in training" in capfd.readouterr().out


def test_sets_say_how_far_off_a_run_may_be() -> None:
    scores = [0.0] * 80 + [0.7] * 20
    sets = Sets({"conformal": {"scores": scores, "classes": [0] * 100}}, 2, 0.9)
    line, advice = summary.of_sets({"test/coverage_90": 0.87}, sets)
    assert "test/coverage_90" in line
    assert "100 calibration items" in line
    assert "0.030" in line  # sqrt(0.9 · 0.1 / 100)
    assert advice == ""
    sets = Sets({"conformal": {"scores": scores, "classes": [0] * 100}}, 2, 0.7)
    assert "level=0.9" in summary.of_sets({"test/coverage_70": 0.8}, sets)[1]
    assert summary.of_sets({"test/accuracy": 0.87}, sets) == ("", "")
    assert summary.of_sets({"test/coverage_70": 0.8}, None) == ("", "")


def test_forecasts_beside_the_best_of_the_naive_ones() -> None:
    errors = {"last_value": 4.0, "seasonal": 2.0, "drift": 3.0}
    metrics = {f"test/{name}_{error}": v for name, v in errors.items() for error in ("mae", "mse")}
    line, warning = summary.of_forecasts({**metrics, "test/mae": 1.5, "test/mse": 1.99}, 24, 48)
    assert "test/mae 1.5 is 25 % below the best of the naive forecasts" in line
    assert line.count("(seasonal, 24 steps: 2)") == 2
    assert "test/mse 1.99 is less than 1 % below" in line
    assert not warning
    line, warning = summary.of_forecasts({**metrics, "test/mae": 1.5, "test/mse": 2.0}, 24, 48)
    assert not line
    assert "test/mse 2 is no better than" in warning
    assert "data.look_back" in warning
    better = {**metrics, "test/mae": 2.4, "test/mse": 2.4}
    line, _ = summary.of_forecasts(better, 1, 48)
    assert line.count("(drift: 3)") == 2, "a season of one step is the last value"
    assert "no seasonal one: 96 steps" in summary.of_forecasts(better, 1, 48, 96)[0]
    line, _ = summary.of_forecasts({**metrics, "test/mae": 1.5, "test/mse": 1.5}, 24, 12)
    assert "(seasonal, 12 steps: 2)" in line
    assert summary.of_forecasts({"test/mae": 1.0, "test/mse": 1.0}, 24, 48) == ("", "")


def test_imputations_beside_the_best_of_the_simple_ones() -> None:
    simple = {"interpolation_mae": 0.5, "interpolation_mse": 0.4, "mean_mae": 0.8, "mean_mse": 0.3}
    metrics = {f"test/{name}": value for name, value in simple.items()}
    line, warning = summary.of_imputations({**metrics, "test/mae": 0.4, "test/mse": 0.27})
    assert not warning
    assert "test/mae 0.4 is 20 % below the best" in line
    assert "(linear interpolation: 0.5)" in line
    assert "test/mse 0.27 is 10 % below the best" in line
    assert "(the mean of training: 0.3)" in line
    line, warning = summary.of_imputations({**metrics, "test/mae": 0.4, "test/mse": 0.3})
    assert not line
    assert "test/mse 0.3 is no better" in warning
    assert "trainer.max_epochs" in warning
