"""Sweeps from the command line: what they leave, what they survive, what does not leak."""

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Trainer

from seqfuse.search import devices
from seqfuse.train import main, train
from tests.benchmarks.sweep import measure
from tests.conftest import TINY, Compose, assert_refused
from tests.trained import assert_same, weights

Command = Callable[..., tuple[int, str, str]]
SWEEP = [word for word in TINY if "max_epochs" not in word]
SWEEP += ["-m", "trainer.max_epochs=1", "callbacks.figures=null"]


def sweep_folder() -> Path:
    [folder] = Path("logs/sweeps").iterdir()
    return folder


def status(folder: Path) -> list[str]:
    return pd.read_csv(folder / "summary.csv")["status"].tolist()


@pytest.mark.long
def test_a_grid_ends_with_its_summary(command: Command) -> None:
    code, out, err = command(main, *SWEEP, "model.lstm.hidden_size=4,8", "seed=0,1")
    assert code == 0, err
    folder = sweep_folder()
    table = pd.read_csv(folder / "summary.csv")
    metrics = [json.loads((folder / f"{n}/metrics.json").read_text()) for n in range(4)]
    for name in ("best/val/loss", "test/loss", "test/accuracy"):
        assert table[name].tolist() == [one[name] for one in metrics]
    assert table["test_items"].tolist() == [one["test_items"] for one in metrics]
    mean = statistics.mean(one["test/loss"] for one in metrics[:2])
    spread = statistics.stdev(one["test/loss"] for one in metrics[:2])
    line = next(line for line in out.splitlines() if line.startswith("| 4 "))
    assert f"{mean:.4f} ± {spread:.4f}" in line
    assert f"summary     {folder / 'summary.md'}" in out
    assert (folder / "main_effects.png").is_file()
    assert not (folder / "parallel_coordinates.png").exists(), "a seed is no axis"


@pytest.mark.slow
def test_jobs_equal_runs_on_their_own(command: Command, tiny: Compose, tmp_path: Path) -> None:
    """Neither seeds nor threads nor what torch was told goes from one job to the next."""
    words = ["trainer.deterministic=true,false", "trainer.num_threads=2,1"]
    code, _, err = command(main, *SWEEP, "model.lstm.dropout=0.5", *words)
    assert code == 0, err
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1
    more = ("trainer.max_epochs=1", "callbacks.figures=null", "model.lstm.dropout=0.5")
    train(tiny(*more), tmp_path / "alone")
    torch.testing.assert_close(weights(sweep_folder() / "3"), weights(tmp_path / "alone"))


@pytest.mark.long
def test_a_sweep_survives_its_jobs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Trainer.fit

    def falter(self: Trainer, task, **arguments) -> None:
        seed = task.record.config["seed"]
        if seed == 1:
            raise ValueError("a bug\nof two lines")
        if seed == 2:
            torch.empty(1 << 60)
        fit(self, task, **arguments)

    monkeypatch.setattr(Trainer, "fit", falter)
    words = ["model.lstm.hidden_size=4,-1", "seed=0,1,2", "optimizer=sgd", "clip=none"]
    code, _, err = command(main, *SWEEP, *words)
    folder = sweep_folder()
    assert code == 1
    assert status(folder) == ["completed", "failed", "out of memory", "failed", "failed", "failed"]
    assert "seqfuse: 5 of 6 jobs did not complete" in err
    assert "seqfuse: job 1 failed: ValueError: a bug of two lines" in err
    assert "seqfuse: job 3 failed: model.lstm: hidden_size=-1" in err
    assert "Traceback" not in err
    assert "ValueError: a bug" in (folder / "1/error.txt").read_text()
    assert not (folder / "3/error.txt").exists(), "a mistake of the user's needs no trace"
    assert "hidden_size=-1 must be" in (folder / "summary.md").read_text()


@pytest.mark.long
def test_a_job_that_diverges_is_told(command: Command) -> None:
    words = ["optimizer=sgd", "clip=none", "optimizer.lr=1e-3,1e30"]
    code, _, err = command(main, *SWEEP, *words)
    assert code == 1
    assert status(sweep_folder()) == ["completed", "diverged"]
    assert "job 1 diverged: the loss is" in err


