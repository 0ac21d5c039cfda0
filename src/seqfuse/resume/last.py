"""The checkpoint to go on from."""

import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from seqfuse.compat.lightning import begin_epoch_anew
from seqfuse.config.checkpoint import LAST
from seqfuse.nn import collectives
from seqfuse.resume import job
from seqfuse.runtime.errors import InputError, Interrupted

NOTHING, SAVE, STOP = 0, 1, 2


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt`: after each epoch, in between, and when the run is to stop.

    Ctrl-C, SIGTERM and, in a Slurm job, SIGUSR1 save and end the run; after SIGUSR1 and, unless
    it was cancelled, after SIGTERM the job is put back into the queue. In an epoch it saves only
    right behind a step of the optimizer, and not behind the last one: validation and the
    schedule come first there. A second Ctrl-C stops at once.

    Lightning calls checkpoint callbacks behind all others, so that an average of the
    weights has seen the step that is saved.

    A kill costs `every_seconds` within an epoch, or `every_n_steps` of the optimizer, at most; null
    leaves it to the time.
    """

    def __init__(
        self,
        dirpath: str,
        every_seconds: float = 300.0,
        every_n_steps: int | None = None,
    ) -> None:
        for name, value in (("every_seconds", every_seconds), ("every_n_steps", every_n_steps)):
            if value is not None and value <= 0:
                raise InputError(f"callbacks.last_checkpoint.{name}={value} must be above 0")
        self.path = os.path.join(dirpath, LAST)
        self.every_seconds, self.every_n_steps = every_seconds, every_n_steps
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._saved_at = self._seen = -1
        self._time = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.received = None
        self._seen = trainer.global_step
        path = trainer.ckpt_path
        # Of a run that goes on from another checkpoint there is no last one yet.
        self._saved_at = self._seen if path is None or Path(path).name == LAST else -1
        self._time = time.monotonic()
        for number, handler in self._handlers().items():
            try:
                self._before[number] = signal.signal(number, handler)
            except ValueError:  # not in the main thread, so no signal comes here
                return

    def _handlers(self) -> dict[int, Any]:
        if not job.in_submitit():
            numbers = (signal.SIGINT, signal.SIGTERM, _requeue_signal())
            return {number: self._remember for number in numbers if number is not None}
        name = "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        # It leaves SIGTERM alone, because Slurm sends that along with the other.
        handlers: dict[int, Any] = {signal.SIGINT: self._remember, signal.SIGTERM: _ignore}
        preempt = signal.Signals.__members__.get(name)
        if preempt is not None and callable(signal.getsignal(preempt)):
            handlers[preempt] = self._remember
        return handlers

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        if number == signal.SIGINT:
            signal.signal(number, self._before.get(number, signal.default_int_handler))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        stepped, self._seen = trainer.global_step != self._seen, trainer.global_step
        if stepped and not trainer.is_last_batch:
            self._act(trainer, self._wanted(trainer))

    def _wanted(self, trainer: Trainer) -> int:
        if self.received is not None:
            return STOP
        steps, seconds = trainer.global_step - self._saved_at, time.monotonic() - self._time
        enough = self.every_n_steps is not None and steps >= self.every_n_steps
        late = seconds >= self.every_seconds
        done = 0 < trainer.max_steps <= trainer.global_step
        return SAVE if enough or late or done else NOTHING

    def _act(self, trainer: Trainer, wanted: int) -> None:
        """Saves, and perhaps stops, in all processes at the same step."""
        wanted = collectives.highest(wanted, trainer.strategy.root_device)
        if wanted != NOTHING:
            self._save(trainer)
        if wanted == STOP:
            self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stopping: Any = trainer.early_stopping_callback
        if stopping is not None and stopping.wait_count >= stopping.patience:
            trainer.should_stop = True  # also of a run that was killed right behind the decision

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._act(trainer, SAVE if self.received is None else STOP)  # without validation

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        begin_epoch_anew(checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)
        self._act(trainer, NOTHING if self.received is None else STOP)
        self._restore()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _save(self, trainer: Trainer) -> None:
        if self._saved_at != trainer.global_step:
            self._saved_at = trainer.global_step
            trainer.save_checkpoint(self.path)
        self._time = time.monotonic()

    def _stop(self, trainer: Trainer) -> None:
        # The signal may have come to another rank.
        number = collectives.highest(self.received or 0, trainer.strategy.root_device)
        submitits = self._before.get(number)
        self._restore()
        if job.in_submitit() and number != signal.SIGINT and callable(submitits):
            submitits(number, None)  # which puts the job back, and ends the process
        note = job.put_back(number) if trainer.is_global_zero else ""
        raise Interrupted(number, os.path.relpath(trainer.default_root_dir), note)

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)


def _ignore(number: int, frame: FrameType | None) -> None:
    return None


def _requeue_signal() -> int | None:
    return getattr(signal, "SIGUSR1", None) if job.number() and not job.in_submitit() else None
