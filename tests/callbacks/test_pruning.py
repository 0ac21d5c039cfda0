"""A trial reports to its study from the job, and gives up when it is behind."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch

from seqfuse.callbacks.pruning import Pruning
from seqfuse.runtime.errors import InputError, Pruned
from seqfuse.search.storage import open_storage
from seqfuse.train import train
from tests.conftest import TINY, Compose
from tests.trained import run_python


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    """Three completed trials that reached 0.5 after their first epoch, and one that runs."""
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="mine", storage=storage)
    for _ in range(3):
        trial = study.ask()
        for step in (1, 2, 3):
            trial.report(0.5, step)
        study.tell(trial, 0.5)
    study.ask()
    return study


def validate(tmp_path: Path, *values: tuple[int, float], study: str = "mine") -> None:
    """Validates a trial in these epochs, with these losses."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)
    callback: Any = Pruning("val/loss", str(tmp_path / "study.journal"), study, 3, pruner)
    state = {"is_global_zero": True, "sanity_checking": False}
    strategy = SimpleNamespace(broadcast=lambda behind: behind)
    callback.on_fit_start(SimpleNamespace(**state), None)
    for epoch, value in values:
        metrics = {"val/loss": torch.tensor(value)}
        trainer = SimpleNamespace(
            current_epoch=epoch, callback_metrics=metrics, strategy=strategy, **state
        )
        callback.on_validation_end(trainer, None)


def test_each_epoch_is_reported_once(tmp_path: Path, study: optuna.Study) -> None:
    validate(tmp_path, (0, 0.9), (1, 0.4), (1, 0.8), (2, math.nan))
    assert study.trials[3].intermediate_values == pytest.approx({1: 0.9, 2: 0.4})


def test_a_trial_that_is_behind_ends(tmp_path: Path, study: optuna.Study) -> None:
    with pytest.raises(Pruned, match="others had a better val/loss by epoch 2"):
        validate(tmp_path, (0, 0.9), (1, 0.8))


def test_a_study_that_is_not_there(tmp_path: Path, study: optuna.Study) -> None:
    with pytest.raises(InputError, match="there is no trial 3 of study 'other'"):
        validate(tmp_path, study="other")


def trial_of(tmp_path: Path, pruner: str) -> list[str]:
    return [
        f"trial.storage={tmp_path / 'study.journal'}",
        "trial.study=mine",
        "trial.number=3",
        f"trial.pruner={{_target_:optuna.pruners.{pruner}}}",
    ]


@pytest.mark.long
def test_a_run_is_pruned(tmp_path: Path, study: optuna.Study, tiny: Compose) -> None:
    words = [*trial_of(tmp_path, "MedianPruner"), "optimizer.lr=0"]
    words[3] = words[3].replace("}", ",n_startup_trials:2}")
    with pytest.raises(Pruned, match="by epoch 1"):
        train(tiny(*words), tmp_path / "run")
    [value] = study.trials[3].intermediate_values.values()
    assert 0.5 < value < 1


@pytest.mark.long
def test_what_a_run_keeps_reports_to_no_study(
    tmp_path: Path, study: optuna.Study, tiny: Compose
) -> None:
    metrics = train(tiny(*trial_of(tmp_path, "NopPruner")), tmp_path / "run")
    values = study.trials[3].intermediate_values
    assert list(values) == [1, 2]
    assert values[2] == metrics["val/loss"]
    for path in ("config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
        assert b"study.journal" not in (tmp_path / "run" / path).read_bytes(), path
    assert "storage: null" in (tmp_path / "run" / "config.yaml").read_text()


@pytest.mark.slow
def test_a_plain_run_imports_no_optuna(tmp_path: Path) -> None:
    code = f"""
import sys
sys.argv = ["seqfuse-train", *{TINY!r}, "trainer.max_epochs=1"]
from seqfuse.train import main
main()
print("imported", sorted({{"optuna", "sqlalchemy"}} & set(sys.modules)))
"""
    done = run_python(code, tmp_path)
    assert "imported []" in done.stdout, done.stderr
