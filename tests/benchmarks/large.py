"""Processor seconds and peak memory (MiB) of the default on many series, and on long ones.

Made-up series of two classes, told by their frequency. Of 10,000, 30,000 and 100,000 series of 50
steps one epoch; of 60 series of 1,000, 3,000 and 10,000 steps a hundred steps of the optimizer.
Both with the bank, the test and the figures, on one thread, each in a process of its own.

    python -m tests.benchmarks.large [--repeats 1] [--out file.json]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks import common
from tests.benchmarks.memory import PEAK, PROGRAMS

SECONDS = """
used = resource.getrusage(resource.RUSAGE_SELF)
print("seconds", used.ru_utime + used.ru_stime)
"""
MANY, LONG = (10_000, 30_000, 100_000), (1000, 3000, 10_000)
WORDS = ("trainer.accelerator=cpu", "trainer.num_threads=1", "data=arrays", "data.train=made.npz")


def main() -> None:
    given = common.arguments("large", __doc__, repeats=1)
    seconds: dict[str, list[float]] = {}
    mebibytes: dict[str, list[float]] = {}
    for _ in range(given.repeats):
        for count in MANY:
            name, word = f"{count:,} series of 50 steps", "trainer.max_epochs=1"
            add(seconds, mebibytes, name, measure(count, 50, word))
        for length in LONG:
            name, word = f"60 series of {length:,} steps", "trainer.max_steps=100"
            add(seconds, mebibytes, name, measure(60, length, word))
    common.table(seconds, "seconds")
    common.table(mebibytes, "MiB")
    common.write(given.out, seconds=seconds, mebibytes=mebibytes)


def add(
    seconds: dict[str, list[float]],
    mebibytes: dict[str, list[float]],
    name: str,
    measured: tuple[float, float],
) -> None:
    seconds.setdefault(name, []).append(measured[0])
    mebibytes.setdefault(name, []).append(measured[1])
    print(f"{name}: {measured[0]:.1f} s, {measured[1]:.0f} MiB", flush=True)


def measure(num_series: int, num_steps: int, word: str) -> tuple[float, float]:
    """Processor seconds and peak memory of one training, its start included."""
    draw = np.random.default_rng(0)
    y = np.arange(num_series) % 2
    steps = np.linspace(0, 8 * np.pi, num_steps, dtype=np.float32)
    shift = draw.uniform(0, 2 * np.pi, (num_series, 1)).astype(np.float32)
    x = np.sin(steps * (1 + y[:, None]) + shift) + draw.normal(
        0, 0.5, (num_series, num_steps)
    ).astype(np.float32)
    program = f"{PROGRAMS['seqfuse-train']}\n{PEAK}\n{SECONDS}"
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "made.npz"), x=x[:, :, None].astype(np.float32), y=y)
        printed = common.call((sys.executable, "-c", program, *WORDS, word), folder)
    peak, _, used = printed.rpartition("peak ")[2].partition("seconds ")
    return float(used), float(peak)


if __name__ == "__main__":
    main()
