"""A run folder is of one run alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seqfuse import evaluate
from seqfuse.config import runs
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task
from seqfuse.train import main
from tests.conftest import TINY, assert_refused
from tests.forks import Forks, forks

Command = Callable[..., tuple[int, str, str]]
HOLDS = """
import sys, time
from pathlib import Path
from seqfuse.config import runs
with runs.claimed(Path(sys.argv[1])):
    import os
    if not os.fork():  # as what loads data
        time.sleep(60)
    print("has it", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    with forks() as one:
        yield one


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-c", HOLDS, str(run)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == b"has it\n"
            with pytest.raises(InputError, match=f"another process is at work in {run}"):
                runs.claimed(run, again=True).__enter__()
            os.kill(first.pid, signal.SIGKILL)
            os.waitpid(first.pid, 0)
            began = time.monotonic()
            with runs.claimed(run):  # whatever its child does
                assert time.monotonic() - began < 5
                assert os.listdir(run) == [runs.LOCK]
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    assert not os.listdir(run)


@pytest.mark.parametrize("name", runs.BEGUN)
def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"holds a run already .{name}.: name another folder"):
        runs.claimed(tmp_path).__enter__()
    with runs.claimed(tmp_path, again=True):
        pass
    assert os.listdir(tmp_path) == [name]


def test_a_folder_that_is_deleted_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with runs.claimed(run):
        (run / runs.LOCK).unlink()
        run.rmdir()
    assert not run.exists()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["on_train_start", "on_validation_start", "on_train_epoch_end"])
def test_a_run_whose_folder_is_deleted_ends(
    command: Command, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def delete(self: Task) -> None:
        shutil.rmtree(self.trainer.default_root_dir, ignore_errors=True)

    monkeypatch.setattr(Task, moment, delete)
    code, out, err = command(main, *TINY, "hydra.run.dir=run")
    assert (code, err.count("\n")) == (1, 1), err
    assert "run was deleted while the run was at work: all" in err
    assert "begin it anew" in err
    assert "test/" not in out
    assert not os.listdir()


@pytest.mark.slow
def test_the_commands_overwrite_no_run(forked: Forks, tmp_path: Path, command: Command) -> None:
    words = [*TINY, "hydra.run.dir=run"]
    assert forked.run(tmp_path, *words).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert tmp_path / "run" / "config.yaml" in before
    ended = forked.run(tmp_path, *words, "seed=1")
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "holds a run already" in ended.err
    assert "seqfuse-train resume=" in ended.err
    ckpt = "ckpt=run/checkpoints/best.ckpt"
    assert_refused(
        command(evaluate.main, ckpt, "trainer=cpu", "hydra.run.dir=run"), "holds a run already"
    )
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert before == after
    assert forked.run(tmp_path, "resume=run", "trainer.max_epochs=3").code == 0


@pytest.mark.long
def test_a_sweep_overwrites_no_jobs(command: Command) -> None:
    words = [*TINY, "-m", "hydra.sweep.dir=sweep", "trainer.max_steps=1", "test=false"]
    code, _, err = command(main, *words, "seed=0,1")
    assert code == 0, err
    before = {path: path.read_bytes() for path in Path("sweep").rglob("*") if path.is_file()}
    code, out, err = command(main, *words, "seed=2,3")
    assert code == 1
    assert err.count("\n") == 1
    assert "sweep/0 holds a run already (config.yaml)" in err
    assert not out
    after = {path: path.read_bytes() for path in Path("sweep").rglob("*") if path.is_file()}
    assert before == after
