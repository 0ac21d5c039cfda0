"""Which explanation is to be believed: deletion and insertion tests on real sets.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.explanations [set ...] --seeds 3`. Each set
is trained as its words say, and a hundred items all over its test split are explained by each
method and by five random orders (Petsiuk et al. 2018; `runtime.explanations.deletion`). The area
under a curve is the mean probability of the predicted class while its steps are put at the
baseline, the most important first (deletion: the lower, the better), or put back (insertion: the
higher, the better). Rows that are there are not made again. Nothing is chosen on a test split.
"""

import contextlib
import io
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.runtime.explanations import deletion
from seqfuse.runtime.explanations.cases import Wanted
from seqfuse.runtime.explanations.methods import METHODS
from tests.benchmarks import common

SETS = {
    "JapaneseVowels": ("experiment=japanese_vowels",),
    "GunPoint": ("data.name=GunPoint", "model=wide", "task=classification"),
    "GunPoint, with its bank": ("data.name=GunPoint",),
    "Snips": ("experiment=snips_intent",),
    "har_windows": (
        *("data=har_windows", "data.batch_size=128", "trainer.max_epochs=6"),
        *("scheduler=onecycle", "optimizer.lr=3e-3"),
    ),
}
ITEMS, ORDERS = 100, 5
"""Items of a set, and random orders of each."""
TESTS = {"deletion": False, "insertion": True}
ORDER = ("random", *METHODS)
COLUMNS = [f"{test}_{name}" for test in TESTS for name in ORDER]


def measure(set: str, seed: int) -> common.Row:
    """Mean areas over the items, by test and order."""
    with contextlib.redirect_stdout(io.StringIO()):
        job, splits, metrics = common.trained(*SETS[set], f"seed={seed}")
    items, rows = splits.rows("test")
    places = np.linspace(0, len(rows) - 1, min(ITEMS, len(rows))).round().astype(int)
    areas: dict[str, list[float]] = {name: [] for name in COLUMNS}
    generator = np.random.default_rng(0)
    for case in job.cases_known(Wanted(), items, np.asarray(rows)[places]):
        orders = {"random": [deletion.at_random(case, generator) for _ in range(ORDERS)]}
        for name, explain in METHODS.items():
            orders[name] = [deletion.importance(case, explain(job.engine, case, None))]
        for (test, inserts), (name, each) in product(TESTS.items(), orders.items()):
            found = [deletion.area(job.engine, case, one, inserts=inserts) for one in each]
            areas[f"{test}_{name}"] += np.mean(found, axis=0).tolist()
    means = {name: round(float(np.mean(values)), 5) for name, values in areas.items()}
    return {"accuracy": round(metrics["test/accuracy"], 5), "items": len(places), **means}


def summary(path: Path) -> str:
    """Means over seeds with their standard deviations, a table for each test."""
    sets = pd.read_csv(path).groupby("set", sort=False)
    lines = []
    for test in TESTS:
        lines += ["", f"| {test} | {' | '.join(ORDER)} |", "|---|" + "---|" * len(ORDER)]
        for name, part in sets:
            each = [part[f"{test}_{order}"] for order in ORDER]
            cells = [f"{values.mean():.3f} ± {values.std(ddof=0):.3f}" for values in each]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures what is not there yet."""
    parser = common.parser("explanations", __doc__)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=", ".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "explanations.csv")
    given = parser.parse_args()
    if unknown := sorted({*given.sets} - {*SETS}):
        parser.error(f"{', '.join(unknown)}: known are {', '.join(SETS)}")
    pairs = product(range(given.seeds), given.sets)
    runs: list[common.Row] = [{"set": name, "seed": seed} for seed, name in pairs]
    common.complete(given.out, runs, measure)
    print(summary(given.out), flush=True)


if __name__ == "__main__":
    main()
