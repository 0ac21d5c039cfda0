"""The default on sets of the UCR and UEA archives.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.archive [set ...] --seeds 3`; words of
`seqfuse-train` for all sets come behind `--words`. Without names: every set of `ucr/` and `uea/`.
One process trains them one after the other by the command's own function, on one thread, and
writes a row for each set and seed as soon as it has it; rows that are there are not made again.
The loss is the cross-entropy against smoothed labels, as in training.
Seconds are those of the processor, from composing to testing, without the start of Python. Nothing
is chosen on a test split, and no set has words of its own.
"""

import argparse
import contextlib
import csv
import io
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from seqfuse.train import train
from tests.conftest import composed

QUIET = (
    *("trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.enable_progress_bar=false"),
    *("logger=none", "callbacks=none"),
)
COLUMNS = ("set", "seed", "accuracy", "balanced_accuracy", "loss", "seconds")
RESULTS = Path(__file__).with_name("results")


def measure(root: Path, name: str, seed: int, words: Sequence[str]) -> dict[str, float | str]:
    """A row: test metrics of a set and a seed, and what they cost."""
    start = time.process_time()
    place = (f"data.root={root}", f"data.name={name}", f"seed={seed}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        metrics = train(composed([*QUIET, *place, *words]), Path(folder, "run"))
    values = (metrics[f"test/{key}"] for key in ("accuracy", "balanced_accuracy", "loss"))
    seconds = round(time.process_time() - start, 1)
    row = (name, seed, *(round(value, 5) for value in values), seconds)
    return dict(zip(COLUMNS, row, strict=True))


def rows(path: Path) -> list[dict[str, str]]:
    """What is measured already."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add(path: Path, row: dict[str, float | str]) -> None:
    """Adds a row, with the header where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            table.writeheader()
        table.writerow(row)


def summary(path: Path) -> str:
    """Mean accuracy over sets, its spread over seeds, and the median of the seconds."""
    found = rows(path)
    if not found:
        return f"{path.name}: nothing"
    seeds = sorted({row["seed"] for row in found})
    means = [statistics.mean(float(r["accuracy"]) for r in found if r["seed"] == s) for s in seeds]
    seconds = statistics.median(float(row["seconds"]) for row in found)
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    sets = len({row["set"] for row in found})
    return (
        f"{path.name}: {sets} sets, {len(seeds)} seeds: accuracy {statistics.mean(means):.4f} "
        f"± {spread:.4f}, {seconds:.1f} s at the median"
    )


def main() -> None:
    """Measures what is not there yet, archive by archive, seed by seed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.archive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sets", nargs="*", help="names; without any, all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of ucr.csv and uea.csv")
    parser.add_argument("--words", nargs="*", default=[], help="of seqfuse-train, for all sets")
    given = parser.parse_args()
    if given.words and given.out == RESULTS:
        parser.error("--words is another model: name another folder by --out")
    root = Path(composed([]).paths.data)
    known = {path.name for path in root.glob("u[ce][ra]/*")}
    if unknown := sorted({*given.sets} - known):
        parser.error(f"{', '.join(unknown)}: no such set in {root}")
    for archive in ("ucr", "uea"):
        path = given.out / f"{archive}.csv"
        names = sorted(p.name for p in (root / archive).iterdir() if p.is_dir())
        for seed in range(given.seeds):
            there = {row["set"] for row in rows(path) if row["seed"] == str(seed)}
            for name in names:
                if name in there or (given.sets and name not in given.sets):
                    continue
                row = measure(root / archive, name, seed, given.words)
                add(path, row)
                print(row, flush=True)
        print(summary(path), flush=True)


if __name__ == "__main__":
    main()
