"""Seconds of one training epoch: Lightning, a bare loop and per-sample loops.

10,000 synthetic series, `model=base`, batches of 32 and of 256, on the CPU. `lightning` is
`fit` as `seqfuse-train` does it, with its loggers, callbacks and progress bar; `bare` is the
same net, loader, optimizer and clipping in a plain loop that logs nothing; `per-sample` loads
sample by sample, collates, and reads `loss.item()` in every step; `classic` does so with the
optimizer that people write, `torch.optim.Adam(parameters, lr)`, where ours is fused.

    python -m tests.benchmarks.epoch [--rounds 5] [--threads 1] [--out file.json]

They take turns of a few steps in one process; a round is an epoch of each. Ratios are
medians of the ratios within a round. On a machine that others use, give `--threads 1`: threads
that wait for a core taken away can make any of them ten times slower.
"""

import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.compat.lightning import skip_idle_hooks
from seqfuse.config import build, cli, recipes, runs
from seqfuse.data.module import DataModule
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.base import Record, Task
from tests.benchmarks import common
from tests.benchmarks.loops import Bare, Classic

BATCH_SIZES = (32, 256)
# Steps at a time: so few that a busy spell of the machine meets all alike.
TURN = 8
RUN = (
    "data=synthetic",
    "model=base",
    "data.num_samples=10000",
    "data.num_folds=0",
    "task.monitor=train/loss",
    "scheduler.monitor=train/loss",
    "test=false",
    "trainer.accelerator=cpu",
)
# Processor seconds wait for nobody: on a busy machine their ratio is the steadier one.
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Samples = dict[str, list[float]]


def main() -> None:
    given = common.arguments("epoch", __doc__, rounds=5, threads=None)
    results = {}
    for batch_size in BATCH_SIZES:
        results[batch_size] = measure(batch_size, given.rounds, given.threads)
        print(f"\nbatches of {batch_size}, threads: {torch.get_num_threads()}")
        for clock, seconds in results[batch_size].items():
            common.table(seconds, f"seconds, {clock}")
            common.table(ratios(seconds), f"ratio, {clock}")
    medians = {
        size: {clock: common.medians(rows | ratios(rows)) for clock, rows in seconds.items()}
        for size, seconds in results.items()
    }
    common.write(given.out, threads=torch.get_num_threads(), seconds=results, medians=medians)


def measure(batch_size: int, rounds: int, threads: int | None) -> dict[str, Samples]:
    """Seconds of each loop by each clock, one number per round."""
    more = [f"data.batch_size={batch_size}", f"trainer.max_epochs={rounds + 2}"]
    # Into a pipe the bar is drawn twenty times as seldom; here it costs what a terminal costs.
    more += [f"callbacks.progress_bar.seconds={0.5 if sys.stderr.isatty() else 0.025}"]
    with tempfile.TemporaryDirectory() as folder:
        task, data, trainer = prepared([*RUN, *more], Path(folder), threads)
        plain = partial(torch.optim.Adam, lr=1e-3)
        loops = {
            "bare": Bare(task, data.train_dataloader()),
            "per-sample": Classic(task, data),
            "classic": Classic(task, data, plain),
        }
        turns = Turns(loops)
        trainer.callbacks.append(turns)  # type: ignore[attr-defined]
        skip_idle_hooks(trainer, task)
        trainer.fit(task, datamodule=data)
    # The first round pays for what is set up once, and the last is not complete.
    return {
        clock: {name: values[1:-1] for name, values in seconds.items()}
        for clock, seconds in turns.seconds.items()
    }


def ratios(seconds: Samples) -> Samples:
    """Lightning's seconds over those of each other loop, one number per round."""
    own = seconds["lightning"]
    return {
        f"lightning/{name}": [a / b for a, b in zip(own, values, strict=True)]
        for name, values in seconds.items()
        if name != "lightning"
    }


def prepared(words: list[str], run: Path, threads: int | None) -> tuple[Task, DataModule, Trainer]:
    """What `seqfuse.train.train` has in hand when it calls `fit`."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        recipe = compose("train", [*words, f"trainer.num_threads={threads or 'null'}"])
    recipe = runs.prepare(recipe, run)
    config = recipes.resolve(recipe)
    runs.seed(config)
    data, trainer = build.build_data(config), build.build_trainer(config)
    data.setup("fit")
    recipe = recipes.fill(recipe, data.sizes(), data.splits.num_steps)
    config = recipes.resolve(recipe)
    task = build.build_task(config, record=Record(config, recipes.unresolved(recipe), {}))
    return task, data, trainer


class Turns(Callback):
    """Times epochs of the trainer and, while its clock is stopped, epochs of other loops.

    Lightning's clock runs from the start of one epoch to the start of the next, so all that it
    does between steps and at the end (log, step the schedule, save checkpoints) counts, wherever
    among the callbacks this one stands. The last epoch has no next one, so nothing takes turns.
    """

    def __init__(self, loops: Mapping[str, Bare]):
        names = ("lightning", *loops)
        self.loops = loops
        self.seconds: dict[str, Samples] = {clock: {n: [] for n in names} for clock in CLOCKS}
        self._running: dict[str, Iterator[None]] = {}
        self._start: dict[str, float] = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._running:
            self._take_turns(None)
        for values in (v for rows in self.seconds.values() for v in rows.values()):
            values.append(0.0)
        last = trainer.current_epoch + 1 == trainer.max_epochs
        self._running = {} if last else {n: loop.epoch() for n, loop in self.loops.items()}
        self._go()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if batch_idx and batch_idx % TURN == 0:
            self._take_turns(TURN)

    def _take_turns(self, steps: int | None) -> None:
        """Lets every other loop go so many steps; None lets it finish its epoch."""
        self._stop("lightning")
        for name, epoch in self._running.items():
            self._go()
            deque(islice(epoch, steps), maxlen=0)
            self._stop(name)
        self._go()

    def _go(self) -> None:
        self._start = {clock: now() for clock, now in CLOCKS.items()}

    def _stop(self, name: str) -> None:
        for clock, now in CLOCKS.items():
            self.seconds[clock][name][-1] += now() - self._start[clock]


if __name__ == "__main__":
    main()
