"""A metric without a value is no success: it has a reason, or the run ends with an error."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.config import runs
from seqfuse.evaluate import main as evaluate
from seqfuse.runtime.errors import Diverged
from seqfuse.train import main
from tests.conftest import QUIET
from tests.made import make

SMALL = ("trainer.max_epochs=1", "callbacks.figures=null", "data.batch_size=8", *QUIET)
PUMPS = ("data=labelled", "data.look_back=16", "data.horizon=8", "model.segment_size=8")
ROWS = ("data=csv", "data.look_back=16", "data.horizon=8", "model.segment_size=8")


def table(path: Path) -> pd.DataFrame:
    steps = np.arange(200)
    value = np.sin(steps / 3) + np.random.default_rng(0).normal(size=200) / 20
    date = pd.date_range("2024-01-01", periods=200, freq="min")
    frame = pd.DataFrame({"date": date, "value": value, "anomaly": 0})
    frame.to_csv(path, index=False)
    return frame


@pytest.mark.long
def test_without_an_anomaly_the_reason_stands_in_place_of_the_number(
    command: Callable, tmp_path: Path
) -> None:
    table(tmp_path / "in.csv")
    code, out, err = command(main, *PUMPS, "data.file=in.csv", *SMALL)
    assert code == 0, err
    shown = {line.split()[0]: line for line in out.splitlines() if line.startswith("test/")}
    assert "undefined (no recording has an anomaly" in shown["test/vus_pr"]
    assert "undefined (no recording has an anomaly" in shown["test/pca_vus_pr"]
    for name in ("f1", "precision", "recall"):
        assert "undefined (no step" in shown[f"test/{name}"]
    assert 0 <= float(shown["test/false_alarms"].split()[1]) <= 1
    assert "nan" not in out
    [ckpt] = Path("logs").glob("*/*/checkpoints/best.ckpt")
    code, out, err = command(evaluate, f"ckpt={ckpt}", *QUIET)
    assert code == 0, err
    assert "test/vus_pr" in out
    assert "nan" not in out


@pytest.mark.long
def test_a_test_split_where_nothing_was_observed_is_an_error(
    command: Callable, tmp_path: Path
) -> None:
    frame = table(tmp_path / "in.csv").drop(columns="anomaly")
    frame.loc[140:, "value"] = np.nan
    frame.to_csv("in.csv", index=False)
    words = (*ROWS, "data.file=in.csv", "data.split=[0.5,0.2,0.3]", "data.gaps=fill")
    code, out, err = command(main, *words, *SMALL)
    assert code == 1, out
    assert err.count("\n") == 1
    assert "nan, so nothing is measured: check the test split" in err
    assert "the trained net is kept: seqfuse-evaluate ckpt=" in err
    assert "test/" not in out


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"test/loss": math.nan, "test/accuracy": 0.5}, "test/loss is nan"),
        ({"test/loss": math.inf}, "test/loss is inf"),
        ({"test/loss": 0.5, "test/accuracy": math.nan}, "test/accuracy is nan"),
    ],
)
def test_a_number_that_has_to_be_there_is_missed(metrics: dict, message: str) -> None:
    auroc = ("+task.metrics.auroc._target_=seqfuse.tasks.metrics.Auroc", "model.lstm.hidden_size=4")
    task = make("data=synthetic", "data.num_samples=40", *auroc, *QUIET).task
    assert list(runs.undefined({"test/loss": 1.0, "test/auroc": math.nan}, task)) == ["test/auroc"]
    with pytest.raises(Diverged, match=f"{message}, so nothing is measured: check the test split"):
        runs.undefined(metrics, task)
