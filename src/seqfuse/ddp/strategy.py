"""Data-parallel training that equals that of one process, and ends as one."""

import signal
import subprocess
from types import FrameType
from typing import Literal

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from seqfuse.compat.lightning import LaunchedDdp, on_sigterm
from seqfuse.compat.torch import NO_BUFFERS, is_first
from seqfuse.ddp.launcher import Spawner, ended_by
from seqfuse.runtime.errors import Diverged, Interrupted, Pruned

AGREED = (Diverged, Interrupted, Pruned)
"""What all ranks raise in the same step."""
PATIENCE = 10.0
"""Seconds that a rank has to tell what went wrong."""


class Ddp(LaunchedDdp):
    """One process per device; each has its share of every batch, and gradients are averaged.

    Buffers are not sent around in each step: there are none but running batch statistics,
    which are averaged before they are used (`seqfuse.nn.collectives`).

    Args:
        start_method: `popen` starts the command again for each device, unless torchrun or Slurm
            has; `spawn` starts processes from within this one.
        num_threads: CPU threads of each process; None shares the cores out.
    """

    def __init__(
        self, start_method: Literal["popen", "spawn"] = "popen", num_threads: int | None = None
    ):
        if start_method not in ("popen", "spawn"):
            raise ValueError(f"start_method={start_method} must be popen or spawn")
        # Spawned ranks are counted here, whatever a cluster has started this process as.
        environment = LightningEnvironment() if start_method == "spawn" else None
        super().__init__(cluster_environment=environment, start_method=start_method, **NO_BUFFERS)
        self.num_threads = num_threads

    def spawner(self) -> Spawner:
        return Spawner(self)

    def setup_environment(self) -> None:
        super().setup_environment()
        if self.num_threads:
            torch.set_num_threads(self.num_threads)
        # So that dropout differs from rank to rank; weights come from rank 0.
        torch.manual_seed(torch.initial_seed() + self.global_rank)

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        on_sigterm(trainer, _end)

    def on_exception(self, exception: BaseException) -> None:
        """Ends the other ranks; of several errors the first is reported, by whom it met."""
        super().on_exception(exception)
        if isinstance(self.launcher, Spawner):
            return  # it sees to the ranks
        elsewhere = isinstance(exception, Exception) and self._is_reported(exception)
        codes = self._end_children(PATIENCE if elsewhere else 0.0) if self.global_rank == 0 else []
        if elsewhere:
            raise SystemExit(0 if isinstance(exception, AGREED) else 1) from None
        if killed := [code for code in codes if code < 0]:
            raise ended_by(signal.Signals(-killed[0]).name)

    def _is_reported(self, exception: Exception) -> bool:
        """Whether another rank says what went wrong."""
        if isinstance(exception, AGREED):
            return self.global_rank != 0
        try:
            return not is_first("seqfuse/failed")
        except (RuntimeError, ValueError):  # rank 0, who keeps it, has gone; or all is yet to come
            return self.global_rank != 0

    def _end_children(self, patience: float) -> list[int]:
        """Ends processes that this one started; returns codes of those that ended before."""
        codes = []
        for child in self.children:
            try:
                codes.append(child.wait(patience or 0.5))
            except subprocess.TimeoutExpired:
                child.kill()
        return codes


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