@pytest.mark.long
def test_ctrl_c_ends_a_sweep_and_keeps_its_summary(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Trainer.fit

    def stop(self: Trainer, task, **arguments) -> None:
        if task.record.config["seed"] == 1:
            task.on_train_batch_start = lambda *_: os.kill(os.getpid(), signal.SIGINT)
        fit(self, task, **arguments)

    monkeypatch.setattr(Trainer, "fit", stop)
    code, _, err = command(main, *SWEEP, "seed=0,1,2")
    assert code == 130
    assert "stopped by SIGINT; go on with: seqfuse-train resume=" in err
    assert status(sweep_folder()) == ["completed", "killed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.lstm.hiden_size=1,2"], "did you mean model.lstm.hidden_size?"),
        (["model=base,bsae"], "model=bsae: no such option, did you mean base?"),
        (["launcher=jobib"], "launcher=jobib: no such option, did you mean joblib?"),
        (["find_lr=true", "optimizer.lr=1e-3,1e-2"], "find_lr=true chooses optimizer.lr"),
        (["find_batch_size=true", "seed=0,1"], "find_batch_size=true chooses data.batch_size"),
        (["sweep=optuna", "find_lr=true"], "find_lr=true chooses optimizer.lr: leave one of"),
        (["resume=latest"], "resume goes on with one run: leave out -m"),
    ],
)
def test_a_mistake_is_told_before_the_first_job(
    command: Command, words: list[str], message: str
) -> None:
    code, out, err = command(main, *SWEEP, *words)
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert "test/loss" not in out


@pytest.mark.long
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sweep=optuna", "leave out sweep=optuna (a search, sweep=optuna, goes on without resume"),
        ("hydra.mode=MULTIRUN", "leave out hydra.mode=MULTIRUN"),
        ("experiment=ablation", "experiment was chosen when the run began"),
    ],
)
def test_a_sweep_is_not_resumed(command: Command, word: str, message: str) -> None:
    words = [word for word in SWEEP if word != "-m"]
    code, _, err = command(main, *words)
    assert code == 0, err
    assert_refused(command(main, word, "resume=latest"), message)
    assert not Path("logs/sweeps").exists()


