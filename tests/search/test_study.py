"""A study reaches its total, whatever ends its trials or its processes."""

import json
import math
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from seqfuse.config import runs
from seqfuse.runtime.errors import InputError
from seqfuse.search import study
from seqfuse.search.outcome import KILLED, Outcome
from seqfuse.search.space import Dimension, Goal
from seqfuse.search.study import Trial
from tests.searches import GOAL, SPACE, completed, finish, random, search


@pytest.mark.long
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_search_goes_on_to_its_total(tmp_path: Path, kind: str) -> None:
    address = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else str(tmp_path / "a.journal")
    assert finish(search(tmp_path, 3, address=address), tmp_path) == [0, 1, 2]
    assert finish(search(tmp_path, 3, address=address), tmp_path) == []
    assert finish(search(tmp_path, 5, address=address), tmp_path) == [3, 4]
    again = search(tmp_path, 5, address=address)
    best = again.best()
    assert best is not None
    assert best.number == 4
    assert best.values == [0.2]
    assert best.user_attrs["folder"] == str(tmp_path / "4")


def test_the_same_seed_tries_the_same_values(tmp_path: Path) -> None:
    values = []
    for name, stops, seed in (("a", (5,), 0), ("b", (2, 5), 0), ("c", (5,), 1)):
        for total in stops:
            address = str(tmp_path / f"{name}.journal")
            finish(search(tmp_path, total, address=address, seed=seed), tmp_path)
        trials = search(tmp_path, 5, address=address).trials()
        values.append([one.params["optimizer.lr"] for one in trials])
    assert values[0] == values[1], "going on draws what one search would have drawn"
    assert values[0] != values[2]
    assert len(set(values[0])) == 5


@pytest.mark.parametrize(
    ("outcome", "state", "status", "reason"),
    [
        (completed(0.5), TrialState.COMPLETE, "completed", ""),
        (completed(math.nan), TrialState.FAIL, "diverged", "best/val/loss is nan"),
        (completed(math.inf), TrialState.FAIL, "diverged", "best/val/loss is inf"),
        (Outcome("completed", {"val/loss": 1.0}), TrialState.FAIL, "failed", "no best/val/loss"),
        (Outcome("failed", {}, "data.x"), TrialState.FAIL, "failed", "data.x"),
        (Outcome("diverged", {}, "the loss is nan"), TrialState.FAIL, "diverged", "nan"),
        (Outcome("out of memory", {}, "CUDA"), TrialState.FAIL, "out of memory", "CUDA"),
        (Outcome("pruned", {}, "behind"), TrialState.PRUNED, "pruned", "behind"),
    ],
)
def test_trials_are_recorded_as_what_they_are(
    tmp_path: Path, outcome: Outcome, state: TrialState, status: str, reason: str, capsys: Any
) -> None:
    with search(tmp_path) as found:
        [trial] = found.ask(1, random)
        found.tell(trial, outcome, tmp_path / "0")
    [one] = search(tmp_path).trials()
    assert one.state == state
    assert one.user_attrs["status"] == status
    assert reason in one.user_attrs["reason"]
    assert one.user_attrs["folder"] == str(tmp_path / "0")
    assert len(search(tmp_path).counted()) == 1, "it has been tried"
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert status in out
    assert "1 of 5 done" in out


def test_the_best_may_be_the_largest(tmp_path: Path) -> None:
    goal = GOAL._replace(mode="max")
    finish(search(tmp_path, 3, goal), tmp_path)
    best = search(tmp_path, 3, goal).best()
    assert best is not None
    assert best.number == 0


def test_a_batch_is_claimed_at_once_and_ends_at_the_total(tmp_path: Path) -> None:
    with search(tmp_path, 5) as found:
        trials = found.ask(3, random)
        assert [one.number for one in trials] == [0, 1, 2]
        assert len({one.overrides[0] for one in trials}) == 3
        for one in trials:
            found.tell(one, completed(1.0), tmp_path)
        assert [one.number for one in found.ask(3, random)] == [3, 4]


def test_an_interrupted_search_gives_its_places_back(tmp_path: Path) -> None:
    with search(tmp_path, 2) as found:
        found.ask(2, random)
    assert [one.user_attrs["status"] for one in search(tmp_path).trials()] == ["abandoned"] * 2
    assert finish(search(tmp_path, 2), tmp_path) == [2, 3], "numbers, and so folders, go on"


WORK = """
import sys, time
from pathlib import Path
from tests.searches import completed, random, search
folder = Path(sys.argv[1])
with search(folder, int(sys.argv[2])) as found:
    print("ready", flush=True)
    sys.stdin.readline()
    while trials := found.ask(1, random):
        if sys.argv[3] == "die":
            __import__("os")._exit(9)
        if sys.argv[3] == "wait":
            print("claimed", flush=True)
            sys.stdin.readline()
        for one in trials:
            (folder / str(one.number)).mkdir()
            time.sleep(0.02)
            found.tell(one, completed(1.0), folder / str(one.number))
"""


