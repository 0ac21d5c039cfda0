"""Peak resident memory (MiB) of a fresh process: of two imports and of a whole run.

The run is `seqfuse-train` on 10,000 synthetic series for one epoch at batches of 32, with
validation, test, checkpoints and figures.

    python -m tests.benchmarks.memory [--repeats 3] [--threads 1] [--out file.json]

Each process asks the system for its own peak when it ends, so nothing is missed between two
looks and processes it starts (git) are not added.
"""

import sys
import tempfile

from tests.benchmarks import common

# ru_maxrss is in KiB on Linux and in bytes on macOS. Linux lets a new process begin with what
# the one that started it had, so nothing large may be imported here.
PEAK = """
import resource, sys
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("peak", peak / 2 ** (20 if sys.platform == "darwin" else 10))
"""
RUN = (
    "data=synthetic",
    "model=base",
    "data.num_samples=10000",
    "data.batch_size=32",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
)
PROGRAMS = {
    "import torch": "import torch",
    "import lightning.pytorch": "import lightning.pytorch",
    "seqfuse-train": "from seqfuse.train import main; main()",
}


def main() -> None:
    given = common.arguments("memory", __doc__, repeats=3, threads=None)
    run = [*RUN, f"trainer.num_threads={given.threads or 'null'}"]
    mebibytes: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(given.repeats):
        for name, program in PROGRAMS.items():
            mebibytes[name].append(measure(program, run))
    common.table(mebibytes, "MiB")
    common.write(given.out, mebibytes=mebibytes, medians=common.medians(mebibytes))


def measure(program: str, words: list[str]) -> float:
    """The most memory that a process was resident in; the imports ignore the words."""
    command = (sys.executable, "-c", f"{program}\n{PEAK}", *words)
    with tempfile.TemporaryDirectory() as folder:
        return float(common.call(command, folder).rpartition("peak ")[2])


if __name__ == "__main__":
    main()
