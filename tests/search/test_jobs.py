"""One job of a sweep: what it takes of the machine, how it ended, and when it is run again."""

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from seqfuse.config.mistakes import explain
from seqfuse.runtime.errors import Diverged, InputError, Pruned
from seqfuse.search import devices, outcome
from seqfuse.search.outcome import KILLED, Outcome
from seqfuse.search.sweep import Steady, in_a_row
from tests.conftest import full_disk

LOCAL = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}
JOBS = [["ok"], ["deadly"], ["ok"], ["deadly"], ["ok"], ["ok"]]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (InputError("data.x"), "failed", "data.x"),
        (ValueError("a bug"), "failed", "ValueError: a bug"),
        (AssertionError(), "failed", "AssertionError"),
        (KeyError("x"), "failed", "KeyError: 'x'"),
        (Diverged("the loss is nan"), "diverged", "the loss is nan"),
        (Pruned("behind"), "pruned", "behind"),
        (MemoryError(), "out of memory", None),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory", None),
        (RuntimeError("cuDNN error"), "failed", None),
    ],
)
def test_errors_have_a_status_and_a_reason(
    error: Exception, status: str, reason: str | None
) -> None:
    assert status in outcome.STATUSES
    assert outcome.of_error(error, str(error)).status == status
    assert reason is None or explain(error) == reason


def test_torch_running_out_of_memory_on_a_cpu_is_seen() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert outcome.of_error(caught.value, "").status == "out of memory"


def test_the_outcome_lies_in_the_jobs_folder(tmp_path: Path) -> None:
    Outcome("failed", {"best/val/loss": 0.5}, "why").write(tmp_path / "0", job=0)
    content = json.loads((tmp_path / "0" / outcome.FILE).read_text())
    expected = {"job": 0, "status": "failed", "metrics": {"best/val/loss": 0.5}, "reason": "why"}
    assert content == expected


def test_only_an_unexpected_error_leaves_its_trace_whole(tmp_path: Path) -> None:
    trace = tmp_path / "0" / "error.txt"
    outcome.keep_trace(InputError("a mistake"), trace.parent)
    assert not trace.exists()
    with full_disk(3), pytest.raises(OSError, match="File too large"):
        outcome.keep_trace(ValueError("a bug"), trace.parent)
    assert not list(trace.parent.iterdir())
    outcome.keep_trace(ValueError("a bug"), trace.parent)
    assert trace.read_text() == "ValueError: a bug\n"


def test_more_workers_than_cores_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 2)
    assert [devices.warning(launcher) for launcher in ({"n_jobs": 2}, {})] == ["", ""]
    assert "hydra.launcher.n_jobs=3 is more than the 2 cores" in devices.warning({"n_jobs": 3})


@pytest.mark.parametrize(
    ("visible", "launcher", "jobs"),
    [
        ("", {**LOCAL, "cpus_per_task": 2}, 4),
        ("", {**LOCAL, "cpus_per_task": 16}, 1),
        ("", LOCAL, 8),
        ("", {"_target_": "hydra.BasicLauncher"}, None),
        ("4,7", LOCAL, 2),
        (None, LOCAL, 3),
        ("-1", LOCAL, 8),
        *((visible, {**LOCAL, "cpus_per_task": 8}, 1) for visible in ("4,7", None, "-1")),
    ],
)
def test_local_jobs_start_as_many_as_there_are_cores_and_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, launcher: dict, jobs: int | None
) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.setattr(devices, "_gpus", lambda: "0,1,2")
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.at_a_time(launcher) == jobs


def test_each_local_job_gets_one_gpu_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.KEPT, raising=False)
    monkeypatch.setenv(devices.VISIBLE, "4,7")
    devices.keep_gpus()
    taken = []
    for job in range(3):
        monkeypatch.setenv(devices.VISIBLE, "")  # as submitit does
        devices.take({**LOCAL, "gpus_per_node": None}, job)
        taken.append(os.environ[devices.VISIBLE])
    assert taken == ["4", "7", "4"]
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    devices.take({**LOCAL, "gpus_per_node": 2}, 0)
    assert os.environ[devices.VISIBLE] == "0,1", "as many as the user asked submitit for"
    monkeypatch.setenv(devices.VISIBLE, "")
    devices.keep_gpus()
    devices.take(LOCAL, 0)
    assert os.environ[devices.VISIBLE] == ""


@pytest.mark.parametrize(
    ("process", "launcher", "gpus"),
    [
        *((f"LokyProcess-{n}", {"n_jobs": 2}, gpu) for n, gpu in ((1, "4"), (2, "7"), (3, "4"))),
        ("MainProcess", {}, "4,7"),
    ],
)
def test_each_worker_gets_one_gpu(
    monkeypatch: pytest.MonkeyPatch, process: str, launcher: dict, gpus: str
) -> None:
    monkeypatch.setenv(devices.VISIBLE, "4,7")
    named = SimpleNamespace(name=process)
    monkeypatch.setattr(multiprocessing, "current_process", lambda: named)
    devices.take(launcher, 0)
    assert os.environ[devices.VISIBLE] == gpus


def test_threads_are_the_cores_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.THREADS, "1")
    devices.take({"cpus_per_task": 4}, 0)
    assert os.environ[devices.THREADS] == "1", "what the user set stays"
    monkeypatch.delenv(devices.THREADS)
    devices.take({"cpus_per_task": 4}, 0)
    assert os.environ[devices.THREADS] == "4"


class Fragile(Launcher):
    """Begins two jobs at a time; a deadly one takes the other, and what both returned, along."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.launched: list[list[int]] = []

    def setup(self, **given: Any) -> None: ...

    def launch(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        self.launched.append(list(range(first, first + len(jobs))))
        for at in range(0, len(jobs), 2):
            pair = jobs[at : at + 2]
            done = KILLED if ["deadly"] in pair else Outcome("completed", {})
            for number in range(first + at, first + at + len(pair)):
                done.write(self.folder / str(number))
            if done == KILLED:
                raise BrokenProcessPool
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=done._asdict()) for _ in jobs]


def test_jobs_behind_a_killed_one_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    inner = Fragile(tmp_path)
    returns = Steady(inner, tmp_path).launch(JOBS, 3)
    assert inner.launched == [[3, 4, 5, 6, 7, 8], [5, 6, 7, 8], [7, 8]]
    statuses = [done.return_value["status"] for done in returns]
    assert statuses == ["killed"] * 4 + ["completed"] * 2
    err = capsys.readouterr().err
    assert err.count("seqfuse: a worker was killed") == err.count("\n") == 2


def test_a_launcher_that_begins_nothing_is_told(tmp_path: Path) -> None:
    class Broken(Fragile):
        def launch(self, jobs: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
            raise RuntimeError("no such partition")

    KILLED.write(tmp_path / "0")  # of an earlier sweep
    with pytest.raises(RuntimeError, match="no such partition"):
        Steady(Broken(tmp_path), tmp_path).launch(JOBS, 0)


def test_rows_have_no_gap() -> None:
    assert list(in_a_row([1, 2, 5, 7, 8])) == [[1, 2], [5], [7, 8]]
    assert list(in_a_row([])) == []
