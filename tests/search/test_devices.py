"""What a worker may take of the machine."""

import multiprocessing
import os
from types import SimpleNamespace

import pytest

from seqfuse.search import devices

LOCAL = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"


def test_more_workers_than_cores_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 2)
    assert devices.warning({"n_jobs": 2}) == ""
    assert devices.warning({}) == ""
    assert "hydra.launcher.n_jobs=3 is more than the 2 cores" in devices.warning({"n_jobs": 3})


def test_local_jobs_start_as_many_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.setenv(devices.VISIBLE, "")
    assert devices.at_a_time({"_target_": LOCAL, "cpus_per_task": 2}) == 4
    assert devices.at_a_time({"_target_": LOCAL, "cpus_per_task": 16}) == 1
    assert devices.at_a_time({"_target_": LOCAL}) == 8
    assert devices.at_a_time({"_target_": "hydra.BasicLauncher"}) is None


@pytest.mark.parametrize(("visible", "jobs"), [("4,7", 2), (None, 3), ("-1", 8)])
def test_local_jobs_start_as_many_as_there_are_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, jobs: int
) -> None:
    monkeypatch.setattr(devices, "cores", lambda: 8)
    monkeypatch.setattr(devices, "_gpus", lambda: "0,1,2")
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE, visible)
    assert devices.at_a_time({"_target_": LOCAL}) == jobs
    assert devices.at_a_time({"_target_": LOCAL, "cpus_per_task": 8}) == 1


def test_each_local_job_gets_one_gpu_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.KEPT, raising=False)
    monkeypatch.setenv(devices.VISIBLE, "4,7")
    devices.keep_gpus()
    taken = []
    for job in range(3):
        monkeypatch.setenv(devices.VISIBLE, "")  # as submitit does
        devices.take({"_target_": LOCAL, "gpus_per_node": None}, job)
        taken.append(os.environ[devices.VISIBLE])
    assert taken == ["4", "7", "4"]
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    devices.take({"_target_": LOCAL, "gpus_per_node": 2}, 0)
    assert os.environ[devices.VISIBLE] == "0,1", "as many as the user asked submitit for"
    monkeypatch.setenv(devices.VISIBLE, "")
    devices.keep_gpus()
    devices.take({"_target_": LOCAL}, 0)
    assert os.environ[devices.VISIBLE] == ""


@pytest.mark.parametrize(("worker", "gpu"), [(1, "4"), (2, "7"), (3, "4")])
def test_each_worker_gets_one_gpu(monkeypatch: pytest.MonkeyPatch, worker: int, gpu: str) -> None:
    monkeypatch.setenv(devices.VISIBLE, "4,7")
    name = SimpleNamespace(name=f"LokyProcess-{worker}")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: name)
    devices.take({"n_jobs": 2}, 0)
    assert os.environ[devices.VISIBLE] == gpu


def test_the_main_process_keeps_every_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "4,7")
    devices.take({}, 0)
    assert os.environ[devices.VISIBLE] == "4,7"


def test_threads_are_the_cores_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.THREADS, "1")
    devices.take({"cpus_per_task": 4}, 0)
    assert os.environ[devices.THREADS] == "1", "what the user set stays"
    monkeypatch.delenv(devices.THREADS)
    devices.take({"cpus_per_task": 4}, 0)
    assert os.environ[devices.THREADS] == "4"
