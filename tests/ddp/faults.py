"""What can go wrong on one rank alone."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.runtime.errors import InputError


class Fault(Callback):
    """Does something bad at the start of a step, on one rank.

    Args:
        kind: `mistake`, `blown_up`, the name of a signal, or `notice`: SIGTERM to torchrun.
        rank: that it happens to.
        step: of the optimizer.
        once: a file that is made then; where it is there already, nothing happens.
    """

    def __init__(self, kind: str, rank: int = 1, step: int = 3, once: str | None = None):
        self.kind, self.rank, self.step = kind, rank, step
        self.once = Path(once) if once else None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_rank != self.rank or trainer.global_step != self.step:
            return
        if self.once is not None:
            if self.once.exists():
                return
            self.once.touch()
        if self.kind == "mistake":
            raise InputError("a mistake on one rank")
        if self.kind == "blown_up":
            torch.nn.utils.vector_to_parameters(
                torch.full((sum(p.numel() for p in pl_module.parameters()),), torch.nan),
                pl_module.parameters(),
            )
        if self.kind == "notice":
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(3.0)  # it passes the signal on
        if self.kind in ("SIGTERM", "SIGKILL"):
            os.kill(os.getpid(), signal.Signals[self.kind])
