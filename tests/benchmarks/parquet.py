"""Loading windows from a folder of Parquet: memory, speed beside a mapped .npy, and the shuffle.

Batches of `data=mapped` without a net, in a fresh process each: peak resident memory (MiB) over
a folder of so many megabytes (as read, single precision) and over four times as many, and windows
per second beside a .npy of the same size, by turns. Files of 32 row groups of 250,000 rows of 8
columns; 8,000 batches of 256 windows of 96 + 24 steps, as many as a pool has.

Then how far windows are apart that follow each other in an epoch, as a part of what they would be
in a random order of all, and from how many row groups a batch of 64 windows is, by the row groups
that fit into the pool (`data.pool`).

    python -m tests.benchmarks.parquet [--megabytes 2000] [--repeats 3] [--batches 8000]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from seqfuse.data.loader import ChunkShuffle
from tests.benchmarks import common
from tests.benchmarks.memory import PEAK

GROUPS, GROUP = 128, 5_000
"""Row groups of a shuffle, and windows in each."""
MIXES = (1, 2, 4, 8, 16, 32)
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
data.setup("fit")
begun = time.perf_counter()
windows = sum(len(batch.index) for batch in islice(data.train_dataloader(), int(sys.argv[2])))
print("speed", windows / (time.perf_counter() - begun))
"""


def main() -> None:
    given = common.arguments("parquet", __doc__, megabytes=2_000, repeats=3, batches=8_000)
    sizes = {
        f"{times * given.megabytes} MB{ending}": times * given.megabytes
        for times in (1, 4)
        for ending in (".npy", "")
    }
    mebibytes: dict[str, list[float]] = {name: [] for name in sizes}
    speeds: dict[str, list[float]] = {name: [] for name in sizes}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in sizes.items():
            command = [sys.executable, "-c", MAKE, Path(folder, name), str(size // 8)]
            subprocess.run(command, check=True)
        for _ in range(given.repeats):
            for name in sizes:
                path = Path(folder, name)
                program = (sys.executable, "-c", f"{LOAD}\n{PEAK}", str(path), str(given.batches))
                words = common.call(program, folder).split()
                speeds[name].append(float(words[1]))
                mebibytes[name].append(float(words[3]))
                print(name, *words, flush=True)
    common.table(mebibytes, "MiB")
    common.table(speeds, "windows/s")
    shuffles = {mix: shuffle(mix) for mix in MIXES}
    print("groups in the pool  distance  groups of a batch")
    for mix, (distance, groups) in shuffles.items():
        print(f"{mix:>18}  {distance:>8.3f}  {groups:>17.1f}")
    common.write(given.out, mebibytes=mebibytes, speeds=speeds, shuffles=shuffles)


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