def worker(folder: Path, total: int, deed: str) -> Any:
    words = [sys.executable, "-c", WORK, str(folder), str(total), deed]
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    process: Any = subprocess.Popen(words, text=True, env=env, cwd=folder, **pipes)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def go(process: Any) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.slow
def test_processes_share_one_total(tmp_path: Path) -> None:
    both = [worker(tmp_path, 12, "work") for _ in range(2)]
    for one in both:
        go(one)
    outputs = [one.communicate()[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert all("trial" in text for text in outputs), "each had its share"
    trials = search(tmp_path, 12).trials()
    assert [one.state for one in trials] == [TrialState.COMPLETE] * 12
    assert sorted(int(p.name) for p in tmp_path.iterdir() if p.is_dir()) == list(range(12))


@pytest.mark.slow
def test_only_trials_of_dead_processes_are_given_up(tmp_path: Path) -> None:
    living = worker(tmp_path, 3, "wait")
    go(living)
    assert living.stdout.readline() == "claimed\n"
    dead = worker(tmp_path, 3, "die")
    dead.communicate("go\n")
    assert dead.returncode == 9
    states = [one.state.name for one in search(tmp_path).trials()]
    assert states == ["RUNNING", "RUNNING"]
    assert finish(search(tmp_path, 3), tmp_path) == [2, 3]
    trials = search(tmp_path).trials()
    assert [one.state.name for one in trials] == ["RUNNING", "FAIL", "COMPLETE", "COMPLETE"]
    assert trials[1].user_attrs["status"] == "abandoned"
    living.communicate("go\n")
    assert living.returncode == 0
    assert search(tmp_path).trials()[0].state == TrialState.COMPLETE


def test_a_silent_process_elsewhere_counts_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = search(tmp_path, 1)
    monkeypatch.setattr(runs, "machine", lambda: "elsewhere/1")
    other = search(tmp_path, 1)
    other._worker.start()
    other.ask(1, random)
    monkeypatch.undo()
    assert finish(found, tmp_path) == []
    monkeypatch.setattr(study, "SILENCE", -1.0)
    assert finish(search(tmp_path, 1), tmp_path) == [1]
    other._worker.stop()
    [trial] = other._open.values()
    other.tell(Trial(trial.number, []), completed(0.0), tmp_path)
    assert search(tmp_path).trials()[0].user_attrs["status"] == "abandoned", "and stays so"


def test_without_a_lock_what_is_too_much_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a database server: another process claims between the count and the claim."""
    mine, other = search(tmp_path, 1), search(tmp_path, 1)
    counted, others = mine.counted, []

    def count_late() -> Any:
        found = counted()
        if not others:
            others.extend(other.ask(1, random))
        return found

    monkeypatch.setattr("seqfuse.search.study.alone", nullcontext)
    monkeypatch.setattr(mine, "counted", count_late)
    assert mine.ask(1, random) == []
    assert [one.number for one in others] == [0]
    assert mine.trials()[1].user_attrs["status"] == "surplus"


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (
            GOAL._replace(space=[SPACE[0], Dimension(SPACE[1].key, IntDistribution(1, 4))]),
            "the space of model.lstm.num_layers was 1 to 3, now 1 to 4",
        ),
        (
            GOAL._replace(space=SPACE[:1]),
            "the space of model.lstm.num_layers was 1 to 3, now not given",
        ),
        (GOAL._replace(mode="max"), "the metric was val/loss (min), now val/loss (max)"),
        (GOAL._replace(fixed=["data=csv"]), "data was synthetic, now csv"),
        (GOAL._replace(fixed=[]), "data was synthetic, now not given"),
    ],
)
def test_another_goal_is_refused(tmp_path: Path, goal: Goal, message: str) -> None:
    finish(search(tmp_path, 1), tmp_path)
    before = (tmp_path / "study.journal").read_bytes()
    with pytest.raises(InputError) as caught:
        search(tmp_path, 2, goal)
    assert message in str(caught.value)
    assert "another hydra.sweeper.study" in str(caught.value)
    assert finish(search(tmp_path, 1), tmp_path) == []
    lines = (tmp_path / "study.journal").read_bytes()
    assert lines.startswith(before)


def test_studies_of_others_are_left_alone(tmp_path: Path) -> None:
    finish(search(tmp_path, 1), tmp_path)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "other.journal"))
    storage = optuna.storages.JournalStorage(backend)
    optuna.create_study(study_name="mine", storage=storage).optimize(lambda trial: 1.0, n_trials=1)
    with pytest.raises(InputError, match="holds trials that are not ours"):
        search(tmp_path, address=str(tmp_path / "other.journal"))


def test_no_folder_is_overwritten(tmp_path: Path) -> None:
    found = search(tmp_path)
    (tmp_path / "7").mkdir()
    with pytest.raises(InputError, match="7 is no run of study 'mine'"):
        found.check_folder(tmp_path)
    (tmp_path / "7").rmdir()
    found.check_folder(tmp_path)


def test_the_journal_is_plain_json(tmp_path: Path) -> None:
    finish(search(tmp_path, 1), tmp_path)
    lines = (tmp_path / "study.journal").read_text().splitlines()
    assert all("op_code" in json.loads(line) for line in lines)


def test_a_killed_trial_is_run_again_with_its_values(tmp_path: Path) -> None:
    killed = ("0", "1")
    with search(tmp_path, 2, retries=1) as found:
        while trials := found.ask(1, random):
            [trial] = trials
            place = tmp_path / str(trial.number)
            KILLED.write(place, job=trial.number)
            found.tell(trial, KILLED if place.name in killed else completed(1.0), place)
    trials = search(tmp_path, 2).trials()
    statuses = [one.user_attrs["status"] for one in trials]
    assert statuses == ["retried", "killed", "completed"], "once, and then it counts"
    assert trials[0].params == trials[1].params != trials[2].params
