"""What a sweep costs beside training (seconds a job), and whether its memory stays flat (MiB).

One process runs many tiny jobs that differ in their seed, with figures off. A job lasts from
the start of its training function to the start of the next one's; `overhead` is that without
`fit` and `test`, and `sweep` that without the training function: composing, and keeping how
it ended.

    python -m tests.benchmarks.sweep [--jobs 50] [--out file.json]
"""

import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks import common

ROOT = Path(__file__).parents[2]
WORDS = ("-m", "data=synthetic", "model=base", "data.num_samples=80", "data.num_steps=12")
WORDS += ("data.batch_size=16", "trainer=cpu", "trainer.max_epochs=2", "trainer.num_threads=1")
WORDS += ("trainer.enable_progress_bar=false", "callbacks.figures=null")
WARM = 5
"""Jobs at the start that fill caches."""
CHILD = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.benchmarks import sweep as s"


def main() -> None:
    given = common.arguments("sweep", __doc__, jobs=50)
    found = measure(given.jobs)
    common.table({name: values[WARM:] for name, values in found["seconds"].items()}, "seconds")
    first, last = found["memory_mib"][WARM - 1], found["memory_mib"][-1]
    print(f"memory     {first:.0f} MiB after {WARM} jobs, {last:.0f} after {given.jobs}")
    common.write(given.out, **found)


def measure(jobs: int) -> dict[str, Any]:
    """Runs so many jobs in a fresh process: `seconds` by name and `memory_mib`, a value a job."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-c", f"{CHILD}; s.child()", str(jobs), *WORDS]
        return json.loads(common.call(command, folder).splitlines()[-1])


def child() -> None:
    """Sweeps, and prints as JSON what each job took."""
    import psutil
    from lightning.pytorch import Trainer

    from seqfuse.config import cli
    from seqfuse.train import train

    jobs = int(sys.argv.pop(1))
    starts: list[float] = []
    memory: list[float] = []
    spent: dict[str, list[float]] = {"train": [], "fit": [], "test": []}
    for name in ("fit", "test"):
        setattr(Trainer, name, timed(getattr(Trainer, name), spent[name]))
    timed_train = timed(train, spent["train"])

    def job(recipe: Any, run: Path) -> dict[str, float]:
        starts.append(time.perf_counter())
        metrics = timed_train(recipe, run)
        memory.append(psutil.Process().memory_info().rss / 2**20)
        return metrics

    sys.argv[1:] = [*sys.argv[1:], f"seed=range({jobs + 1})"]
    cli.run(job, "train", "", lambda: None)
    whole = [later - earlier for earlier, later in pairwise(starts)]
    rows = list(zip(whole, spent["train"], spent["fit"], spent["test"], strict=False))
    seconds = {
        "job": whole,
        "overhead": [job - fit - test for job, _, fit, test in rows],
        "sweep": [job - train for job, train, _, _ in rows],
    }
    print(json.dumps({"seconds": seconds, "memory_mib": memory[:jobs]}))


def timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The function, which also notes how long it took."""

    def call(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - start)

    return call


if __name__ == "__main__":
    main()
