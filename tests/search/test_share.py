"""What a worker may take of the machine."""

import multiprocessing
import os
from types import SimpleNamespace

import pytest

from seqfuse.search import share

LOCAL = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"


def test_more_workers_than_cores_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "cores", lambda: 2)
    assert share.warning({"n_jobs": 2}) == ""
    assert share.warning({}) == ""
    assert "hydra.launcher.n_jobs=3 is more than the 2 cores" in share.warning({"n_jobs": 3})


def test_local_jobs_start_as_many_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "cores", lambda: 8)
    monkeypatch.setenv(share.VISIBLE, "")
    assert share.at_a_time({"_target_": LOCAL, "cpus_per_task": 2}) == 4
    assert share.at_a_time({"_target_": LOCAL, "cpus_per_task": 16}) == 1
    assert share.at_a_time({"_target_": LOCAL}) == 8
    assert share.at_a_time({"_target_": "hydra.BasicLauncher"}) is None


@pytest.mark.parametrize(("visible", "jobs"), [("4,7", 2), (None, 3), ("-1", 8)])
def test_local_jobs_start_as_many_as_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, jobs: int
) -> None:
    monkeypatch.setattr(share, "cores", lambda: 8)
    monkeypatch.setattr(share, "_gpus", lambda: "0,1,2")
    monkeypatch.delenv(share.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(share.VISIBLE, visible)
    assert share.at_a_time({"_target_": LOCAL}) == jobs
    assert share.at_a_time({"_target_": LOCAL, "cpus_per_task": 8}) == 1


def test_each_local_job_gets_one_gpu_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(share.KEPT, raising=False)
    monkeypatch.setenv(share.VISIBLE, "4,7")
    share.keep_gpus()
    taken = []
    for job in range(3):
        monkeypatch.setenv(share.VISIBLE, "")  # as submitit does
        share.take({"_target_": LOCAL, "gpus_per_node": None}, job)
        taken.append(os.environ[share.VISIBLE])
    assert taken == ["4", "7", "4"]
    monkeypatch.setenv(share.VISIBLE, "0,1")
    share.take({"_target_": LOCAL, "gpus_per_node": 2}, 0)
    assert os.environ[share.VISIBLE] == "0,1", "as many as the user asked submitit for"
    monkeypatch.setenv(share.VISIBLE, "")
    share.keep_gpus()
    share.take({"_target_": LOCAL}, 0)
    assert os.environ[share.VISIBLE] == ""


@pytest.mark.parametrize(("worker", "gpu"), [(1, "4"), (2, "7"), (3, "4")])
def test_each_worker_gets_one_gpu(monkeypatch: pytest.MonkeyPatch, worker: int, gpu: str) -> None:
    monkeypatch.setenv(share.VISIBLE, "4,7")
    name = SimpleNamespace(name=f"LokyProcess-{worker}")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: name)
    share.take({"n_jobs": 2}, 0)
    assert os.environ[share.VISIBLE] == gpu


def test_the_main_process_keeps_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(share.VISIBLE, "4,7")
    share.take({}, 0)
    assert os.environ[share.VISIBLE] == "4,7"


def test_threads_are_the_cores_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(share.THREADS, "1")
    share.take({"cpus_per_task": 4}, 0)
    assert os.environ[share.THREADS] == "1", "what the user set stays"
    monkeypatch.delenv(share.THREADS)
    share.take({"cpus_per_task": 4}, 0)
    assert os.environ[share.THREADS] == "4"
