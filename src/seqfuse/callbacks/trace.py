"""A trace of the net's operations and what they cost."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers.pytorch import RegisterRecordFunction
from torch import cuda
from torch.profiler import ProfilerActivity, profile, schedule

from seqfuse.runtime import files
from seqfuse.runtime.shown import say


class Trace(Callback):
    """Writes `trace.json.gz` into a folder: every operation of a few training steps.

    Each operation lies below the part of the net that called it, on the CPU and, where there
    is one, the GPU. https://ui.perfetto.dev opens the file, and so does TensorBoard's profiler
    plugin.

    Args:
        folder: is made, if need be.
        steps: to write down; a step of a small net takes about 100 KB before compression.
        skip: steps before them, in which everything is set up; fewer where an epoch has too few.
    """

    def __init__(self, folder: str, steps: int = 5, skip: int = 5):
        if steps < 1 or skip < 0:
            raise ValueError(f"steps={steps} must be at least 1 and skip={skip} at least 0")
        self.path = Path(folder) / "trace.json.gz"
        self.steps, self.skip = steps, skip
        self._profile: profile | None = None
        self._names: RegisterRecordFunction | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # else it prints that there is no GPU
        self._names = RegisterRecordFunction(pl_module)
        self._names.__enter__()
        batches = int(trainer.num_training_batches)
        skip = min(self.skip, max(batches - self.steps, 0))
        warmup = min(skip, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # so few batches have none to warm up in
            plan = schedule(
                skip_first=skip - warmup,
                wait=0,
                warmup=warmup,
                active=min(self.steps, batches - skip),
                repeat=1,
            )
        devices = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda.is_available()]
        self._profile = profile(activities=devices, schedule=plan, on_trace_ready=self._write)
        self._profile.start()

    def _write(self, finished: profile) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, self.path.name)
            finished.export_chrome_trace(str(whole))
            files.write(self.path, whole.read_bytes())
        self._remove_names()

    def on_train_batch_end(self, *_: Any) -> None:
        if self._profile is not None:
            self._profile.step()
            if self._names is None:  # it is written: further steps run at full speed
                self._stop()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()
        if trainer.is_global_zero:
            say(f"trace       {self.path}: open it in https://ui.perfetto.dev")

    def on_exception(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        running, self._profile = self._profile, None
        if running is not None:
            running.stop()
        self._remove_names()

    def _remove_names(self) -> None:
        if self._names is not None:
            self._names.__exit__(None, None, None)
            self._names = None
