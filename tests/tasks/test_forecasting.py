"""Forecasting jobs as a whole: what they may see, what they can learn, and what they repeat."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.evaluate import main as evaluate_main
from seqfuse.predict import main as predict_main
from seqfuse.train import train
from tests.conftest import QUIET, assert_refused, composed

N = 400
SIZES = (
    *("data.look_back=24", "data.horizon=6", "data.split=[0.6,0.1,0.1,0.2]", "data.season=12"),
    *("model.segment_size=6", "data.batch_size=32", "callbacks.figures=null"),
)
KINDS = {
    "csv": ("data=csv", "data.time=when", "data.targets=[load,heat]", "data.known=[hour]"),
    "mapped": ("data=mapped", "data.targets=[load,heat]", "data.covariates=[wind]"),
}
SLOWLY_MAPPED = pytest.param("mapped", marks=pytest.mark.slow)
ENDINGS = {"csv": "csv", "mapped": "parquet"}


def table(path: Path, poisoned: bool = False) -> Path:
    """Hourly rows with a daily course; poisoned, the test rows have no number at all."""
    generator = np.random.default_rng(0)
    steps = np.arange(N)
    load = np.sin(steps * np.pi / 6) + 0.1 * generator.normal(size=N)
    columns = {"load": load, "heat": 50 - 3 * load, "wind": generator.normal(size=N)}
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=N, freq="h"), **columns})
    if poisoned:
        frame.loc[int(N * 0.8) :, list(columns)] = np.nan
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=100)
    return path


def run(folder: Path, kind: str, *words: str, poisoned: bool = False) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    path = table(folder / f"table.{ENDINGS[kind]}", poisoned)
    config = [*QUIET, *KINDS[kind], *SIZES, f"data.file={path}", *words]
    return train(composed(config), folder / "run")


def content(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / "run" / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_weights(one: Path, two: Path) -> None:
    pair = [content(folder)["state_dict"] for folder in (one, two)]
    assert any("margins" in name for name in pair[0])
    torch.testing.assert_close(*pair, atol=0, rtol=0)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_poisoned_test_split_changes_nothing(kind: str, tmp_path: Path) -> None:
    words = ("trainer.max_epochs=2", "test=false")
    gaps = ("data.gaps=fill",) if kind == "csv" else ()
    run(tmp_path / "clean", kind, *words, *gaps)
    run(tmp_path / "poisoned", kind, *words, *gaps, poisoned=True)
    assert_same_weights(tmp_path / "clean", tmp_path / "poisoned")


@pytest.mark.long
def test_a_forecast_joins_a_net_and_a_bank(tmp_path: Path) -> None:
    """Either alone is measured, too, and is what a share of all or nothing gives."""
    metrics = run(tmp_path / "both", "csv", "trainer.max_epochs=1")
    assert content(tmp_path / "both")["state_dict"]["net.bank.is_fitted"]
    for part, share in (("net_alone", 0.0), ("bank_alone", 1.0)):
        alone = run(tmp_path / part, "csv", "trainer.max_epochs=1", f"model.bank.share={share}")
        assert alone["test/mse"] == pytest.approx(metrics[f"test/{part}"], rel=1e-5)
    assert metrics["test/mse"] < metrics["test/net_alone"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_batch_can_be_learnt_by_heart(kind: str, tmp_path: Path) -> None:
    words = ("trainer.overfit_batches=1", "trainer.max_epochs=150", "test=false")
    still = ("model.lstm.dropout=0.0", "model.attention.dropout=0.0", "task/loss=absolute")
    metrics = run(tmp_path, kind, *words, *still, "callbacks=none", "scheduler=constant")
    assert metrics["train/loss"] < 0.08  # the noise alone makes 0.1 · 0.8 on average


@pytest.mark.parametrize("kind", ["csv", SLOWLY_MAPPED])
@pytest.mark.parametrize("epochs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_resumed_is_as_never_stopped(kind: str, epochs: int, tmp_path: Path) -> None:
    ema = ("callbacks=ema", "callbacks.ema.decay=0.9", "scheduler=plateau", "test=false")
    run(tmp_path / "whole", kind, "trainer.max_epochs=3", *ema)
    run(tmp_path / "first", kind, f"trainer.max_epochs={epochs}", *ema)
    last = tmp_path / "first" / "run" / "checkpoints" / "last.ckpt"
    run(tmp_path / "second", kind, "trainer.max_epochs=3", *ema, f"resume={last}")
    assert_same_weights(tmp_path / "whole", tmp_path / "second")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("words", [(), ("callbacks=ema", "callbacks.ema.decay=0.9")])
def test_evaluated_and_predicted_as_tested(
    kind: str, words: tuple[str, ...], command: Callable, tmp_path: Path
) -> None:
    metrics = run(tmp_path, kind, "trainer.max_epochs=2", *words)
    ckpt = tmp_path / "run" / "checkpoints" / "best.ckpt"
    code, out, err = command(evaluate_main, f"ckpt={ckpt}", "split=test", *QUIET)
    assert not code, err
    said = dict(line.split() for line in out.splitlines() if line.startswith("test/"))
    tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert said == {name: f"{value:.4f}" for name, value in tested.items()}
    code, _, err = command(predict_main, f"ckpt={ckpt}", "split=test", "output=p.csv", *QUIET)
    assert not code, err
    found = pd.read_csv("p.csv")
    scale = content(tmp_path)["DataModule"]["pipeline"]["standardisation"]["std"]
    errors = [
        (found[n] - found[f"{n}_true"]) / d
        for n, d in zip(("load", "heat"), scale[:2], strict=True)
    ]
    assert np.square(errors).mean() == pytest.approx(metrics["test/mse"], rel=1e-4)
    inside = [
        (found[f"{n}_true"] >= found[f"{n}_q0.1"]) & (found[f"{n}_true"] <= found[f"{n}_q0.9"])
        for n in ("load", "heat")
    ]
    assert np.mean(inside) == pytest.approx(metrics["test/coverage_80"], abs=1e-3)


@pytest.mark.long
def test_rows_of_a_file_are_forecast_like_those_of_a_split(
    command: Callable, tmp_path: Path
) -> None:
    run(tmp_path, "mapped", "trainer.max_epochs=1", "test=false")
    ckpt = f"ckpt={tmp_path}/run/checkpoints/best.ckpt"
    command(predict_main, ckpt, "split=test", "output=split.csv", *QUIET)
    given = (f"input={tmp_path}/table.parquet", "output=file.csv", "every=1")
    code, _, err = command(predict_main, ckpt, *given, *QUIET)
    assert not code, err
    split, file = pd.read_csv("split.csv"), pd.read_csv("file.csv")
    assert file["from"].max() == N - 1  # what comes after the last row
    both = split.merge(file, on=["from", "step"], suffixes=("_split", "_file"))
    assert len(both) == len(split)
    np.testing.assert_allclose(both["load_split"], both["load_file"], rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_a_mapped_file_of_other_columns_is_refused(command: Callable, tmp_path: Path) -> None:
    run(tmp_path, "mapped", "trainer.max_epochs=1", "test=false")
    ckpt = f"ckpt={tmp_path}/run/checkpoints/best.ckpt"
    np.save(tmp_path / "a.npy", np.zeros((100, 3)))
    pd.read_parquet(tmp_path / "table.parquet")[:20].to_parquet(tmp_path / "short.parquet")
    for words, message in (
        (("input=a.npy",), "has no number column 'load' (it has: 0, 1, 2)"),
        (
            ("input=short.parquet",),
            "20 rows up to the last target are too few for data.look_back=24",
        ),
        (("split=test", "every=2"), "every=2 is for input=<file>"),
    ):
        assert_refused(command(predict_main, ckpt, *words, "output=out.csv", *QUIET), message)
        assert not Path("out.csv").exists()
