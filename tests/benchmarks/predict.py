"""Seconds of `seqfuse-predict`, and seconds until its first rows are on the disk.

A net trained for one step classifies made series of 12 steps of 2 channels: 30,000 and 1,000,000
of one .npy, and `--files` of one series each. The clock of the first rows starts with the hidden
output file, which is there when the checkpoint has been read and the first batch is next.

    python -m tests.benchmarks.predict [--rows 1000000] [--files 20000] [--out file.json]
"""

import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.benchmarks import common

PREDICT = common.TRAIN.replace("seqfuse-train", "seqfuse-predict")
RUN = (
    "data=arrays",
    "data.train=train.npz",
    "data.batch_size=8",
    "test=false",
    "model=base",
    "trainer.accelerator=cpu",
    "trainer.num_threads=1",
    "trainer.max_steps=1",
    "callbacks.figures=null",
    "logger=none",
    "hydra.run.dir=run",
)
CKPT = "ckpt=run/checkpoints/last.ckpt"
SHAPE = (12, 2)


def main() -> None:
    given = common.arguments("predict", __doc__, rows=1_000_000, files=20_000)
    draw = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = draw.normal(size=(64, *SHAPE)).astype(np.float32)
        np.savez(folder / "train.npz", x=x, y=np.arange(64) % 2)
        common.call((common.TRAIN, *RUN), folder)
        for rows in sorted({30_000, given.rows}):
            np.save(folder / f"{rows}.npy", draw.normal(size=(rows, *SHAPE)).astype(np.float32))
            measure(folder, f"{rows}.npy", f"{rows:,} series", seconds)
        (folder / "files").mkdir()
        for i in range(given.files):
            np.save(folder / "files" / f"{i:06}.npy", x[i % 64 :][:1])
        measure(folder, "files", f"{given.files:,} files", seconds)
    common.table(seconds, "seconds")
    common.write(given.out, seconds=seconds)


def measure(folder: Path, given: str, name: str, seconds: dict[str, list[float]]) -> None:
    """Predicts a file or a folder, and watches the output grow."""
    words = (PREDICT, CKPT, f"input={given}", "output=out.csv", "overwrite=true", "trainer=cpu")
    began = time.perf_counter()
    opened = first = float("nan")
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.02)
            sizes = [path.stat().st_size for path in folder.glob(".out.csv.*.part")]
            now = time.perf_counter()
            if sizes and not opened < now:
                opened = now
            if sizes and sizes[0] and not first < now:
                first = now
    if process.returncode:
        raise SystemExit(f"{given}: exit code {process.returncode}")
    seconds[name] = [time.perf_counter() - began]
    seconds[f"{name}, first rows"] = [first - opened]
    print(f"{name}: {seconds[name][0]:.1f} s, first rows after {first - opened:.2f} s", flush=True)


if __name__ == "__main__":
    main()
