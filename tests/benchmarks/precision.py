"""Steps per second, peak memory and final loss of fp32, 16-mixed and bf16-mixed.

`model=base`, and the same with an LSTM of hidden size 512, on synthetic series, each trained
from the same seed by `fit` as `seqfuse-train` does it. The precisions take turns: a round is
one short training with each, and steps per second are those of its steps in the middle.

    python -m tests.benchmarks.precision [--rounds 3] [--steps 300] [--batch-size 256] [--out ...]

On a GPU. Without one it measures fp32 and bf16-mixed on the CPU, at hidden sizes 64 and 128,
in 30 steps of 32 series: that this runs, and that losses agree, not what a GPU would gain. The
peak of memory is then not measured, for a process knows only its own.
"""

import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.callbacks.throughput import gpu_peak
from seqfuse.compat.lightning import skip_idle_hooks
from tests.benchmarks import common
from tests.benchmarks.epoch import prepared

GPU = torch.cuda.is_available()
PRECISIONS = ("32", "16-mixed", "bf16-mixed") if GPU else ("32", "bf16-mixed")
SIZES = {"base": 64, "hidden 512": 512} if GPU else {"base": 64, "hidden 128": 128}
WARMUP = 10
LAST = 20
"""Steps whose mean is the final loss."""
RUN = (
    "data=synthetic",
    "model=base",
    "data.num_folds=0",
    "task.monitor=train/loss",
    "scheduler=constant",
    "test=false",
    "logger=none",
    "callbacks.checkpoint=null",
    "callbacks.last_checkpoint=null",
    "callbacks.early_stopping=null",
    "trainer.enable_progress_bar=false",
    "trainer.max_epochs=-1",
    f"trainer={'gpu' if GPU else 'cpu'}",
)


def main() -> None:
    small = {} if GPU else {"rounds": 1, "steps": 30, "batch_size": 32}
    numbers = {"rounds": 3, "steps": 300, "batch_size": 256, **small}
    options = {name.replace("_", "-"): value for name, value in numbers.items()}
    given = common.arguments("precision", __doc__, **options)
    print(
        f"on {torch.cuda.get_device_name() if GPU else 'a CPU: fp32 and bf16-mixed, small sizes'}"
    )
    results = {}
    for name, hidden in SIZES.items():
        rows: dict[str, list[Row]] = {precision: [] for precision in PRECISIONS}
        for _ in range(given.rounds):
            for precision in PRECISIONS:
                rows[precision].append(measure(precision, hidden, given.steps, given.batch_size))
        results[name] = {what: columns(rows, what) for what in rows[PRECISIONS[0]][0]}
        for what, samples in results[name].items():
            print(f"\n{name}")
            common.table(samples, what)
    medians = {
        name: {what: common.medians(samples) for what, samples in found.items()}
        for name, found in results.items()
    }
    common.write(
        given.out, given=vars(given) | {"out": str(given.out)}, results=results, medians=medians
    )


Row = dict[str, float]


def columns(rows: dict[str, list[Row]], what: str) -> dict[str, list[float]]:
    return {precision: [row[what] for row in found] for precision, found in rows.items()}


def measure(precision: str, hidden: int, steps: int, batch_size: int) -> Row:
    """One training."""
    words = [
        f"precision='{precision}'",
        f"model.lstm.hidden_size={hidden}",
        f"data.num_samples={40 * batch_size}",
        f"data.batch_size={batch_size}",
        f"trainer.max_steps={steps}",
    ]
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        task, data, trainer = prepared([*RUN, *words], Path(folder), None if GPU else 1)
        trainer.callbacks.append(watch)  # type: ignore[attr-defined]
        skip_idle_hooks(trainer, task)
        if GPU:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        trainer.fit(task, datamodule=data)
    losses = [loss.item() for loss in watch.losses[-LAST:]]
    row = {"steps/s": watch.rate(), "final loss": statistics.mean(losses)}
    return {**row, "MiB on the GPU": gpu_peak() or 0.0} if GPU else row


class Watch(Callback):
    """When each step ended, and its loss."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[torch.Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        if GPU:
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        self.losses.append(outputs["loss"].detach())

    def rate(self) -> float:
        """Of the step in the middle, those between epochs among them."""
        return 1 / statistics.median(b - a for a, b in pairwise(self.ends[WARMUP:]))


if __name__ == "__main__":
    main()
