"""Peak resident memory (MiB) of training on a file larger than the memory, and on a small one.

The same 200 steps of `seqfuse-train data=mapped` on a sparse .npy of 20 GB and on one of 200 MB,
and on Parquet of 2 GB (as read) and of 200 MB, in row groups of 250,000 rows of 8 columns.

    python -m tests.benchmarks.mapped [--repeats 3] [--threads 1] [--out file.json]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import common
from tests.benchmarks.memory import PEAK, PROGRAMS

RUN = (
    "data=mapped",
    "test=false",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=200",
    "trainer.limit_val_batches=10",
)
FILES = {"20 GB.npy": 20_000, "0.2 GB.npy": 200, "2 GB.parquet": 2_000, "0.2 GB.parquet": 200}
# In processes of their own, which leave no peak behind: see `tests.benchmarks.memory`.
SPARSE = """
import sys, numpy as np
np.lib.format.open_memmap(sys.argv[1], "w+", "float32", (int(sys.argv[2]) * 31_250, 8))
"""
GROUPS = """
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq
steps = np.arange(250_000)
wave = np.sin(steps[:, None] / np.arange(3, 11)).astype("float32").round(2)
table = pa.table({f"c{i}": wave[:, i] for i in range(8)})
with pq.ParquetWriter(sys.argv[1], table.schema) as writer:
    for _ in range(int(sys.argv[2]) // 8):
        writer.write_table(table)
"""


def main() -> None:
    given = common.arguments("mapped", __doc__, repeats=3, threads=1)
    mebibytes: dict[str, list[float]] = {name: [] for name in FILES}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in FILES.items():
            program = SPARSE if name.endswith(".npy") else GROUPS
            path = Path(folder, name)
            subprocess.run([sys.executable, "-c", program, path, str(size)], check=True)
        for _ in range(given.repeats):
            for name in FILES:
                mebibytes[name].append(measure(Path(folder, name), given.threads))
    common.table(mebibytes, "MiB")
    common.write(given.out, mebibytes=mebibytes, medians=common.medians(mebibytes))


def measure(path: Path, threads: int) -> float:
    """The most memory that training was resident in."""
    program = f"{PROGRAMS['seqfuse-train']}\n{PEAK}"
    words = [*RUN, f"data.file='{path}'", f"trainer.num_threads={threads}"]
    with tempfile.TemporaryDirectory() as folder:
        said = common.call((sys.executable, "-c", program, *words), folder)
    return float(said.rpartition("peak ")[2])


if __name__ == "__main__":
    main()
