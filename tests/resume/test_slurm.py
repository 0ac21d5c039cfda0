"""A Slurm job that is put back into the queue goes on where it was."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqfuse.config import runs
from seqfuse.resume import job
from seqfuse.resume import state as resume
from seqfuse.runtime.errors import Interrupted
from seqfuse.tasks.base import Task
from seqfuse.train import main, train
from tests.conftest import TINY, Compose
from tests.forks import Forks
from tests.trained import assert_same, checkpoint, table, weights

Command = Callable[..., tuple[int, str, str]]
# What srun sets.
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


def fake_scontrol(folder: Path, line: str) -> str:
    """A PATH on which `scontrol` is this line of sh."""
    folder.mkdir()
    (folder / "scontrol").write_text(f"#!/bin/sh\n{line}\n")
    (folder / "scontrol").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.slow
def test_sigusr1_puts_the_job_back_and_the_same_command_goes_on(
    forked: Forks, tmp_path: Path
) -> None:
    words = [*TINY, "trainer.max_epochs=4"]
    here = tmp_path / "here"
    path = fake_scontrol(tmp_path / "bin", f'echo "$@" >> {tmp_path}/asked')
    env = {**SRUN, "PATH": path}
    ended = forked.run(here, *words, env=env, step=5, signal="SIGUSR1")
    assert ended.code == 128 + signal.SIGUSR1, ended
    assert "stopped by SIGUSR1; go on with: seqfuse-train resume=logs/synthetic/" in ended.err
    assert ended.err.endswith("Slurm job 77 is back in the queue and goes on by itself\n")
    assert (tmp_path / "asked").read_text() == "requeue 77\n"
    [run] = here.glob("logs/*/*")
    assert checkpoint(run)["global_step"] == 6
    assert not list(run.glob("hpc_ckpt*")), "Lightning saves in the midst of a step"

    again = {**env, "SLURM_RESTART_COUNT": "1"}
    ended = forked.run(here, *words, env=again)
    assert ended.code == 0, ended
    assert [run] == list(here.glob("logs/*/*"))
    ended = forked.run(tmp_path / "whole", *words)
    [whole] = (tmp_path / "whole").glob("logs/*/*")
    assert_same(weights(run), weights(whole))
    assert table(run) == table(whole)

    ended = forked.run(here, *words, env=again)  # a script of several commands starts over
    assert ended.code == 0
    assert "is finished: it trained all 4 epochs" in ended.err
    ended = forked.run(here, *words, "seed=1", env=again)  # its next command had not begun
    assert ended.code == 0
    assert len(list(here.glob("logs/*/*"))) == 2


@pytest.mark.slow
def test_sigterm_puts_a_job_back_that_runs(forked: Forks, tmp_path: Path) -> None:
    """As where a machine is taken away, which Slurm tells minutes before."""
    path = fake_scontrol(
        tmp_path / "bin", f'echo "$@" >> {tmp_path}/asked; echo "JobId=77 JobState=RUNNING"'
    )
    env = {**SRUN, "PATH": path}
    ended = forked.run(tmp_path / "here", *TINY, env=env, step=5, signal="SIGTERM")
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err.endswith("Slurm job 77 is back in the queue and goes on by itself\n")
    assert (tmp_path / "asked").read_text() == "show job 77\nrequeue 77\n"
    again = forked.run(tmp_path / "here", *TINY, env={**env, "SLURM_RESTART_COUNT": "1"})
    assert again.code == 0, again
    [run] = (tmp_path / "here").glob("logs/*/*")
    assert f"resume      {run.relative_to(tmp_path / 'here')} goes on" in again.out
    assert forked.run(tmp_path / "whole", *TINY).code == 0
    [whole] = (tmp_path / "whole").glob("logs/*/*")
    assert_same(weights(run), weights(whole))


@pytest.mark.parametrize("state", ["RUNNING", "CANCELLED", "COMPLETING"])
def test_a_cancelled_job_stays_so(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PATH", fake_scontrol(tmp_path / "bin", f"echo JobState={state}"))
    assert bool(job.put_back(signal.SIGTERM)) == (state == "RUNNING")
    assert not job.put_back(signal.SIGINT)
    assert job.put_back(signal.SIGUSR1)


def test_a_launcher_that_puts_jobs_back_says_how_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not job.restarted()
    for tries in range(3):
        monkeypatch.setenv(job.TRIES, str(tries))
        assert job.restarted() == (tries > 0)
        assert "launcher" in job.put_back(signal.SIGTERM)
        assert not job.put_back(signal.SIGINT)


def test_what_scontrol_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PATH", fake_scontrol(tmp_path / "bin", "echo 'not you' >&2; exit 1"))
    assert job.requeue() == "`scontrol requeue 77` failed (not you)"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "No such file" in job.requeue()
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert "by its first process" in job.requeue()


def test_only_the_same_command_of_a_restarted_job_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "logs" / "a"
    run.mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["seqfuse-train", "seed=1"])
    job.note(run)
    assert not list(run.iterdir()), "this is no Slurm job"
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    job.note(run)
    assert job.run_before(tmp_path) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert job.run_before(tmp_path) == run
    for name, value in (("SLURM_JOB_ID", "78"), ("argv", "seed=2")):
        with monkeypatch.context() as other:
            if name == "argv":
                other.setattr(sys, "argv", ["seqfuse-train", value])
            else:
                other.setenv(name, value)
            assert job.run_before(tmp_path) is None


def test_torchrun_s_name_finds_a_run_and_its_own_process_where_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its count of restarts is, which is that of one node."""
    run = tmp_path / "logs" / "a"
    run.mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["seqfuse-train", "seed=1"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("MASTER_PORT", "29555")
    job.note(run)
    assert job.run_before(tmp_path) == run
    with monkeypatch.context() as other:
        other.setattr(os, "getppid", lambda: 1)
        assert job.run_before(tmp_path) is None
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    assert job.run_before(tmp_path) is None
    job.note(run)
    monkeypatch.setenv("MASTER_PORT", "29556")
    assert job.run_before(tmp_path) == run
    with monkeypatch.context() as other:
        other.setenv("RANK", "1")
        other.setattr(sys, "argv", ["seqfuse-train", "seed=1", "hydra.run.dir='/tmp/rank'"])
        assert job.run_before(tmp_path) == run
    monkeypatch.setattr(sys, "argv", ["seqfuse-train", "seed=2"])
    assert job.run_before(tmp_path) is None
    assert job.put_back(signal.SIGTERM) == "so does torchrun --rdzv-id=mine with this command"


@pytest.mark.long
def test_what_hydra_needs_quotes_for_is_the_same_command(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TINY, "trainer.max_epochs=1", "precision=32", "name='mine'"]
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    code, _, err = command(main, *words)
    assert code == 0, err
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    code, _, err = command(main, *words)
    assert code == 0, err
    assert "is finished: it trained all 1 epochs" in err


class PutBack(SystemExit):
    """What submitit's handler ends a process with."""


@pytest.mark.slow
def test_submitit_puts_the_job_back_itself(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signal saves first; what it ignores, we ignore; the job goes on in its folder."""
    run = tmp_path / "0"
    for name, value in {**SRUN, "SUBMITIT_EXECUTOR": "slurm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_NTASKS")

    def put_back(*_: object) -> None:
        raise PutBack(255)

    before = signal.signal(signal.SIGUSR2, put_back)
    original, steps = Task.training_step, []

    def step(self, batch, batch_idx):
        steps.append(1)
        if len(steps) in (3, 6):
            os.kill(os.getpid(), signal.SIGTERM if len(steps) == 3 else signal.SIGUSR2)
        return original(self, batch, batch_idx)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(Task, "training_step", step)
            with pytest.raises(PutBack):
                train(tiny(), run)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert checkpoint(run)["global_step"] == 6
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    train(tiny(), run)
    assert checkpoint(run)["global_step"] == 8
    for name in ("SLURM_JOB_ID", "SUBMITIT_EXECUTOR"):
        monkeypatch.delenv(name)
    train(tiny(), tmp_path / "whole")
    assert_same(weights(run), weights(tmp_path / "whole"))


@pytest.mark.long
def test_a_trial_that_was_put_back_still_reports_to_its_search(
    tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = ("trial.storage=a.journal", "trial.study=mine", "trial.number=3")
    recipe = runs.prepare(tiny(*trial, "seed=5"), tmp_path)
    runs.write_config(runs.outside_search(recipe), tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.ckpt").touch()
    for name, value in {**SRUN, "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    kept = resume.in_folder(runs.prepare(tiny(*trial), tmp_path))
    assert kept.seed == 5
    assert kept.trial == recipe.trial
    assert kept.trial.number == 3


def test_interrupted_tells_what_else_happened() -> None:
    assert str(Interrupted(signal.SIGTERM, "a")) == (
        "stopped by SIGTERM; go on with: seqfuse-train resume=a"
    )
    assert str(Interrupted(signal.SIGUSR1, "a", "b")).endswith("resume=a; b")
