"""A run that Slurm, torchrun or Ray starts again, and that finds its folder again.

Imports no torch.

A job that Slurm starts anew has the same number and types the same command, and
`SLURM_RESTART_COUNT` tells it that it was there before. torchrun starts its processes anew under
the same name; its count of restarts is that of one node, and differs from node to node.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from seqfuse.config import runs
from seqfuse.ddp import start
from seqfuse.runtime import files

FILE = "job.json"
TRIES = "SEQFUSE_TRIES"
"""How often a launcher that puts jobs back itself has begun this one before."""
NAMES = ("job", "torchrun")
"""Keys of the file that name who started the run."""


def number() -> str | None:
    """Number of the job that runs this process."""
    return os.environ.get("SLURM_JOB_ID")


def restarted() -> bool:
    """Whether the job ran before, and was put back into the queue."""
    by_slurm = number() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    return by_slurm or os.environ.get(TRIES, "0") != "0"


def in_submitit() -> bool:
    """Whether submitit started this process, and so puts it back into the queue itself."""
    return "SUBMITIT_EXECUTOR" in os.environ


def note(run: Path) -> None:
    """Leaves in the run folder which job and command it belongs to, once for each job."""
    if start.is_child() or start.foreign_rank():  # the first of several processes does
        return
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        return  # the command is the sweep's, of which this is one job
    run = run.parents[1] if run.parent.name == runs.MEMBERS else run  # an ensemble goes on whole
    ours, noted = _who(), _owner(run)
    named = {name: ours[name] for name in NAMES if ours[name] is not None}
    if any(noted.get(name) != value for name, value in named.items()):
        files.write(run / FILE, json.dumps(ours) + "\n")


def run_before(logs: Path) -> Path | None:
    """The run folder that the same command of this job, or of this run of torchrun, began."""
    ours = _who()
    named = [name for name in NAMES if ours[name] is not None]
    if not restarted() and "job" in named:  # another command of the job, perhaps the same again
        named.remove("job")
    if not named:
        return None

    def is_ours(noted: dict[str, Any]) -> bool:
        same = any(noted.get(name) == ours[name] for name in named)
        return same and noted["command"] == ours["command"]

    notes = [path for path in logs.glob(f"**/{FILE}") if is_ours(_owner(path.parent))]
    return max(notes, key=lambda path: path.stat().st_mtime).parent if notes else None


def _who() -> dict[str, Any]:
    # All processes of a run have the same command, but for where each begins to write, and
    # for the quotes that Hydra needs and people leave out.
    words = [word for word in sys.argv[1:] if not word.startswith("hydra.run.dir=")]
    return {
        "job": number(),
        "torchrun": start.torchrun(),
        "command": [word.replace("'", "") for word in words],
    }


def _owner(run: Path) -> dict[str, Any]:
    path = run / FILE
    return files.read_json(path) if path.is_file() else {}


def put_back(signal_number: int) -> str:
    """Sees to it that a run that a signal has stopped goes on; says what came of it.

    SIGTERM is what Slurm sends before it takes a machine away, and also what `scancel` sends: a
    job that was cancelled stays so.
    """
    if signal_number == signal.SIGINT or in_submitit():
        return ""
    if TRIES in os.environ:
        return "its launcher begins it again"
    if number() is not None:
        asked = signal_number != signal.SIGTERM or _is_running()
        return requeue() if asked else ""
    named = start.is_named() and f"so does torchrun --rdzv-id={start.torchrun()} with this command"
    return named or ""


def _is_running() -> bool:
    """Whether Slurm means the job to run, and does not end it."""
    return "JobState=RUNNING" in _scontrol("show", "job")[1].split()


def requeue() -> str:
    """Puts the job back into the queue, once; says what came of it."""
    if start.torchrun() is None and os.environ.get("SLURM_PROCID", "0") != "0":
        return f"Slurm job {number()} is put back into the queue by its first process"
    problem, _ = _scontrol("requeue")
    return problem or f"Slurm job {number()} is back in the queue and goes on by itself"


def _scontrol(*words: str) -> tuple[str, str]:
    """The problem of a `scontrol` command for this job, empty without one, and its output."""
    command = ["scontrol", *words, str(number())]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        stderr = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        return f"`{' '.join(command)}` failed ({(stderr or str(error)).strip()})", ""
    return "", done.stdout
