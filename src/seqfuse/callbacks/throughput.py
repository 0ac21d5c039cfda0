"""Speed of training, time spent waiting for data, and memory (MiB)."""

import sys
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.data.loader import Loader

MIB = 2**20
CGROUP = Path("/sys/fs/cgroup")


class Throughput(Callback):
    """One row per epoch in TensorBoard and metrics.csv, and a summary of the run.

    - `train/samples_per_second`: training items of all processes over the seconds of their
      steps; validation, checkpoints and figures do not count.
    - `train/data_wait`: fraction of these seconds in which steps waited for a batch.
    - `train/memory_mib`: the most memory that this process was resident in since it began; not
      known on Windows.
    - `train/gpu_memory_mib`: the most that tensors took on the GPU, where there is one.

    These are no metrics of the trainer, for no two runs have the same. No hook of a step is
    used: the loader counts, at two looks at the clock a batch.
    """

    def __init__(self) -> None:
        self.items = 0
        self.seconds = 0.0
        self.waited = 0.0
        self._start: float | None = None
        self._before = (0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_last_batch:  # goes on in an epoch, of which it sees the rest
            self.on_train_epoch_start(trainer)

    def on_train_epoch_start(self, trainer: Trainer, *_: LightningModule) -> None:
        self._before = _counts(trainer)
        self._start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer)

    def _close(self, trainer: Trainer) -> None:
        """Ends the epoch's row at its validation or, if it has none, at its end."""
        if self._start is None:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds, self._start = time.perf_counter() - self._start, None
        items, waited = (new - old for new, old in zip(_counts(trainer), self._before, strict=True))
        items = int(items) * trainer.world_size
        self.items, self.seconds = self.items + items, self.seconds + seconds
        self.waited += waited
        row = {"samples_per_second": items / seconds, "data_wait": waited / seconds, **_peaks()}
        row = {f"train/{name}": value for name, value in row.items()}
        last = trainer.global_step - 1  # where Lightning puts an epoch's metrics
        for logger in trainer.loggers:
            logger.log_metrics({**row, "epoch": trainer.current_epoch}, last)

    def summary(self) -> str:
        """The whole run's numbers in one line."""
        names = {"memory_mib": "memory", "gpu_memory_mib": "GPU memory"}
        parts = [
            f"{self.items / self.seconds:,.0f} samples/s",
            f"waiting for data {self.waited / self.seconds:.1%} of the time",
            *(f"{names[name]} {value:,.0f} MiB at most" for name, value in _peaks().items()),
        ]
        return ", ".join(parts)


def _counts(trainer: Trainer) -> tuple[int, float]:
    loader = trainer.train_dataloader
    return (loader.items, loader.waited) if isinstance(loader, Loader) else (0, 0.0)


def _peaks() -> dict[str, float]:
    peaks = {"memory_mib": peak(), "gpu_memory_mib": gpu_peak()}
    return {name: value for name, value in peaks.items() if value is not None}


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
    """Free memory (MiB), within a container's or a job's limit; None where it cannot be known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    try:
        limit, used = ((CGROUP / name).read_text() for name in ("memory.max", "memory.current"))
        return min(free / 1024, (int(limit) - int(used)) / MIB)
    except (OSError, ValueError):  # no such file, or no limit: "max"
        return free / 1024
