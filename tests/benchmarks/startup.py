"""Seconds from command to first training step, beside imports and commands that train nothing.

Each is a fresh process in an empty folder. `first step` is `seqfuse-train` on 1,000 synthetic
series, until its first `training_step` is called; the others are timed until they end.

    python -m tests.benchmarks.startup [--repeats 5] [--out file.json]

All take turns, so that a busy spell of the machine is shared.
"""

import sys
import tempfile
import time

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
COMMANDS = {
    "first step": (sys.executable, "-c", FIRST_STEP, *RUN),
    "import torch": (sys.executable, "-c", "import torch"),
    "import lightning.pytorch": (sys.executable, "-c", "import lightning.pytorch"),
    "seqfuse-train --help": (common.TRAIN, "--help"),
    "seqfuse-train --cfg job": (common.TRAIN, "--cfg", "job"),
}


def main() -> None:
    given = common.arguments("startup", __doc__, repeats=5)
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(given.repeats):
        for name, command in COMMANDS.items():
            seconds[name].append(measure(command))
    common.table(seconds, "seconds")
    common.write(given.out, seconds=seconds, medians=common.medians(seconds))


def measure(command: tuple[str, ...]) -> float:
    """Seconds until the command reports its first step, or else until it ends."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()  # not perf_counter: the other process has to read the same clock
        printed = common.call(command, folder)
        end = time.time()
    _, reported, moment = printed.rpartition("started at ")
    return (float(moment) if reported else end) - start


if __name__ == "__main__":
    main()
