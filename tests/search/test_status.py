"""`seqfuse status`: what is at work, what ended, what died and why."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from seqfuse import __main__, train
from seqfuse.config import runs
from seqfuse.runtime.read import addresses
from seqfuse.search import status
from seqfuse.search.outcome import KILLED, Outcome
from tests.conftest import TINY, assert_refused
from tests.searches import SPACE, completed, finish, random, search

Command = Callable[..., tuple[int, str, str]]


def left(folder: Path, age: float = 0.0, **changes: Any) -> Path:
    """A status file of a process that is there, and its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    content = {
        **{"state": "training", "reason": "", "machine": runs.machine(), "pid": os.getpid()},
        **{"began": now - 100, "time": now, "epoch": 1, "step": 50, "steps": 150},
        **{"first": [0, now - 100], "monitor": "val/loss", "metrics": {"val/loss": 0.25}},
        **changes,
    }
    path = folder / runs.STATUS
    path.write_text(json.dumps(content))
    os.utime(path, (now - age, now - age))
    return folder


def gone() -> int:
    """Number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def said(command: Command, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, err = command(__main__.main, "status", *words, "json=true")
    assert not err
    content = json.loads(out)
    assert content["code"] == code
    return code, content["runs"]


@pytest.mark.long
def test_a_run_says_how_it_ended(command: Command) -> None:
    code, _, err = command(train.main, *TINY, "hydra.run.dir=run")
    assert code == 0, err
    code, [row] = said(command, "run")
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert (code, row["state"], row["step"]) == (0, "completed", metrics["steps"])
    assert row["steps"] == row["step"]
    assert row["metrics"][row["monitor"]] == metrics["val/loss"]
    assert row["left"] is None
    assert row["machine"].endswith(f":{os.getpid()}")
    code, out, _ = command(__main__.main, "status", "run")
    assert code == 0
    assert f"{row['step']}/{row['steps']}" in out
    assert out.endswith("1 completed\n")
    before = Path("run/status.json").read_bytes()
    code, _, _ = command(train.main, "resume=run")
    assert code == 1, "it is finished"
    assert Path("run/status.json").read_bytes() == before


@pytest.mark.long
def test_a_job_that_failed_says_why(command: Command) -> None:
    words = [word for word in TINY if "max_epochs" not in word]
    words += ["trainer.max_epochs=1", "hydra.sweep.dir=sweep", "-m"]
    code, _, _ = command(train.main, *words, "optimizer.lr=1e-3,1e30")
    assert code == 1
    code, jobs = said(command, "sweep")
    assert code == 4
    assert [job["state"] for job in jobs] == ["completed", "diverged"]
    assert [job["name"] for job in jobs] == ["0", "1"]
    assert "loss" in jobs[1]["reason"]


@pytest.mark.long
def test_a_stopped_run_says_how_to_go_on(command: Command, monkeypatch: Any) -> None:
    step = train.cli.runs.check_there

    def stop(folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        step(folder)

    monkeypatch.setattr(runs, "check_there", stop)  # of the journal, when an epoch begins
    code, _, _ = command(train.main, *TINY, "hydra.run.dir=run")
    assert code == 143
    code, [row] = said(command, "run")
    assert (code, row["state"]) == (4, "stopped")
    assert "resume=run" in row["reason"]


@pytest.mark.parametrize(
    ("changes", "age", "state", "expected"),
    [
        ({}, 0, "training", 3),
        ({"state": "preparing"}, 0, "preparing", 3),
        ({}, 1000, "silent", 3),
        ({"machine": "elsewhere/1"}, 80, "training", 3),
        ({"machine": "elsewhere/1"}, 100, "killed", 4),
        ({"state": "testing", "machine": "elsewhere/1"}, 100, "killed", 4),
        ({"state": "completed", "machine": "elsewhere/1"}, 1000, "completed", 0),
        ({"state": "out of memory"}, 0, "out of memory", 4),
    ],
)
def test_a_run_lives_by_its_signs(
    command: Command, changes: dict[str, Any], age: float, state: str, expected: int
) -> None:
    left(Path("logs/a"), age, **changes)
    code, [row] = said(command)
    assert (code, row["state"]) == (expected, state)
    assert row["name"] == "a"


def test_a_run_whose_process_is_gone_was_killed(command: Command) -> None:
    left(Path("logs/a"), pid=gone())
    code, [row] = said(command)
    assert (code, row["state"], row["left"]) == (4, "killed", None)
    assert "process is gone" in row["reason"]


def test_the_time_left_is_that_at_the_speed_so_far(command: Command) -> None:
    left(Path("logs/a"))
    _, [row] = said(command)
    assert row["left"] == pytest.approx(200, abs=2), "50 of 150 steps took 100 s"
    left(Path("logs/a"), steps=None)
    _, [row] = said(command)
    assert row["left"] is None


def test_a_job_is_known_before_its_first_sign(command: Command, tmp_path: Path) -> None:
    job = {"job": 0, "overrides": [], "machine": runs.machine()}
    KILLED.write(tmp_path / "sweep/2", **job, pid=os.getpid())
    KILLED.write(tmp_path / "sweep/10", **job, pid=gone())
    Outcome("pruned", {}, "behind").write(tmp_path / "sweep/1")
    KILLED.write(tmp_path / "sweep/11")
    _, rows = said(command, "sweep")
    states = {row["name"]: row["state"] for row in rows}
    assert states == {"1": "pruned", "2": "preparing", "10": "killed", "11": "killed"}
    assert [row["name"] for row in rows] == ["1", "2", "10", "11"]


def test_a_job_says_what_it_tries_and_a_terminal_has_reasons_below(tmp_path: Path) -> None:
    for job in range(3):
        overrides = ["data=synthetic", f"optimizer.lr=0.{job + 1}", f"+trial.number={job}"]
        Outcome("failed", {}, "why " * 30).write(tmp_path / str(job), overrides=overrides)
    (tmp_path / "0/outcome.json").write_text('{"status": "failed", "metrics": {}, "reason": "", '
                                             '"overrides": [1]}')  # fmt: skip
    rows = [*status.folders(tmp_path)]
    assert rows[0].settings == {}
    assert rows[1].settings == {"data": "synthetic", "optimizer.lr": "0.2"}
    head, first, second, *_ = status.table(rows)
    assert head.split() == ["run", "settings", "state", "why"]
    assert first.split() == ["0", "failed"]
    assert second.split() == ["1", "lr=0.2", "failed", *["why"] * 30]
    lines = [*status.table(rows, 60)]
    assert max(map(len, lines)) <= 60
    assert "\n".join(lines).count("why") == 61


@pytest.mark.long
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_the_trials_of_a_study_are_its_runs(command: Command, tmp_path: Path, kind: str) -> None:
    address = f"sqlite:///{tmp_path}/study.db" if kind == "sqlite" else str(tmp_path / "a.journal")
    finish(search(tmp_path, 2, address=address), tmp_path)
    code, rows = said(command, address)
    assert (code, [row["state"] for row in rows]) == (0, ["completed", "completed"])
    assert rows[1]["metrics"] == {"value": 0.5}
    assert {*rows[1]["settings"]} == {dimension.key for dimension in SPACE}
    begun = search(tmp_path, 4, address=address)
    with begun:
        trials = begun.ask(2, random)
        begun.tell(trials[0], completed(0.1), tmp_path / "2")
        code, rows = said(command, address)
        assert (code, rows[3]["state"]) == (3, "training")
        assert rows[3]["machine"].endswith(f":{os.getpid()}")
        assert 0 <= rows[3]["left"] <= max(row["took"] for row in rows[:3])
        *_, progress, counts = command(__main__.main, "status", address)[1].splitlines()
        assert progress.startswith("3 of 4 trials done, about 0:00:0")
        assert counts == "3 completed, 1 training"
    code, rows = said(command, address)
    assert (code, rows[3]["state"]) == (0, "abandoned"), "another trial is run instead"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nowhere"], "nowhere"),
        (["."], runs.STATUS),
        (["sqlite:///nowhere.db"], "nowhere.db"),
        (["a", "b"], "a b"),
        (["json=yes"], "json=yes"),
    ],
)
def test_a_place_without_runs_is_named(command: Command, words: list[str], named: str) -> None:
    code, out, err = command(__main__.main, "status", *words)
    assert (code, out) == (1, "")
    assert named in err
    assert err.count("\n") == 1
    assert not os.listdir(), "nothing was made"


SOUND = {"state": "training", "machine": "a/1", "pid": 1, "began": 1.0}
CHANGES = (
    *({"pid": -1}, {"pid": "1"}, {"began": 1e300}, {"metrics": {"a": "b"}}),
    *({"first": [0, "x"]}, {"state": 1}, {"steps": "3"}, {"metrics": []}),
)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"state": "training"}', *(json.dumps({**SOUND, **c}) for c in CHANGES)],
)
def test_a_broken_status_is_named(command: Command, content: str) -> None:
    left(Path("logs/a"))
    Path("logs/a/status.json").write_text(content)
    left(Path("logs/b"), state="completed", reason="\x1b[2J\nx")
    code, [row, other] = said(command)
    assert (code, row["state"], other["state"]) == (4, "unknown", "completed")
    assert "status.json" in row["reason"]
    _, out, _ = command(__main__.main, "status")
    assert "\x1b" not in out
    assert out.count("\n") == 4


def test_signs_come_while_a_process_lives(tmp_path: Path, monkeypatch: Any) -> None:
    from seqfuse.callbacks import heartbeat

    monkeypatch.setattr(runs, "BEAT", 0.01)
    with heartbeat.at_work(tmp_path):
        left(tmp_path, 1000)
        end = time.monotonic() + 10
        while time.time() - (tmp_path / runs.STATUS).stat().st_mtime > 500:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert status.of_folder(tmp_path, "a").state == "completed"


def test_what_goes_wrong_before_training_leaves_nothing(tmp_path: Path) -> None:
    from seqfuse.callbacks import heartbeat

    with pytest.raises(ValueError, match="x"), heartbeat.at_work(tmp_path / "new"):
        raise ValueError("x")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_that_is_killed_is_known_by_it(tmp_path: Path, command: Command) -> None:
    words = [*TINY, "hydra.run.dir=run", "trainer.max_epochs=100000"]
    program = [sys.executable, "-m", "seqfuse.train", *words]
    with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while not (tmp_path / "run/checkpoints/last.ckpt").exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        code, [row] = said(command, "run")
        assert (code, row["state"]) == (3, "training")
        assert row["left"] > 0
        process.kill()
    code, [row] = said(command, "run")
    assert (code, row["state"]) == (4, "killed")


def test_runs_at_an_address(command: Command, tmp_path: Path, monkeypatch: Any) -> None:
    """Of what is there, nothing but what runs say of themselves is fetched."""
    memory = MemoryFileSystem()
    memory.store.clear()
    monkeypatch.setenv("SEQFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "WAITS", (0.01, 0.01))
    assert_refused(
        command(__main__.main, "status", "memory://lab/logs"), "memory://lab/logs is not there"
    )
    now = time.time()
    for name, changes in {
        "a/ended": {"state": "completed"},
        "a/here": {"pid": gone()},
        "b/fresh": {"machine": "elsewhere/1"},
        "b/old": {"machine": "elsewhere/1", "time": now - 1000},
    }.items():
        path = left(tmp_path / "logs" / name, **changes) / runs.STATUS
        memory.pipe(f"/lab/logs/{name}/{runs.STATUS}", path.read_bytes())
        memory.pipe(f"/lab/logs/{name}/checkpoints/last.ckpt", b"large")
    code, out, _ = command(__main__.main, "status", "memory://lab/logs", "json=true")
    rows = json.loads(out)["runs"]
    assert [(row["name"], row["state"]) for row in rows] == [
        *[("a/ended", "completed"), ("a/here", "killed")],
        *[("b/fresh", "training"), ("b/old", "silent")],
    ]
    assert code == 4
    assert not list((tmp_path / "cache").rglob("*.ckpt"))
    memory.rm("/lab/logs/a", recursive=True)
    code, out, _ = command(__main__.main, "status", "memory://lab/logs/", "json=true")
    assert code == 3
    assert [row["name"] for row in json.loads(out)["runs"]] == ["b/fresh", "b/old"]
