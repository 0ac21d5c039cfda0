"""Start and end of the processes of a run, seen from outside. Nothing here imports torch."""

import atexit
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from seqfuse.runtime.errors import InputError

CHILD = "hydra.job.name=train_ddp_process_"
"""Word that Lightning adds to the command of the processes that it starts."""
FOREIGN = ("RANK", "SLURM_PROCID")
LOCAL = ("LOCAL_RANK", "SLURM_LOCALID")
IN_SWEEP = (
    "trainer={} starts the command again for each device, and so the whole sweep: "
    "type trainer=ddp_spawn"
)


def prepare() -> None:
    """Looks at the command line before Hydra does.

    A rank that torchrun or Slurm started leaves nothing behind: the run folder, named by the
    time, is that of rank 0.
    """
    refuse_in_sweeps(sys.argv[1:])
    named = any(word.startswith("hydra.run.dir=") for word in sys.argv)
    if foreign_rank() and not named:
        folder = tempfile.mkdtemp(prefix="seqfuse-rank-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        sys.argv.append(f"hydra.run.dir='{folder}'")


def refuse_in_sweeps(words: Sequence[str]) -> None:
    """Refuses `trainer=ddp` in a sweep: each rank would start the whole sweep once more."""
    named = [match[1] for word in words if (match := re.match(r"trainer=.*\b(ddp|fsdp)\b", word))]
    if sweeping(words) and named:
        raise InputError(IN_SWEEP.format(named[0]))


def sweeping(words: Sequence[str]) -> list[str]:
    """The words of a command line that make it a sweep."""
    plain = ("-m", "--multirun", "hydra.mode=MULTIRUN")
    group = (word for word in words if word.startswith("sweep=") and word != "sweep=null")
    return [*(word for word in words if word in plain), *group]


def refuse_job(trainer: Mapping[str, Any]) -> None:
    """Refuses `trainer=ddp` in a job of a sweep, where an experiment chose it."""
    strategy = trainer.get("strategy") or {}
    if strategy.get("start_method") == "popen":
        raise InputError(IN_SWEEP.format(str(strategy["_target_"]).rpartition(".")[2].lower()))


def is_child() -> bool:
    """Whether Lightning started this process, with the command of another."""
    return any(word.startswith(CHILD) for word in sys.argv)


def foreign_rank() -> int:
    """The rank that torchrun or Slurm gave this process; 0 if none did."""
    return 0 if started_outside() is None else _number(FOREIGN)


def torchrun() -> str | None:
    """Name of the run that torchrun started this process for; None without torchrun.

    It is what `--rdzv-id` says, the same when the command is typed again; or else that of the
    process of torchrun, which starts its own processes again when one of them has ended.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or is_named():
        return os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{socket.gethostname()}:{os.getppid()}:{os.environ.get('MASTER_PORT')}"


def is_named() -> bool:
    """Whether `--rdzv-id` named the run that torchrun started this process for."""
    return os.environ.get("TORCHELASTIC_RUN_ID", "none") != "none"


def max_restarts() -> int:
    """How often torchrun starts its processes again."""
    return _number(("TORCHELASTIC_MAX_RESTARTS",))


def nodes() -> int | None:
    """How many nodes torchrun started processes on; None without torchrun."""
    return None if torchrun() is None else _number(("GROUP_WORLD_SIZE",)) or None


def on_node() -> int | None:
    """How many processes torchrun started on this node; None without torchrun."""
    return None if torchrun() is None else _number(("LOCAL_WORLD_SIZE",)) or None


def started_outside() -> int | None:
    """How many processes torchrun or Slurm's srun started; None if neither did."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _number(("WORLD_SIZE",))
    if "SLURM_STEP_ID" in os.environ and "SLURM_PROCID" in os.environ:
        interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
        return None if interactive else _number(("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"))
    return None


def speaks() -> bool:
    """Whether this process tells what went wrong: of those that go wrong alike, one does."""
    together = "torch" in sys.modules and sys.modules["torch"].distributed.is_initialized()
    return together or started_outside() is None or not _number(LOCAL)


def _number(names: Sequence[str]) -> int:
    """The first of these in the environment; 0 if none is."""
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