@pytest.mark.slow
def test_a_sweep_whose_job_was_put_back_is_not_taken_for_one_run(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [word for word in SWEEP if word != "-m"]
    words = ["experiment=ablation", *words, "hydra.sweeper.params={seed:0,ablation:no_cnn}"]
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    code, _, err = command(main, *words)
    assert code == 0, err
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    code, _, err = command(main, *words)
    assert code == 0, err
    assert "is finished" not in err
    assert len(list(Path("logs/sweeps").iterdir())) == 2, "it begins anew"


@pytest.mark.long
@pytest.mark.parametrize("more", [["seed=0,1"], ["sweep=optuna", "hydra.sweeper.num_trials=2"]])
def test_a_sweep_that_would_start_itself_again_is_told_before_the_first_job(
    command: Command, tmp_path: Path, more: list[str]
) -> None:
    (tmp_path / "own/experiment").mkdir(parents=True)
    own = "# @package _global_\ndefaults:\n  - override /trainer: ddp\n"
    (tmp_path / "own/experiment/two.yaml").write_text(own)
    words = ["--config-dir", "own", *SWEEP, "experiment=two", *more]
    assert_refused(command(main, *words), "type trainer=ddp_spawn")
    assert not list(Path("logs").glob("sweeps/*/0"))


@pytest.mark.slow
def test_the_ablation_takes_one_part_after_another(command: Command) -> None:
    words = [word for word in SWEEP if word != "-m"]
    code, _, err = command(
        main, "experiment=ablation", *words, "hydra.sweeper.params.seed=0", "test=false"
    )
    assert code == 0, err
    table = pd.read_csv(sweep_folder() / "summary.csv")
    assert table["ablation"].tolist() == ["full", "no_cnn", "no_lstm", "no_attention"]
    configs = [(sweep_folder() / f"{n}/config.yaml").read_text() for n in range(4)]
    for part, text in zip(("cnn", "lstm", "attention"), configs[1:], strict=True):
        assert f"  {part}: null" in text
        assert f"  {part}: null" not in configs[0]


def run(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-m", "seqfuse.train", *SWEEP, *words],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_launchers_give_the_same_numbers(tmp_path: Path, launcher: str) -> None:
    """Jobs in other processes: the same weights, each with its share of the cores."""
    each = max(1, devices.cores() // 2) if launcher == "joblib" else 1
    for name, threads in ((launcher, "null"), ("basic", each)):  # null: the share of the cores
        (tmp_path / name).mkdir()
        words = ["seed=0,1,2", f"trainer.num_threads={threads}", f"launcher={name}"]
        done = run(*words, folder=tmp_path / name)
        assert done.returncode == 0, done.stderr
    [one] = (tmp_path / launcher / "logs/sweeps").iterdir()
    [two] = (tmp_path / "basic/logs/sweeps").iterdir()
    assert status(one) == ["completed"] * 3
    for job in ("0", "1", "2"):
        assert_same(weights(one / job), weights(two / job))
        facts = json.loads((one / job / "provenance.json").read_text())["runs"][0]
        assert facts["threads"] == each


SBATCH = """#!/bin/sh
# Runs each task of the array as Slurm would, one after another.
cp "$1" {folder}/submitted.sh
tasks=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
echo "Submitted batch job 77"
for task in $(seq 0 $tasks); do
    SLURM_JOB_ID=77$task SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 \\
    SLURM_JOB_NODELIST=here SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NUM_NODES=1 \\
    sh "$1" > {folder}/task$task.log 2>&1
    touch {folder}/ended$task
done > /dev/null 2>&1 &
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
    case "$1" in --output|--error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
for task in 0 1; do
    test -e {folder}/ended$task && state=COMPLETED || state=RUNNING
    echo "77_$task|$state|here"
done
"""


@pytest.mark.slow
def test_slurm_gets_a_submission_file_that_runs(tmp_path: Path) -> None:
    """With stand-ins for Slurm's programs that run what they are given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (programs / name).write_text(text.replace("{folder}", str(tmp_path)))
        (programs / name).chmod(0o755)
    words = ["launcher=submitit_slurm", "hydra.launcher.partition=short", "seed=0,1"]
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = run(*words, "hydra.launcher.cpus_per_task=1", folder=tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    submitted = (tmp_path / "submitted.sh").read_text()
    for line in ("partition=short", "cpus-per-task=1", "gpus-per-node=1", "mem=16GB", "time=1440"):
        assert f"#SBATCH --{line}" in submitted
    assert "#SBATCH --array=0-1%2" in submitted
    [folder] = (tmp_path / "logs/sweeps").iterdir()
    assert status(folder) == ["completed"] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "message"),
    [("joblib", "a worker was killed"), ("submitit_local", "a job was killed")],
)
def test_a_killed_worker_is_told_and_the_others_are_kept(
    tmp_path: Path, launcher: str, message: str
) -> None:
    """SIGKILL is what the system sends to a process that takes too much memory."""
    words = [f"launcher={launcher}"]
    (tmp_path / "mylab.py").write_text(
        "import os, signal\nfrom seqfuse.data.read.synthetic import Synthetic\n"
        "class Deadly(Synthetic):\n"
        "    def __call__(self, split):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    own, ours = "mylab.Deadly", "seqfuse.data.read.synthetic.Synthetic"
    deadly = f"data.module.splits.dataset._target_={ours},{own},{ours},{ours}"
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = run(*words, deadly, folder=tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    [folder] = (tmp_path / "logs/sweeps").iterdir()
    assert "killed" in status(folder)
    assert status(folder)[2:] == ["completed"] * 2, "those behind it"
    assert "jobs did not complete" in done.stderr


@pytest.mark.slow
def test_fifty_jobs_end_with_the_memory_of_five() -> None:
    memory = measure(50)["memory_mib"]
    assert len(memory) == 50
    assert memory[-1] == pytest.approx(memory[4], rel=0.05)
