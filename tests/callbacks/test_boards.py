"""What dashboards beside TensorBoard get, by the real packages, without a network."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from seqfuse.callbacks.boards import TensorBoard
from seqfuse.train import main, train
from tests.conftest import DRAWN, TINY, composed

Command = Callable[..., tuple[int, str, str]]
SHORT = ("trainer.max_epochs=1", "trainer.log_every_n_steps=1")
FIGURES = ("confusion_matrix", "reliability", "precision_recall", "attention", "most_wrong")
NAN = "optimizer.lr=1e30"


def needs(package: str) -> Any:
    there = importlib.util.find_spec(package) is not None
    return pytest.mark.skipif(not there, reason=f"{package} is an extra: seqfuse[{package}]")


def test_a_run_that_fails_behind_its_training_is_concluded(tmp_path: Path) -> None:
    board = TensorBoard(str(tmp_path))
    board.log_metrics({"train/loss": 1.0}, 0)
    board.finalize("success")  # as the trainer does, before it tests
    board.conclude({"optimizer.lr": 0.1}, "failed", {}, ["test/loss"], 3)
    board.finalize("failed")
    plugin = EventAccumulator(str(tmp_path / "tensorboard")).Reload().summary_metadata
    assert b"failed" in plugin["_hparams_/session_start_info"].plugin_data.content


@pytest.mark.parametrize(("num_folds", "groups"), [(0, 2), (5, 3)])
def test_what_is_not_validated_has_no_empty_charts(
    num_folds: int, groups: int, tmp_path: Path
) -> None:
    board = TensorBoard(str(tmp_path))
    task, trainer = {"metrics": {"accuracy": {}}}, {"limit_val_batches": 1.0}
    board.show_config({"data": {"num_folds": num_folds}, "task": task, "trainer": trainer}, {})
    board.finalize("success")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    content = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert len(Layout.FromString(content).category) == groups


@needs("wandb")
@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_wandb_gets_config_metrics_and_figures(tmp_path: Path) -> None:
    import wandb

    run = tmp_path / "run"
    words = ("logger=wandb", "logger.wandb.offline=true", "name=group", "label=lr_1")
    train(composed([*DRAWN, *SHORT, *words]), run)
    assert wandb.run is None, "a further job begins its own"
    [folder] = run.glob("wandb/offline-run-*")
    [record] = folder.glob("*.wandb")  # protobuf, in which texts are plain
    content = record.read_bytes()
    for text in ("train/loss", "test/accuracy", "best/val/loss", "train/lr", "lr_1", "group"):
        assert text.encode() in content
    for text in ('"completed"', "hidden_size", "seqfuse"):
        assert text.encode() in content
    pictures = [path.name for path in (folder / "files/media/images/test").glob("*.png")]
    assert len(pictures) == len(FIGURES)
    assert all(any(name.startswith(figure) for name in pictures) for figure in FIGURES)
    assert (run / "metrics.csv").is_file()
    assert list(run.glob("lr_1/events*"))


@needs("wandb")
@pytest.mark.filterwarnings("default::DeprecationWarning")
def test_wandb_has_a_run_per_job_closed_also_after_a_failure(
    command: Command, tmp_path: Path
) -> None:
    import wandb

    words = (*TINY, *SHORT, "test=false", "logger=wandb", "logger.wandb.offline=true")
    code, _, err = command(main, "-m", *words, "seed=0,1", NAN)
    assert code == 1
    assert "2 of 2 jobs did not complete" in err
    assert wandb.run is None
    runs = {path.name.split("-")[-1] for path in tmp_path.rglob("offline-run-*")}
    assert len(runs) == 2
    records = list(tmp_path.rglob("*.wandb"))
    assert len(records) == 2
    assert all(b'"diverged"' in record.read_bytes() for record in records)


@needs("mlflow")
@pytest.mark.filterwarnings("default")
def test_mlflow_gets_config_metrics_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["logger=mlflow", f"logger.mlflow.tracking_uri={store}", "name=group", "label=lr_1"]
    train(composed([*DRAWN, *SHORT, *words]), tmp_path / "run")
    client = MlflowClient(store)
    [experiment] = [e for e in client.search_experiments() if e.name == "group"]
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "lr_1")
    assert run.data.tags["status"] == "completed"
    assert run.data.params["model/lstm/hidden_size"] == "64"
    assert {"train/loss", "test/accuracy", "best/val/loss"} <= set(run.data.metrics)
    shown = {file.path for file in client.list_artifacts(run.info.run_id, "test")}
    assert {path.rpartition("_")[0] for path in shown} == {f"test/{name}" for name in FIGURES}
    # A run that goes on adds to its record.
    resume = f"resume={tmp_path}/run/checkpoints/last.ckpt"
    more = ("trainer.max_epochs=2", "test=false", resume)
    train(composed([*DRAWN, *SHORT, *words, *more]), tmp_path / "run")
    [again] = client.search_runs([experiment.experiment_id])
    assert again.info.run_id == run.info.run_id
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert {metric.step for metric in history} == {3, 7}  # behind the checkpoint, logged again


@needs("mlflow")
@pytest.mark.filterwarnings("default")
def test_mlflow_closes_a_run_that_fails(command: Command, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path}/mlflow.db"
    words = (*TINY, *SHORT, "test=false", "logger=mlflow", f"logger.mlflow.tracking_uri={store}")
    code, _, _ = command(main, "-m", *words, "seed=0,1", NAN)
    assert code == 1
    client = MlflowClient(store)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(ids)
    assert [run.info.status for run in runs] == ["FAILED"] * 2
    assert {run.data.tags["status"] for run in runs} == {"diverged"}
    assert len({run.info.run_name for run in runs}) == 2


@needs("trackio")
@pytest.mark.filterwarnings("default")
def test_trackio_gets_config_metrics_and_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)  # it reads where it keeps its files when imported
    words = ["logger=trackio", "name=group", "label=lr_1"]
    train(composed([*DRAWN, *SHORT, *words]), tmp_path / "run")
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    [run] = trackio.Api().runs("group")
    assert "lr_1" in run.name
    assert run.config["model/lstm/hidden_size"] == 64
    seen = SQLiteStorage.get_all_metrics_for_run("group", run.name)
    assert {"train/loss", "test/accuracy", "best/val/loss"} <= set(seen)
    assert len(list((tmp_path / "trackio").rglob("*.png"))) == len(FIGURES)
