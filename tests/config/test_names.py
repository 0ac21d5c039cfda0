"""Runs are named by what was overridden."""

from collections.abc import Callable
from pathlib import Path

import pytest

from seqfuse.config import names
from seqfuse.train import main
from tests.conftest import TINY

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["optimizer.lr=0.01", "seed=1"], "lr=0.01,seed=1"),
        (["model/attention=multihead", "model/lstm=none"], "attention=multihead,lstm=none"),
        (["data.train=/home/me/mine.npz", "+data.note=a b"], "train=mine.npz,note=a_b"),
        (["logger=none", "trainer.accelerator=cpu", "paths.logs=x", "trial.number=3"], None),
        (["callbacks.figures=null", "test=false", "name=mine"], None),
        (["testing.x=1"], "x=1"),
        (["data.name=../../x"], "name=x"),
        (["seed=1", "optimizer.lr=0.1", "seed=2"], "lr=0.1,seed=2"),
        ([], None),
    ],
)
def test_labels(words: list[str], label: str | None) -> None:
    assert names.label(words) == label


def test_labels_are_names_of_folders() -> None:
    label = names.label([f"model.a{i}=[1,2,../{i}]" for i in range(99)])
    assert label
    assert len(label) <= names.LONGEST
    assert "/" not in label


def test_other_tasks_and_first_weights_have_folders_of_their_own() -> None:
    given = ["task=distill", "teacher=a.ckpt"]
    assert names.with_name(given) == [*given, "name=${data.name}_distill"]
    given = ["init_from=a.ckpt", "data.name=GunPoint"]
    assert names.with_name(given) == [*given, "name=${data.name}_init_from"]
    for kept in (
        ["data.name=GunPoint"],
        ["task=distill", "name=mine"],
        ["task=distill,classification", "-m"],
        ["experiment=har_steps", "task=distill"],
        ["debug=fast", "task=contrastive"],  # which has a name
        ["--config-dir", "run", "--config-name", "config", "task=distill"],
        ["init_from=null"],
    ):
        assert names.with_name(kept) == kept


@pytest.mark.long
def test_where_a_run_lands(command: Command, tmp_path: Path) -> None:
    words = ["trainer.max_epochs=1", "test=false", "task=contrastive", "callbacks=none"]
    code, _, err = command(main, *TINY, *words, "optimizer.lr=0.002")
    assert code == 0, err
    [run] = (tmp_path / "logs" / "synthetic_contrastive").iterdir()
    [folder] = {path.parent.name for path in run.rglob("events*")}
    assert "lr=0.002" in folder
    assert f"label: {folder}" in (run / "config.yaml").read_text()


@pytest.mark.long
def test_jobs_of_a_sweep_are_named_by_what_varies(command: Command, tmp_path: Path) -> None:
    words = ["-m", "trainer.max_epochs=1", "test=false", "callbacks=none", "seed=1"]
    code, _, err = command(main, *TINY, *words, "optimizer.lr=1e-3,1e-2")
    assert code == 0, err
    jobs = {path.parent.name for path in (tmp_path / "logs" / "sweeps").rglob("events*")}
    assert jobs == {"lr=0.001", "lr=0.01"}
