"""Callbacks that end a run early without losing it."""

import math
import os
import signal
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqfuse.plain.errors import Diverged, Interrupted

SKIPS = 20
"""Steps in a row after which a scale that began at 2**16, halved each time, is below 1."""
LEAST_SCALE = 2.0**-10


class NanGuard(Callback):
    """Stops at the first loss that is not a number, before it reaches the weights.

    At 16-mixed such a loss may only be too large for the scale, by which it has been multiplied
    when it comes here: the scaler then skips the step and halves the scale. So there it takes
    `SKIPS` of them in a row, or a scale so small that steps of finite loss must have been
    skipped for good.
    """

    def __init__(self) -> None:
        self._skipped = 0

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self._skipped = 0 if math.isfinite(loss.item()) else self._skipped + 1
        if self._skipped > (SKIPS if _scaler(trainer) else 0):
            self._stop(trainer, loss, f"in batch {trainer.fit_loop.batch_idx}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scaler = _scaler(trainer)
        if scaler is not None and scaler.get_scale() < LEAST_SCALE:
            raise Diverged(
                f"gradients of epoch {trainer.current_epoch} are no numbers, however small the "
                "loss is scaled: type precision=bf16-mixed or precision=32"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not torch.isfinite(loss):
            self._stop(trainer, loss, "in validation")

    def _stop(self, trainer: Trainer, loss: Tensor, where: str) -> None:
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        raise Diverged(
            f"the loss is {loss.item()} {where} of epoch {trainer.current_epoch}: try "
            "optimizer.lr from 1e-4 to 1e-3, clip=norm with trainer.gradient_clip_val from 0.5 "
            "to 1.0, or data.scaling=channel"
            + (f"; the last good checkpoint is {best}" if best else "")
        )


def _scaler(trainer: Trainer) -> Any:
    """What scales the loss at 16-mixed; None at any other precision."""
    return getattr(trainer.precision_plugin, "scaler", None)


class InterruptGuard(Callback):
    """Leaves a `last.ckpt` to resume from when Ctrl-C, SIGTERM or `max_steps` end a run.

    In the middle of an epoch it saves after the step in which the signal came. At the end of
    one it waits until validation and the schedule are through, and saves only what the
    checkpoint callbacks have not saved. A second Ctrl-C stops at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.saved_at = -1
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
        if self.received is not None and not trainer.is_last_batch:
            self._save_and_stop(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.received is not None:
            self._save_and_stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()
        if self.received is not None:
            self._save_and_stop(trainer)
        if trainer.checkpoint_callbacks:
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.saved_at = trainer.global_step

    def _save(self, trainer: Trainer) -> None:
        if self.saved_at != trainer.global_step:
            trainer.save_checkpoint(f"{trainer.default_root_dir}/checkpoints/last.ckpt")

    def _save_and_stop(self, trainer: Trainer) -> None:
        self._save(trainer)
        assert self.received is not None
        raise Interrupted(self.received, os.path.relpath(trainer.default_root_dir))

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
