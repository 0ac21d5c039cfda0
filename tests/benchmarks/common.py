"""What the benchmarks share: their arguments, fresh processes, tables and records."""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

TRAIN = str(Path(sys.executable).with_name("seqfuse-train"))
PACKAGES = ("torch", "lightning", "hydra-core", "seqfuse")
PLAIN = (
    *("trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.enable_progress_bar=false"),
    *("logger=none", "callbacks.figures=null"),
)
"""Words of a run that keeps its checkpoint and shows nothing."""
RESULTS = Path(__file__).with_name("results")
Cell = str | int | float
Row = dict[str, Cell]
"""A row of a CSV file, by column."""


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """Of a benchmark's own arguments."""
    return argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.{name}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def arguments(name: str, about: str | None, **numbers: int | None) -> argparse.Namespace:
    """Reads the command line: `--out`, and one whole number for each of `numbers`."""
    given = parser(name, about)
    given.add_argument("--out", type=Path, default=Path("logs", "benchmarks", f"{name}.json"))
    for number, default in numbers.items():
        given.add_argument(f"--{number}", type=int, default=default)
    return given.parse_args()


def call(command: Sequence[str], folder: str | Path) -> str:
    """Runs a command in a folder and returns what it printed; shows its errors if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    done.check_returncode()
    return done.stdout


def command(name: str) -> str:
    """Path of a command, such as `predict`."""
    return str(Path(sys.executable).with_name(f"seqfuse-{name}"))


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The middle of each row of samples."""
    return {name: statistics.median(values) for name, values in samples.items()}


def table(samples: Mapping[str, Sequence[float]], unit: str) -> None:
    """Prints median, least and most of each row of samples."""
    width = max(map(len, samples))
    print(f"{unit:<{width}}  {'median':>8}  {'least':>8}  {'most':>8}")
    for name, middle in medians(samples).items():
        least, most = min(samples[name]), max(samples[name])
        print(f"{name:<{width}}  {middle:>8.3f}  {least:>8.3f}  {most:>8.3f}")


def write(out: Path, **content: Any) -> None:
    """Writes the results, and the machine they hold for, as JSON."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**content, "machine": _machine()}, indent=2) + "\n")
    print(f"written to {out}")


def complete(path: Path, runs: Iterable[Row], measure: Callable[..., Row]) -> None:
    """Measures the runs that have no row in a CSV file, and adds each row as soon as it is made.

    Args:
        path: of the file; where it ends, a run that was stopped goes on.
        runs: the columns that name each run.
        measure: makes the other columns from those, which are its keywords.
    """
    for run in runs:
        if find(path, run):
            continue
        row = run | measure(**run)
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.is_file()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(row, flush=True)


def trained(*words: str) -> tuple[Any, Any, dict[str, float]]:
    """Trains on one thread of a CPU; the job of the best checkpoint, its splits and the metrics."""
    from seqfuse.config import loading  # slow: torch and lightning
    from seqfuse.predicting.engine import TorchEngine
    from seqfuse.runtime.jobs.make import make_job
    from seqfuse.train import train
    from tests.composing import composed

    with tempfile.TemporaryDirectory() as folder:
        metrics = train(composed([*PLAIN, *words]), Path(folder, "run"))
        task, data, _ = loading.load(Path(folder, "run", "checkpoints", "best.ckpt"))
    job = make_job({**data.splits.metadata(), **task.metadata()}, TorchEngine(task))
    return job, data.splits, metrics


def rows(path: Path) -> list[dict[str, str]]:
    """Rows that a CSV file has already."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def find(path: Path, run: Row) -> dict[str, str]:
    """The row of a run in a CSV file; empty where there is none."""
    names = {column: str(cell) for column, cell in run.items()}
    return next((row for row in rows(path) if names.items() <= row.items()), {})


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        # Above the number of cores, others were at work and times are too long.
        "load": os.getloadavg()[0],
        "versions": {name: version(name) for name in PACKAGES},
    }
