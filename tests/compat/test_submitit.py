"""submitit's launcher of Hydra's waits for every job, also behind one that was killed."""

import inspect

import pytest
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher
from submitit import Job

from seqfuse.compat import submitit


def test_a_killed_job_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def results(self: Job) -> list[str]:
        if self == "killed":
            raise RuntimeError("it was killed")
        return ["done"]

    monkeypatch.setattr(Job, "results", results)
    lost: list[Exception] = []
    with submitit.waiting_for_all(lost):
        found = [Job.results(job)[0] for job in ("first", "killed", "last")]  # type: ignore
    assert found == ["done", None, "done"]
    assert [str(error) for error in lost] == ["it was killed"]
    assert Job.results is results


def test_the_launcher_asks_each_job() -> None:
    assert ".results()" in inspect.getsource(LocalLauncher.launch)
    assert submitit.is_submitit(LocalLauncher.__new__(LocalLauncher))
