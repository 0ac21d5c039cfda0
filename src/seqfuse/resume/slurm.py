"""A run inside a Slurm job: it is put back into the queue, and found again. Imports no torch.

A job that Slurm starts anew has the same number and types the same command, and
`SLURM_RESTART_COUNT` tells it that it was there before.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from seqfuse.config import runs
from seqfuse.ddp import start
from seqfuse.runtime import files

FILE = "slurm.json"


def job() -> str | None:
    """Number of the job that runs this process."""
    return os.environ.get("SLURM_JOB_ID")


def restarted() -> bool:
    """Whether the job ran before, and was put back into the queue."""
    return job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


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
    if job() is not None and _owner(run).get("job") != job():
        files.write(run / FILE, json.dumps(_who()) + "\n")


def run_before(logs: Path) -> Path | None:
    """The run folder that this job's same command began before the job was put back."""
    if not restarted():
        return None
    notes = [path for path in logs.glob(f"**/{FILE}") if _owner(path.parent) == _who()]
    return max(notes, key=lambda path: path.stat().st_mtime).parent if notes else None


def _who() -> dict[str, Any]:
    # All processes of a run have the same command, but for where each begins to write, and
    # for the quotes that Hydra needs and people leave out.
    words = [word for word in sys.argv[1:] if not word.startswith("hydra.run.dir=")]
    return {"job": job(), "command": [word.replace("'", "") for word in words]}


def _owner(run: Path) -> dict[str, Any]:
    path = run / FILE
    return json.loads(path.read_text()) if path.is_file() else {}


def requeue() -> str:
    """Puts the job back into the queue, once; says what came of it."""
    if os.environ.get("SLURM_PROCID", "0") != "0":
        return f"Slurm job {job()} is put back into the queue by its first process"
    command = ["scontrol", "requeue", str(job())]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        stderr = error.stderr if isinstance(error, subprocess.CalledProcessError) else ""
        return f"`{' '.join(command)}` failed ({(stderr or str(error)).strip()})"
    return f"Slurm job {job()} is back in the queue and goes on by itself"
