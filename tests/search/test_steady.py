"""What a launcher had not begun when a job was killed is launched again."""

from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from seqfuse.search.outcome import KILLED, Outcome
from seqfuse.search.sweep import Steady, in_a_row

JOBS = [["ok"], ["deadly"], ["ok"], ["deadly"], ["ok"], ["ok"]]


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
    found = [one.return_value["status"] for one in returns]
    assert found == ["killed"] * 4 + ["completed"] * 2
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
