"""Seconds from command to first training step, beside imports and commands that train nothing.

Each is a fresh process. `first step` is `seqfuse-train` on 1,000 synthetic series, until its first
`training_step` is called; the others are timed until they end: `predict`, `explain` and `evaluate`
on what one such step leaves, `load` from Python.

    python -m tests.benchmarks.startup [--repeats 5] [--out file.json]

All take turns, so that a busy spell of the machine is shared; seconds of the processor, which it
hardly changes, stand beside those of the clock.
"""

import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks import common

# Replaces the step only after the command has composed its config and begun to import, so
# nothing is imported sooner than without it. The exit skips what comes after the measurement.
FIRST_STEP = """
import os, sys, time
from seqfuse import train as command

def until_first_step(recipe, run, train=command.train):
    from seqfuse.tasks.base import Task
    Task.training_step = report
    return train(recipe, run)

def report(*_):
    os.write(1, f"started at {time.time()}".encode())
    os._exit(0)

command.train = until_first_step
command.main()
"""
RUN = (
    "data=synthetic",
    "model=base",
    "data.num_samples=1000",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1",
    "test=false",
)
LOAD = "import seqfuse; seqfuse.load('best.ckpt').predict('new.npy')"
GIVEN = ("ckpt=best.ckpt", "trainer.accelerator=cpu")
NEW = ("input=new.npy", "output=out.csv", "overwrite=true")
FEW = ("input=new.npy", "output=why", "figures=0", "max_items=1")
COMMANDS = {
    "first step": (sys.executable, "-c", FIRST_STEP, *RUN),
    "import torch": (sys.executable, "-c", "import torch"),
    "import lightning.pytorch": (sys.executable, "-c", "import lightning.pytorch"),
    "load": (sys.executable, "-c", LOAD),
    "predict": (
        common.command("predict"),
        *GIVEN,
        "input=new.npy",
        "output=out.csv",
        "overwrite=true",
    ),
    "explain": (
        common.command("explain"),
        *GIVEN,
        "input=new.npy",
        "output=why",
        "figures=0",
        "max_items=1",
    ),
    "evaluate": (common.command("evaluate"), *GIVEN),
    "seqfuse-train --help": (common.TRAIN, "--help"),
    "seqfuse-train --cfg job": (common.TRAIN, "--cfg", "job"),
}


def main() -> None:
    given = common.arguments("startup", __doc__, repeats=5)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    processor: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        trained(Path(folder))
        for _ in range(given.repeats):
            for name, command in COMMANDS.items():
                for kept, value in zip((seconds, processor), measure(command, folder), strict=True):
                    kept[name].append(value)
                shutil.rmtree(Path(folder, "why"), ignore_errors=True)
    common.table(seconds, "seconds")
    common.table(processor, "seconds of the processor")
    common.write(
        given.out,
        seconds=seconds,
        medians=common.medians(seconds),
        processor=processor,
        processor_medians=common.medians(processor),
    )


def trained(folder: Path) -> None:
    """A checkpoint of one step, and series to predict."""
    short = ("trainer.limit_train_batches=1", "callbacks.figures=null", "hydra.run.dir=run")
    common.call((common.TRAIN, *RUN, *short), folder)
    shutil.copy(folder / "run" / "checkpoints" / "best.ckpt", folder)
    np.save(folder / "new.npy", np.zeros((4, 50, 3), np.float32))


def measure(command: tuple[str, ...], folder: str) -> tuple[float, float]:
    """Seconds until the command reports its first step, or else until it ends: of the clock, and of
    the processor."""
    before, start = used(), time.time()  # the other process has to read the same clock
    printed = common.call(command, folder)
    end = time.time()
    _, reported, moment = printed.rpartition("started at ")
    return (float(moment) if reported else end) - start, used() - before


def used() -> float:
    """Seconds of the processor that children have taken which have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
