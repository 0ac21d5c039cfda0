"""Imputation as a whole: what it may see, what it can learn, and what it repeats."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.config import loading
from seqfuse.evaluate import main as evaluate_main
from seqfuse.predict import main as predict_main
from seqfuse.tasks.metrics import InterpolationError
from seqfuse.train import train
from tests.conftest import QUIET, composed

N = 400
SIZES = (
    *("data.look_back=16", "data.masking.lengths=[1,6]", "data.batch_size=64"),
    *("model.cnn.channels=[8]", "model.lstm.hidden_size=8", "callbacks.figures=null"),
)


def table(path: Path, poisoned: bool = False) -> Path:
    """Hourly rows, of which one column tells the other, with gaps; poisoned, other test rows."""
    draw = np.random.default_rng(0)
    load = np.sin(np.arange(N) * np.pi / 6) + 0.5 * draw.normal(size=N)
    frame = pd.DataFrame({"load": load, "heat": 50 - 3 * load})
    frame.insert(0, "date", pd.date_range("2024-01-01", periods=N, freq="h"))
    frame.loc[draw.random(N) < 0.1, "load"] = np.nan
    if poisoned:
        frame.loc[int(0.8 * N) :, ["load", "heat"]] = 1e6
    frame.to_csv(path, index=False)
    return path


def run(folder: Path, *words: str, poisoned: bool = False) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    path = table(folder / "mine.csv", poisoned)
    own = ("data=incomplete", f"data.file={path}")
    return train(composed([*QUIET, *own, *SIZES, *words]), folder / "run")


def content(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_weights(one: Path, two: Path) -> None:
    torch.testing.assert_close(
        *(content(folder)["state_dict"] for folder in (one, two)), atol=0, rtol=0
    )


@pytest.mark.long
def test_a_poisoned_test_split_changes_nothing(tmp_path: Path) -> None:
    words = ("trainer.max_epochs=2", "test=false")
    run(tmp_path / "clean", *words)
    run(tmp_path / "poisoned", *words, poisoned=True)
    assert_same_weights(tmp_path / "clean", tmp_path / "poisoned")


@pytest.mark.long
def test_what_is_asked_for_changes_no_prediction(tmp_path: Path) -> None:
    """Poison: with other values where some are held out, the trained net says the same of them."""
    run(tmp_path, "trainer.max_epochs=1", "test=false")
    task, data, _ = loading.load(tmp_path / "run/checkpoints/best.ckpt")
    items = data.tensors("test")
    batch = items.__getitems__([5])
    start, asked = int(batch.index), ~batch.y[0].isnan().numpy()
    assert asked.any()
    with torch.no_grad():
        before = task(batch.x, batch.mask).prediction
        items.windows.values[start : start + 16][asked] = 1e6
        other = items.__getitems__([5])
        after = task(other.x, other.mask).prediction
    assert (other.y[0][asked] == 1e6).all()
    assert torch.equal(before, after)


@pytest.mark.long
def test_baselines_are_those_of_pandas(tmp_path: Path) -> None:
    metrics = run(tmp_path, "trainer.max_epochs=1")
    _, data, _ = loading.load(tmp_path / "run/checkpoints/best.ckpt")
    items = data.tensors("test")
    values, errors, means = items.windows.values, [], []
    for start in items.index.tolist():
        given, hidden = values[start : start + 16].astype(np.float64), items.hidden(start)
        line = pd.DataFrame(np.where(hidden, np.nan, given)).interpolate(limit_direction="both")
        asked = hidden & ~np.isnan(given)
        errors += (line.fillna(0).to_numpy() - given)[asked].tolist()
        means += given[asked].tolist()
    assert metrics["test/interpolation_mse"] == pytest.approx(np.square(errors).mean(), rel=1e-5)
    assert metrics["test/interpolation_mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert metrics["test/mean_mse"] == pytest.approx(np.square(means).mean(), rel=1e-5)
    assert metrics["test/mean_mae"] == pytest.approx(np.abs(means).mean(), rel=1e-5)


def test_what_is_seen_is_no_error_of_interpolation() -> None:
    metric = InterpolationError(num_columns=2, power=2)
    x = torch.tensor([[[3.0, 1.0, 0.0, 1.0]]])  # two columns, of which the second is seen
    metric.update(torch.zeros(1, 1, 2, 1), torch.tensor([[[1.0, 9.0]]]), x, torch.ones(1, 1))
    assert metric.compute() == 4


@pytest.mark.slow
def test_a_column_is_told_by_another(tmp_path: Path) -> None:
    """Interpolation cannot know the noise; the other column does."""
    words = ("data.masking.together=0.0", "trainer.max_epochs=40", "optimizer.lr=0.01")
    metrics = run(tmp_path, *words, "data.masking.lengths=[1,1]")
    assert metrics["test/mse"] < 0.4 * metrics["test/interpolation_mse"]
    assert metrics["test/mse"] < 0.4 * metrics["test/mean_mse"]


@pytest.mark.slow
def test_one_batch_can_be_learnt_by_heart(tmp_path: Path) -> None:
    words = ("trainer.overfit_batches=1", "trainer.max_epochs=200", "test=false")
    still = ("model.lstm.dropout=0.0", "callbacks=none", "scheduler=constant", "optimizer.lr=0.01")
    metrics = run(tmp_path, *words, *still, "model.lstm.hidden_size=32")
    assert metrics["train/loss"] < 0.05


@pytest.mark.long
def test_resumed_is_as_never_stopped(tmp_path: Path) -> None:
    """The gaps of an epoch are the same, however it was reached."""
    words = ("scheduler=plateau", "test=false")  # a cosine is made for its number of steps
    run(tmp_path / "whole", "trainer.max_epochs=3", *words)
    run(tmp_path / "first", "trainer.max_epochs=2", *words)
    last = tmp_path / "first" / "run" / "checkpoints" / "last.ckpt"
    run(tmp_path / "second", "trainer.max_epochs=3", *words, f"resume={last}")
    assert_same_weights(tmp_path / "whole", tmp_path / "second")


@pytest.mark.long
def test_evaluated_and_predicted_as_tested(command: Callable, tmp_path: Path) -> None:
    metrics = run(tmp_path, "trainer.max_epochs=1")
    ckpt = tmp_path / "run" / "checkpoints" / "best.ckpt"
    code, out, err = command(evaluate_main, f"ckpt={ckpt}", "split=test", *QUIET)
    assert not code, err
    said = dict(line.split() for line in out.splitlines() if line.startswith("test/"))
    tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert said == {name: f"{value:.4f}" for name, value in tested.items()}
    code, _, err = command(predict_main, f"ckpt={ckpt}", "split=test", "output=p.csv", *QUIET)
    assert not code, err
    found = pd.read_csv("p.csv")
    wanted = ["from", "time", "column", "prediction", "interpolation", "true"]
    assert list(found) == wanted
    state = content(tmp_path)["DataModule"]["pipeline"]
    scale = dict(zip(state["columns"], state["standardisation"]["std"], strict=True))
    for name, metric in (("prediction", "mse"), ("interpolation", "interpolation_mse")):
        errors = (found[name] - found["true"]) / found["column"].map(scale)
        assert np.square(errors).mean() == pytest.approx(metrics[f"test/{metric}"], rel=1e-4)
