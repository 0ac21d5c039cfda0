"""Seconds to begin with, and memory of, a long table of many series; windows in a second of
the processor.

python -m tests.benchmarks.panel [--series 5000] [--rows 200] [--out file.json]
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.data.loader import EpochShuffle
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader
from tests.benchmarks import common

BATCHES = 300


def write(path: Path, series: int, rows: int) -> None:
    """Daily sales of shops in ten towns, with a price that is known ahead."""
    draw = np.random.default_rng(0)
    shop = np.repeat(np.arange(series), rows)
    sales = draw.normal(size=series * rows) + shop % 100
    frame = pd.DataFrame(
        {
            "date": np.tile(pd.date_range("2023-01-01", periods=rows).strftime("%Y-%m-%d"), series),
            "shop": [f"s{number:05d}" for number in shop],
            "town": [f"t{number % 10}" for number in shop],
            "sales": sales.round(3),
            "price": draw.integers(1, 9, series * rows),
        }
    )
    frame.to_csv(path, index=False)


def peak() -> float:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    given = common.arguments("panel", __doc__, series=5000, rows=200)
    series, rows = given.series, given.rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.csv"
        write(path, series, rows)
        size, before = path.stat().st_size / 2**20, peak()
        reader = TableReader(
            targets=["sales"], known=["price", "weekday"], group="shop", static=["town"]
        )
        source = TableFile(str(path))
        began = time.perf_counter()
        splits = TimeSplits(reader, TablePipeline("series"), source, 56, 14, [0.7, 0.15, 0.15])
        splits.fit()
        read = time.perf_counter()
        for split in ("val", "test"):
            splits.tensors(split)
        list(splits.notes())
        ready = time.perf_counter()
        tensors = splits.tensors("train")
        order = list(EpochShuffle(len(tensors), 0))
        shuffled, cut = time.perf_counter(), time.process_time()
        for i in range(BATCHES):
            tensors.__getitems__(order[256 * i : 256 * (i + 1)])
        cut = time.process_time() - cut
    measured = {
        "seconds to read and scale": read - began,
        "seconds of the other splits": ready - read,
        "seconds to shuffle": shuffled - ready,
        "windows a second": 256 * BATCHES / cut,
        "MiB above the start": peak() - before,
    }
    print(f"{series:,} series of {rows} rows, {size:.0f} MiB of text, {len(tensors):,} windows")
    for name, value in measured.items():
        print(f"{name:<28}{value:>10,.1f}")
    common.write(given.out, series=series, rows=rows, **measured)


if __name__ == "__main__":
    main()
