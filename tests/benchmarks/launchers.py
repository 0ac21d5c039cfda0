"""How much faster two workers finish eight jobs than one (ratio of the times, medians).

Each job trains for at least 15 s on one thread. The two launches follow each other in turn,
so that other work on the machine meets both.

    python -m tests.benchmarks.launchers [--repeats 1] [--epochs 40] [--out file.json]
"""

import json
import tempfile
import time
from pathlib import Path

from tests.benchmarks import common

WORDS = ("-m", "data=synthetic", "model=base", "data.num_samples=2000", "data.batch_size=32")
WORDS += ("trainer=cpu", "trainer.num_threads=1", "callbacks.figures=null", "launcher=joblib")
WORDS += ("trainer.enable_progress_bar=false", "callbacks.early_stopping=null")
WORDS += ("seed=0,1,2,3,4,5,6,7",)


def main() -> None:
    given = common.arguments("launchers", __doc__, repeats=1, epochs=40)
    words = [*WORDS, f"trainer.max_epochs={given.epochs}"]
    seconds: dict[str, list[float]] = {"one worker": [], "two workers": []}
    shortest = []
    for _ in range(given.repeats):
        for count, name in enumerate(seconds, start=1):
            whole, jobs = measure([*words, f"hydra.launcher.n_jobs={count}"])
            seconds[name].append(whole)
            shortest.append(min(jobs))
    common.table(seconds, "seconds")
    one, two = common.medians(seconds).values()
    print(f"two workers are {one / two:.2f} times as fast (shortest job {min(shortest):.1f} s)")
    common.write(given.out, seconds=seconds, ratio=one / two, shortest_job=min(shortest))


def measure(words: list[str]) -> tuple[float, list[float]]:
    """Seconds of the whole sweep, start included, and of each job's training."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        common.call([common.TRAIN, *words], folder)
        whole = time.perf_counter() - start
        found = Path(folder).glob("logs/sweeps/*/*/metrics.json")
        return whole, [json.loads(path.read_text())["fit_seconds"] for path in found]


if __name__ == "__main__":
    main()
