"""Data-parallel training that equals that of one process, and ends as one."""

import inspect
import signal
import subprocess
from types import FrameType
from typing import Any, Literal

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch.distributed import distributed_c10d
from torch.nn.parallel import DistributedDataParallel

from seqfuse.ddp.launcher import SpawnLauncher
from seqfuse.runtime.errors import Diverged, InputError, Interrupted, Pruned

AGREED = (Diverged, Interrupted, Pruned)
"""What all ranks raise in the same step."""
NO_BUFFERS = "forward_sync_buffers"
if NO_BUFFERS not in inspect.signature(DistributedDataParallel).parameters:
    NO_BUFFERS = "broadcast_buffers"  # its name before torch 2.15
PATIENCE = 10.0
"""Seconds that a rank has to tell what went wrong."""


class Ddp(DDPStrategy):
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
        more: dict[str, Any] = {NO_BUFFERS: False}
        super().__init__(cluster_environment=environment, start_method=start_method, **more)
        self.num_threads = num_threads

    def _configure_launcher(self) -> None:
        if self._start_method == "spawn":
            self._launcher = SpawnLauncher(self)
        else:
            super()._configure_launcher()

    def setup_environment(self) -> None:
        super().setup_environment()
        if self.num_threads:
            torch.set_num_threads(self.num_threads)
        # So that dropout differs from rank to rank; weights come from rank 0.
        torch.manual_seed(torch.initial_seed() + self.global_rank)

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        # Lightning's own would broadcast in the middle of another broadcast, and wait for ever.
        trainer._signal_connector._sigterm_notifier_fn = _end  # type: ignore[method-assign]

    def on_exception(self, exception: BaseException) -> None:
        """Ends the other ranks; of several errors the first is told, by whom it met."""
        super().on_exception(exception)
        if self._start_method == "spawn":
            return  # the launcher sees to it
        told = isinstance(exception, Exception) and self._is_told(exception)
        ended = self._end_children(PATIENCE if told else 0.0) if self.global_rank == 0 else []
        if told:
            raise SystemExit(0 if isinstance(exception, AGREED) else 1) from None
        if killed := [number for number in ended if number < 0]:
            name = signal.Signals(-killed[0]).name
            raise InputError(f"a process of this run was ended by {name} (out of memory?)")

    def _is_told(self, exception: Exception) -> bool:
        """Whether another rank says what went wrong."""
        if isinstance(exception, AGREED):
            return self.global_rank != 0
        try:
            store: Any = distributed_c10d._get_default_store()
            return store.add("seqfuse/failed", 1) > 1
        except (RuntimeError, ValueError):  # rank 0, who keeps it, has gone; or all is yet to come
            return self.global_rank != 0

    def _end_children(self, patience: float) -> list[int]:
        """Ends processes that this one started; returns codes of those that ended before."""
        launcher = self._launcher
        children = launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else []
        codes = []
        for child in children:
            try:
                codes.append(child.wait(patience or 0.5))
            except subprocess.TimeoutExpired:
                child.kill()
        return codes


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
