"""Training from a composed config: the same numbers again, resumed, reloaded."""

import csv
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import seqfuse
from seqfuse.config import build, recipes
from seqfuse.config.cli import offer_recipe
from seqfuse.data.read.synthetic import Synthetic
from seqfuse.evaluate import evaluate
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import series
from seqfuse.tasks.base import Task
from seqfuse.train import train
from tests.conftest import DRAWN, TINY, Compose, composed
from tests.trained import Killed, assert_same, stop_after, weights, without_time


def slow(*words: str) -> Any:
    return pytest.param(words, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A small run that nothing is changed in, and its metrics."""
    run = tmp_path_factory.mktemp("plain")
    return run, train(composed(TINY), run)


@pytest.mark.long
def test_a_run_leaves_its_folder(tmp_path: Path, capsys, monkeypatch) -> None:
    programs = str(Path(sys.executable).parent)  # an activated environment
    monkeypatch.setenv("PATH", programs + os.pathsep + os.environ["PATH"])
    run = tmp_path / "run"
    metrics = train(composed([*DRAWN, "callbacks.figures.every_n_epochs=1"]), run)
    names = {"config.yaml", "metrics.json", "metrics.csv", "provenance.json"}
    names |= {"checkpoints", "tensorboard", "figures"}
    assert names <= {path.name for path in run.iterdir()}
    known = json.loads((run / "metrics.json").read_text())
    assert known["test/accuracy"] == metrics["test/accuracy"]
    right = known["test/accuracy"] * known["test_items"]
    assert right == pytest.approx(round(right), abs=1e-3), "a fraction of so many items"
    assert known["val_items"] > 0
    facts = json.loads((run / "provenance.json").read_text())["runs"][0]
    assert facts["seed"] == 0
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0]
    assert set(facts["data"]) == {"train", "test"}
    assert facts["command"]
    assert len(facts["git"]["commit"]) == 40
    out = capsys.readouterr().out
    for line in ("test/accuracy", "run  ", "checkpoint  ", "dashboard   tensorboard --logdir"):
        assert line in out
    head = (run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "val/loss", "val/accuracy", "test/accuracy", "train/lr"} <= set(head)


@pytest.mark.long
def test_the_dashboard_is_named_by_its_path_where_nothing_is_activated(
    tiny: Compose, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    train(tiny("trainer.max_epochs=1"), tmp_path / "run")
    command = re.search(r"^dashboard +(.+) --logdir", capsys.readouterr().out, re.MULTILINE)
    assert command is not None
    assert Path(command[1]).samefile(Path(sys.executable).with_name("tensorboard"))


@pytest.mark.long
def test_same_seed_same_numbers_seed_0_included(
    plain: tuple[Path, dict], tiny: Compose, tmp_path: Path
) -> None:
    run, first = plain
    again, other = (train(tiny(f"seed={seed}"), tmp_path / str(seed)) for seed in (0, 1))
    assert without_time(first) == without_time(again)
    assert_same(weights(run), weights(tmp_path / "0"))
    assert first["train/loss"] != other["train/loss"]


@pytest.mark.long
def test_metrics_equal_scikit_learn(tiny: Compose, tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

    metrics = train(tiny("data.num_steps=4", "data.num_samples=200"), tmp_path)
    predictor = seqfuse.load(tmp_path / "checkpoints" / "best.ckpt")
    test = Synthetic(200, 4, 3)("test")
    guess = predictor.predict(list(test))
    assert metrics["test/accuracy"] == pytest.approx(accuracy_score(test.labels, guess))
    balanced = balanced_accuracy_score(test.labels, guess)
    assert metrics["test/balanced_accuracy"] == pytest.approx(balanced)
    macro = f1_score(test.labels, guess, average="macro")
    assert metrics["test/macro_f1"] == pytest.approx(macro, abs=1e-6)
    probabilities = predictor.predict_proba(list(test)).astype(np.float64)
    truth = [predictor.classes.index(label) for label in test.labels or ()]
    loss = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert metrics["test/loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.long
def test_one_batch_is_overfitted(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("debug=overfit", "trainer.max_epochs=60", "model.lstm.dropout=0.0")
    seen = set()
    original = Task.training_step

    def step(self, batch, batch_idx):
        seen.add(tuple(batch.index.tolist()))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(Task, "training_step", step)
    metrics = train(tiny(*overrides, "optimizer.lr=0.01"), tmp_path)
    assert len(seen) == 1
    assert metrics["train/loss"] < 0.02


@pytest.mark.long
@pytest.mark.parametrize(
    "extra",
    [
        (),
        slow("callbacks=ema", "scheduler=cosine", "model=wide"),
        slow("scheduler.monitor=train/loss", "scheduler.patience=0", "optimizer=sgd"),
        slow("data.num_folds=0", "task.monitor=train/loss", "scheduler=onecycle"),
        slow("trainer.limit_train_batches=2", "scheduler.patience=0", "optimizer.lr=0.1"),
    ],
)
def test_resumed_equals_uninterrupted(
    tiny: Compose, tmp_path: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = (*extra, "trainer.max_epochs=6")
    whole = train(tiny(*extra), tmp_path / "whole")
    stop_after(monkeypatch, epoch=2)
    with pytest.raises(Killed):
        train(tiny(*extra), tmp_path / "part")
    monkeypatch.undo()
    last = tmp_path / "part" / "checkpoints" / "last.ckpt"
    resumed = train(tiny(*extra, f"resume={last}"), tmp_path / "part")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    assert saved_at(tmp_path / "whole") == saved_at(tmp_path / "part")
    for key in ("train/loss", "test/loss", "test/accuracy"):
        assert resumed[key] == whole[key], key
    with (tmp_path / "part" / "metrics.csv").open() as file:
        epochs = {row["epoch"] for row in csv.DictReader(file) if row["train/loss"]}
    assert epochs >= set("012345"), "metrics.csv lost what was logged before the stop"


def saved_at(run: Path) -> tuple:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return content["epoch"], content["global_step"], content["lr_schedulers"]


@pytest.mark.long
def test_the_written_config_repeats_the_run(plain: tuple[Path, dict], tmp_path: Path) -> None:
    run, first = plain
    written = OmegaConf.load(run / "config.yaml")
    assert OmegaConf.to_container(written.pop("defaults")) == [{"hydra": "default"}, "_self_"]
    second = train(written, tmp_path / "second")
    assert without_time(first) == without_time(second)


@pytest.mark.long
def test_evaluate_equals_the_training_run(
    plain: tuple[Path, dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trained = plain
    best = run / "checkpoints" / "best.ckpt"
    monkeypatch.setattr("sys.argv", ["seqfuse-evaluate", f"ckpt={best}"])
    offer_recipe()
    quiet = ("trainer.enable_progress_bar=false", "trainer.accelerator=cpu")
    measured = evaluate(composed([f"ckpt={best}", *quiet], "evaluate"), tmp_path / "test")
    assert measured == {key: trained[key] for key in trained if key.startswith("test/")}
    config = composed([f"ckpt={best}", "split=val", *quiet], "evaluate")
    validated = evaluate(config, tmp_path / "val")
    best_loss = torch.load(best, weights_only=True)["callbacks"]
    score = next(v["best_model_score"] for k, v in best_loss.items() if "ModelCheckpoint" in k)
    assert validated["val/loss"] == pytest.approx(float(score), rel=1e-6)
    config = composed([f"ckpt={best}", "data.num_samples=40", *quiet], "evaluate")
    assert evaluate(config, tmp_path / "other")["test/loss"] != measured["test/loss"]


@pytest.mark.long
def test_poisoned_test_split_changes_no_weight(
    plain: tuple[Path, dict], tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Synthetic.__call__

    def poisoned(self, split):
        data = original(self, split)
        if split == "test":
            return series(np.full((len(data), *self.shape), np.nan), data.labels)
        return data

    monkeypatch.setattr(Synthetic, "__call__", poisoned)
    with pytest.raises(InputError, match="row 0 has no value at all"):
        train(tiny(), tmp_path / "poisoned")
    for name in ("best", "last"):
        assert_same(weights(plain[0], name), weights(tmp_path / "poisoned", name))


def test_validation_loss_that_is_nan_is_never_the_best(tiny: Compose, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the loss is nan in validation of epoch 0"):
        train(tiny("data.batch_size=64", "optimizer.lr=1e30"), tmp_path)
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()


@pytest.mark.long
def test_a_run_that_ends_within_an_epoch_is_saved(tiny: Compose, tmp_path: Path) -> None:
    train(tiny("trainer.max_steps=3"), tmp_path)
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] == 3


@pytest.mark.long
def test_a_schedule_with_an_end_cannot_be_extended(tiny: Compose, tmp_path: Path) -> None:
    train(tiny("scheduler=onecycle"), tmp_path)
    last = f"resume={tmp_path}/checkpoints/last.ckpt"
    with pytest.raises(InputError, match="made for 8 steps, not 24"):
        train(tiny("scheduler=onecycle", last, "trainer.max_epochs=6"), tmp_path)
    with pytest.raises(InputError, match="resume goes on with the same net"):
        train(tiny("scheduler=onecycle", last, "model.lstm.hidden_size=8"), tmp_path)


def test_the_defaults_are_the_reference_s(tiny: Compose) -> None:
    """Section 5 of the architecture: dropout, Adam, clipping and the plateau schedule."""
    config = recipes.resolve(composed(["data=synthetic", "model=base"]))
    assert config["model"]["lstm"]["dropout"] == 0.3
    assert config["optimizer"]["_target_"] == "torch.optim.Adam"
    assert config["optimizer"]["lr"] == 1e-3
    assert config["trainer"]["gradient_clip_algorithm"] == "norm"
    assert config["trainer"]["gradient_clip_val"] == 1.0
    plateau = {key: config["scheduler"][key] for key in ("monitor", "factor", "patience")}
    assert plateau == {"monitor": "val/loss", "factor": 0.5, "patience": 3}


@pytest.mark.long
def test_nan_loss_stops_and_keeps_the_last_good_checkpoint(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqfuse.tasks.losses import CrossEntropy

    original, calls = CrossEntropy.forward, []

    def forward(self, prediction, y):
        calls.append(prediction.requires_grad)
        loss = original(self, prediction, y)
        return loss * math.nan if sum(calls) > 6 else loss

    monkeypatch.setattr(CrossEntropy, "forward", forward)
    with pytest.raises(
        InputError, match=r"the loss is nan in batch 2 of epoch 1.*1e-4 to 1e-3.*best"
    ):
        train(tiny(), tmp_path)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path, "best").values())


@pytest.mark.long
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=wide", "model/attention=multihead", "model.lstm.bidirectional=true"),
        ("scheduler=constant", "optimizer=adamw", "clip=value"),
        ("precision=bf16-mixed", "trainer.accumulate_grad_batches=2"),
        ("trainer.check_val_every_n_epoch=2", "trainer.limit_train_batches=2"),
        ("trainer.limit_val_batches=0", "task.monitor=train/loss", "scheduler=constant"),
        ("task.loss.class_weights=balanced", "task.loss.label_smoothing=0.1", "logger=none"),
        ("callbacks.early_stopping=null", "callbacks.figures=null", "logger=csv", "debug=fast"),
        (
            "data.num_workers=2",
            "data.missing=indicator",
            "data.channels=auto",
            "data.scaling=series",
        ),
        ("callbacks=none", "scheduler=cosine"),
    ],
)
def test_options_train(tiny: Compose, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    metrics = train(tiny(*overrides), tmp_path)
    assert 0 < metrics["test/loss"] < 10


@pytest.mark.slow
def test_compiled_net_trains_to_the_same_checkpoint_names(tmp_path: Path) -> None:
    """In a process of its own: shape checks cannot be compiled."""
    words = [word for word in TINY if "accelerator" not in word]
    line = "from seqfuse.train import main; main()"
    argv = [sys.executable, "-c", line, *words, "trainer=cpu", "trainer.compile=true"]
    subprocess.run([*argv, "hydra.run.dir=run"], cwd=tmp_path, check=True)
    names = set(weights(tmp_path / "run", "best"))
    assert "net.head.linear.weight" in names
    assert not [name for name in names if "_orig_mod" in name]


@pytest.mark.long
def test_total_steps_reach_the_end_of_the_schedule(tiny: Compose, tmp_path: Path) -> None:
    recipe = tiny("scheduler=cosine", "trainer.max_epochs=3", "trainer.accumulate_grad_batches=3")
    train(recipe, tmp_path)
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["lr_schedulers"][0]["_last_lr"][0] == pytest.approx(0, abs=1e-6)
    assert content["global_step"] == 3 * 2


def test_rehearsal_reads_no_data(tiny: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Synthetic, "__call__", lambda *_: pytest.fail("data was read"))
    build.rehearse(tiny())
    for override, message in (
        ("model.lstm.dropout=2.0", "model.lstm: dropout=2.0 must be"),
        ("optimizer.lr=-1.0", "optimizer: Invalid learning rate"),
        ("scheduler.factor=3.0", "scheduler: factor=3.0 must be"),
        ("task.loss.label_smoothing=1.5", "task.*label_smoothing=1.5"),
        ("+model.cnn.depth=3", r"model\.cnn\.depth"),
    ):
        with pytest.raises(InputError, match=message):
            build.rehearse(tiny(override))


@pytest.mark.long
def test_the_same_weights_with_any_number_of_workers(
    plain: tuple[Path, dict], tiny: Compose, tmp_path: Path
) -> None:
    for workers in (1, 2):
        recipe = tiny(f"data.num_workers={workers}", "test=false")
        assert recipe.model.lstm.dropout > 0
        train(recipe, tmp_path / str(workers))
        assert_same(weights(plain[0]), weights(tmp_path / str(workers)))


WATCH = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch sees", os.environ.get("CUBLAS_WORKSPACE_CONFIG"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
sys.argv = ["seqfuse-train", *{words!r}]
from seqfuse.train import main
main()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("word", "own", "seen"),
    [
        ("trainer.deterministic=true", None, ":4096:8"),
        ("trainer.deterministic=true", ":16:8", ":16:8"),
        ("trainer.deterministic=false", None, "None"),
    ],
)
def test_cublas_is_told_before_torch_is_imported(
    tmp_path: Path, word: str, own: str | None, seen: str
) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    env = {key: value for key, value in os.environ.items() if key != name}
    done = subprocess.run(
        [sys.executable, "-c", WATCH.format(words=[*TINY, word])],
        cwd=tmp_path,
        env=env | ({name: own} if own else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == f"torch sees {seen}\n", done.stderr


def test_lightning_does_not_write_over_the_user_s_own(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    recipe = tiny("trainer.deterministic=true")
    recipe.paths.run = str(tmp_path)
    try:
        build.build_trainer(recipes.resolve(recipe))
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    finally:
        torch.use_deterministic_algorithms(False)
