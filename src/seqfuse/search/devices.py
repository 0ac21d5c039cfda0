"""Cores and GPUs of this machine, and which of them a job of a sweep takes. Imports no torch."""

import multiprocessing
import os
import re
from collections.abc import Mapping
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
KEPT = "SEQFUSE_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def warning(launcher: Mapping[str, Any]) -> str:
    """A warning about the number of workers; empty if it is right."""
    workers = launcher.get("n_jobs", 1)
    if not isinstance(workers, int) or workers <= cores():
        return ""
    return (
        f"hydra.launcher.n_jobs={workers} is more than the {cores()} cores here: jobs will wait "
        f"for each other (type hydra.launcher.n_jobs={cores()})"
    )


def at_a_time(launcher: Mapping[str, Any]) -> int | None:
    """Jobs that submitit may start at once on this machine, which is one per GPU where there are.

    None where a launcher sees to it. Who wants none of the GPUs empties CUDA_VISIBLE_DEVICES.
    """
    if not _is_local(launcher):
        return None
    per_job = int(launcher.get("cpus_per_task") or 1)
    return max(1, min(cores() // per_job, len(_visible()) or cores()))


def keep_gpus() -> None:
    """Lets the jobs of a sweep know which GPUs there are: submitit hides them all."""
    os.environ[KEPT] = ",".join(_visible())


def take(launcher: Mapping[str, Any], job: int) -> None:
    """Limits this process, if it is a worker, to its cores and to one GPU.

    Has to come before torch is imported. joblib tells its workers how many threads they may
    use; what users set themselves stays. Jobs side by side have numbers in a row.
    """
    if (per_job := launcher.get("cpus_per_task")) is not None:
        os.environ.setdefault(THREADS, str(per_job))
    worker = re.fullmatch(r"LokyProcess-(\d+)", multiprocessing.current_process().name)
    if worker and len(gpus := _visible()) > 1:
        os.environ[VISIBLE] = gpus[(int(worker[1]) - 1) % len(gpus)]
    if _is_local(launcher) and not launcher.get("gpus_per_node") and os.environ.get(KEPT):
        gpus = os.environ[KEPT].split(",")
        os.environ[VISIBLE] = gpus[job % len(gpus)]


def _is_local(launcher: Mapping[str, Any]) -> bool:
    """Whether submitit starts the jobs on this machine."""
    return str(launcher.get("_target_")).endswith(".submitit_launcher.LocalLauncher")


def _visible() -> list[str]:
    return [gpu for gpu in os.environ.get(VISIBLE, _gpus()).split(",") if gpu not in ("", "-1")]


def _gpus() -> str:
    """Numbers of the GPUs of this machine, as the driver lists them."""
    folder = "/proc/driver/nvidia/gpus"
    return ",".join(map(str, range(len(os.listdir(folder))))) if os.path.isdir(folder) else ""
