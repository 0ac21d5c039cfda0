"""Searches over real, tiny trainings, as a user types them."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from seqfuse.search.outcome import KILLED
from seqfuse.search.storage import open_storage
from seqfuse.train import main
from tests.conftest import TINY, assert_refused
from tests.trained import run_python

Command = Callable[..., tuple[int, str, str]]
SEARCH = [
    "sweep=optuna",
    *TINY,
    "trainer.max_epochs=4",
    "hydra/sweeper/pruner=median",
    "hydra.sweeper.pruner.n_startup_trials=2",
    "hydra.sweeper.pruner.n_warmup_steps=1",
    "hydra.sweeper.num_trials=6",
    "optimizer.lr=tag(log,interval(1e-5,1e-1))",
]


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(str(folder / "logs/sweeps/synthetic/study.journal"))
    return optuna.load_study(study_name="synthetic", storage=storage).trials


def check(found: list[optuna.trial.FrozenTrial], folder: Path) -> None:
    assert {one.state.name for one in found} == {"COMPLETE", "PRUNED"}
    for one in found:
        run = folder / "logs/sweeps/synthetic" / str(one.number)
        outcome = json.loads((run / "outcome.json").read_text())
        assert outcome["status"] == one.user_attrs["status"]
        steps = list(one.intermediate_values)
        if one.state.name == "COMPLETE":
            assert steps == [1, 2, 3, 4]
            assert one.values[0] == outcome["metrics"]["best/val/loss"]
            assert one.values[0] == pytest.approx(min(one.intermediate_values.values()))
        else:
            assert 1 <= len(steps) < 5
            assert outcome["reason"].startswith("others had a better val/loss by epoch")
        assert not any("test/" in name for name in outcome["metrics"]), "the test split was opened"


@pytest.mark.slow
def test_a_search_prunes_and_its_best_can_be_trained(command: Command, tmp_path: Path) -> None:
    code, out, err = command(main, *SEARCH)
    assert code == 0, err
    found = trials(tmp_path)
    assert len(found) == 6
    check(found, tmp_path)
    best = min((one for one in found if one.state.name == "COMPLETE"), key=lambda one: one.values)
    [line] = [line for line in out.splitlines() if line.startswith("train it")]
    code, out, err = command(main, *shlex.split(line)[3:])
    assert code == 0, err
    assert "test/accuracy" in out
    [path] = Path("logs/synthetic").glob("*/metrics.json")
    assert json.loads(path.read_text())["best/val/loss"] == best.values[0], "to the last bit"
    assert_refused(
        command(main, *SEARCH[:-1]),
        "the space of optimizer.lr was 1e-05 to 0.1, log, now 0.0001 to 0.001, log",
    )
    run = f"logs/sweeps/synthetic/{best.number}"
    code, _, err = command(main, "--config-dir", run, "--config-name", "config")
    assert code == 0, err
    assert trials(tmp_path)[best.number].intermediate_values == best.intermediate_values


@pytest.mark.slow
def test_workers_report_and_prune(tmp_path: Path) -> None:
    words = [*SEARCH, "launcher=joblib", "hydra.launcher.n_jobs=2"]
    code = f"import sys; sys.argv = ['seqfuse-train', *{words!r}]\n"
    done = run_python(f"{code}from seqfuse.train import main\nmain()", tmp_path)
    assert done.returncode == 0, done.stderr
    found = trials(tmp_path)
    assert len(found) == 6
    check(found, tmp_path)
    assert "6 of 6 done" in done.stdout


@pytest.mark.slow
def test_a_job_that_fails_is_told_by_the_exit_code(command: Command, tmp_path: Path) -> None:
    words = [*SEARCH[:-2], "hydra.sweeper.num_trials=3", "optimizer.lr=1e-3,1e30"]
    code, out, err = command(main, *words, "hydra/sweeper/sampler=random")
    found = trials(tmp_path)
    statuses = {one.params["optimizer.lr"]: one.user_attrs["status"] for one in found}
    assert statuses == {1e-3: "completed", 1e30: "diverged"}
    assert code == 1
    assert "Traceback" not in err
    assert "experiment=best" in out


@pytest.mark.slow
def test_a_search_answers_for_its_own_trials(command: Command, tmp_path: Path) -> None:
    words = ["sweep=optuna", *TINY, "trainer.max_epochs=1"]
    folder = tmp_path / "logs/sweeps/synthetic"
    code, _, err = command(main, *words, "hydra.sweeper.num_trials=1")
    assert code == 0, err
    KILLED.write(folder / "0", job=0, overrides=[], mode="min")  # as if it were still at work
    for total in (2, 2):  # the second command finds nothing left to do
        code, _, err = command(main, *words, f"hydra.sweeper.num_trials={total}")
        assert code == 0, err
        assert "1 running or abandoned" in (folder / "summary.md").read_text()
