"""What can go wrong on one rank alone."""

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.runtime.errors import InputError


class Fault(Callback):
    """Does something bad at the start of a step, on one rank."""

    def __init__(self, kind: str, rank: int = 1, step: int = 3):
        self.kind, self.rank, self.step = kind, rank, step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_rank != self.rank or trainer.global_step != self.step:
            return
        if self.kind == "mistake":
            raise InputError("a mistake on one rank")
        if self.kind == "blown_up":
            torch.nn.utils.vector_to_parameters(
                torch.full((sum(p.numel() for p in pl_module.parameters()),), torch.nan),
                pl_module.parameters(),
            )
        if self.kind in ("SIGTERM", "SIGKILL"):
            os.kill(os.getpid(), signal.Signals[self.kind])
