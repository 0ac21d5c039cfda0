"""Callbacks that end a run early without losing it."""

import os
import signal
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqfuse.plain.errors import InputError, Interrupted


class NanGuard(Callback):
    """Stops at the first loss that is not a number, before it reaches the weights."""

    def __init__(self) -> None:
        self.batch_idx = 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batch_idx = batch_idx

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        if torch.isfinite(loss):
            return
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        raise InputError(
            f"the loss is {loss.item()} in batch {self.batch_idx} of epoch "
            f"{trainer.current_epoch}: try optimizer.lr from 1e-4 to 1e-3, clip=norm with "
            "trainer.gradient_clip_val from 0.5 to 1.0, or data.scaling=channel"
            + (f"; the last good checkpoint is {best}" if best else "")
        )


class InterruptGuard(Callback):
    """Saves `last.ckpt` after the step in which Ctrl-C or SIGTERM came, then stops.

    A second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.received = None
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._remember)
            except ValueError:  # not in the main thread, so no signal comes here
                return

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.received is not None:
            self._save_and_stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.received is not None:
            self._save_and_stop(trainer)

    def _save_and_stop(self, trainer: Trainer) -> None:
        run = trainer.default_root_dir
        trainer.save_checkpoint(f"{run}/checkpoints/last.ckpt")
        assert self.received is not None
        raise Interrupted(self.received, os.path.relpath(run))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)


class RandomState(Callback):
    """Keeps torch's random state in the checkpoint, so that a resumed run goes on with it."""

    def __init__(self) -> None:
        self._pending: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        states = [torch.get_rng_state()]
        if torch.cuda.is_available():
            states += torch.cuda.get_rng_state_all()
        return {"states": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._pending = state_dict["states"]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if not self._pending:
            return
        torch.set_rng_state(self._pending[0].cpu())
        for device, state in enumerate(self._pending[1 : 1 + torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
        self._pending = []
