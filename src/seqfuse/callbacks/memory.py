"""How much memory a process has taken, and how much there is, in MiB."""

import sys
from pathlib import Path

import torch

MIB = 2**20
CGROUP = Path("/sys/fs/cgroup")


def peak() -> float | None:
    """The most that this process was resident in since it began; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (MIB if sys.platform == "darwin" else 1024)  # bytes there, KiB elsewhere


def gpu_peak() -> float | None:
    """The most that tensors took on this process's GPU; None without one."""
    return torch.cuda.max_memory_allocated() / MIB if torch.cuda.is_available() else None


def available() -> float | None:
    """What is free, within a container's or a job's limit; None where it cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    return min(free / 1024, _granted())


def _granted() -> float:
    try:
        limit, used = ((CGROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return (int(limit) - int(used)) / MIB
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return float("inf")
