"""Loading windows from a folder of Parquet: memory, speed beside a mapped .npy, and the shuffle.

Batches of `data=mapped` without a net, in a fresh process each: peak resident memory (MiB) over
a folder of so many megabytes (as read, single precision) and over four times as many, and windows
per second and per processor second, beside a .npy of the same size, by turns. Files of 32 row
groups of 250,000 rows of 8 columns; 8,000 batches of 256 windows of 96 + 24 steps, as many as a
pool has.

With `--linked`, also a folder of so many gigabytes as read: many names of the files of the first
folder (hard links), which lie on the disk once. `start` are the seconds before the first batch
can be asked for, `resume` those that a run waits which goes on in the middle of an epoch.

Then how far windows are apart that follow each other in an epoch, as a part of what they would be
in a random order of all, and from how many row groups a batch of 64 windows is, by the row groups
that fit into the pool (`data.pool`).

    python -m tests.benchmarks.parquet [--megabytes 2000] [--linked 100] [--batches 8000]
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqfuse.data.loader import ChunkShuffle
from tests.benchmarks import common
from tests.benchmarks.memory import PEAK

GROUPS, GROUP = 128, 5_000
"""Row groups of a shuffle, and windows in each."""
MIXES = (1, 2, 4, 8, 16, 32)
FIGURES = {
    "start": "start, s",
    "speed": "windows/s",
    "work": "windows/processor s",
    "resume": "resume, s",
    "peak": "MiB",
}
MAKE = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
folder, groups = Path(sys.argv[1]), int(sys.argv[2])
random = np.random.default_rng(0)
array = folder.suffix == ".npy"
if array:
    rows = np.lib.format.open_memmap(folder, "w+", "float32", (groups * 250_000, 8))
for i in range(groups):
    block = random.normal(size=(250_000, 8)).astype("float32")
    if array:
        rows[i * 250_000 : (i + 1) * 250_000] = block
        continue
    table = pa.table({f"c{k}": block[:, k] for k in range(8)})
    if i % 32 == 0:
        folder.mkdir(exist_ok=True)
        writer = pq.ParquetWriter(folder / f"part-{i // 32}.parquet", table.schema)
    writer.write_table(table)
    if i % 32 == 31 or i == groups - 1:
        writer.close()
"""
LOAD = """
import sys, time
from itertools import islice
from seqfuse.data.module import DataModule
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.rows import RowReader
splits = TimeSplits(RowReader(), TablePipeline("channel"), TableFile(sys.argv[1]), 96, 24)
data = DataModule(splits, 256)
begun = time.perf_counter()
data.setup("fit")
print("start", time.perf_counter() - begun)
begun, worked = time.perf_counter(), time.process_time()
windows = sum(len(batch.index) for batch in islice(data.train_dataloader(), int(sys.argv[2])))
print("speed", windows / (time.perf_counter() - begun))
print("work", windows / (time.process_time() - worked))
loader = data.train_dataloader()
loader.load_state_dict({"done": len(loader) // 2})
begun = time.perf_counter()
next(iter(loader))
print("resume", time.perf_counter() - begun)
"""


def main() -> None:
    given = common.arguments(
        "parquet", __doc__, megabytes=2_000, linked=0, repeats=3, batches=8_000
    )
    sizes = {
        f"{times * given.megabytes} MB{ending}": times * given.megabytes
        for times in (1, 4)
        for ending in (".npy", "")
    }
    many = f"{given.linked} GB of links"
    names = [*sizes, *([many] if given.linked else [])]
    figures: dict[str, dict[str, list[float]]] = {
        figure: {name: [] for name in names} for figure in FIGURES
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, size in sizes.items():
            command = [sys.executable, "-c", MAKE, Path(folder, name), str(size // 8)]
            subprocess.run(command, check=True)
        if given.linked:
            files = [*Path(folder, f"{given.megabytes} MB").iterdir()]
            link(files, Path(folder, many), given.linked * 1_000 // given.megabytes)
        for _ in range(given.repeats):
            for name in names:
                path = Path(folder, name)
                program = (sys.executable, "-c", f"{LOAD}\n{PEAK}", str(path), str(given.batches))
                words = common.call(program, folder).split()
                for figure, value in zip(words[::2], words[1::2], strict=True):
                    figures[figure][name].append(float(value))
                print(name, *words, flush=True)
    for figure, unit in FIGURES.items():
        common.table(figures[figure], unit)
    shuffles = {mix: shuffle(mix) for mix in MIXES}
    print("groups in the pool  distance  groups of a batch")
    for mix, (distance, groups) in shuffles.items():
        print(f"{mix:>18}  {distance:>8.3f}  {groups:>17.1f}")
    common.write(given.out, figures=figures, shuffles=shuffles)


def link(files: Sequence[Path], folder: Path, times: int) -> None:
    """Gives each file so many names in a folder."""
    folder.mkdir()
    for i in range(times):
        for file in files:
            os.link(file, folder / f"{i}-{file.name}")


def shuffle(mix: int) -> tuple[float, float]:
    """Mean distance of neighbours, 1 in a random order of all, and row groups of a batch."""
    size = GROUPS * GROUP
    order = np.array(list(ChunkShuffle(size, 0, GROUP, mix)))
    distance = np.abs(np.diff(order)).mean() / (size / 3)
    batches = order[: size // 64 * 64].reshape(-1, 64) // GROUP
    groups = np.mean([len(np.unique(batch)) for batch in batches[::10]])
    return float(distance), float(groups)


if __name__ == "__main__":
    main()
