"""The recipe for forecasts on electricity transformers: ETTh1, ETTh2 and ETTm1, four horizons each.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.forecasts [set ...] --seeds 3`; words of
`seqfuse-train` for all runs come behind `--words`. One process trains them one after the other by
the command's own function, on one thread, and writes a row for each set, horizon and seed as soon
as it has it; rows that are there are not made again.
Errors are those of standardised values over every window of the test part, none left out; the
validation's are those of the weights that were tested. Net and bank learn without each other, so
one run says what each has alone, too. Seconds are those of the processor, from
composing to testing, without the start of Python. Nothing is chosen on a test split, and no set
and no horizon has words of its own.
`--parts` measures the net without its bank, with each of the linear parts that it may have.
"""

import contextlib
import io
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seqfuse.config import checkpoint
from seqfuse.train import train
from tests.benchmarks import common
from tests.composing import composed

SETS = ("ETTh1", "ETTh2", "ETTm1")
HORIZONS = (96, 192, 336, 720)
RUN = (
    *("data=ett", "trainer.accelerator=cpu", "trainer.num_threads=1"),
    *("trainer.enable_progress_bar=false", "logger=none", "callbacks.figures=null"),
)
HOUR = "data.known=[hour]"
PARTS = {
    "none": ("model/autoregression=none",),
    "linear": (),
    "low_rank": ("model/autoregression=low_rank",),
    "decomposed": ("model/autoregression=decomposed",),
    "linear, hour known": (HOUR,),
    "cycle, hour known": (HOUR, "model/autoregression=cycle"),
}
"""Words of a linear part; what a cycle is to be held against knows the hour, too."""
METRICS = (
    *("val/loss", "val/mse", "val/net_alone", "val/bank_alone"),
    *("test/mse", "test/net_alone", "test/bank_alone", "test/mae", "test/mase", "test/crps"),
    *("test/coverage_80", "test/coverage_95"),
)


def measure(words: Sequence[str], **run: common.Cell) -> common.Row:
    """Metrics of a set, a horizon and a seed, and what they cost."""
    start = time.process_time()
    place = (f"data.name={run['set']}", f"data.horizon={run['horizon']}", f"seed={run['seed']}")
    with tempfile.TemporaryDirectory() as temporary, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(temporary, "run")
        metrics = train(composed([*RUN, *place, *words]), folder)
        # Of the best weights: the metrics themselves are those of the last validation.
        metrics |= checkpoint.read(folder / "checkpoints" / "best.ckpt")["logged"]
    seconds = round(time.process_time() - start, 1)
    values = {name: round(float(metrics.get(name, math.nan)), 5) for name in METRICS}
    return {**values, "seconds": seconds}


def of_parts(path: Path) -> str:
    """Mean errors by validation and by test, of each part on each set and horizon."""
    if not path.is_file():
        return f"{path.name}: nothing"
    rows = pd.read_csv(path)
    shown = rows.pivot_table(["val/mse", "test/mse"], "part", ["set", "horizon"], sort=False)
    return f"{path.name}\n{shown.round(4).to_string()}"


def summary(path: Path) -> str:
    """Mean and spread over seeds of each set and horizon."""
    if not path.is_file():
        return f"{path.name}: nothing"
    cells = pd.read_csv(path).groupby(["set", "horizon"])
    parts = ["test/mse", "test/net_alone", "test/bank_alone", "test/mae", "test/mase"]
    shown = [*parts, "test/coverage_80", "test/coverage_95", "seconds"]
    table = cells[shown].mean().round(3)
    table.insert(1, "std", cells["test/mse"].std().round(4))
    table.insert(0, "seeds", cells["seed"].count())
    return f"{path.name}\n{table.to_string()}"


def main() -> None:
    """Measures what is not there yet, seed by seed."""
    parser = common.parser("forecasts", __doc__)
    parser.add_argument("sets", nargs="*", help="names; without any, all")
    parser.add_argument("--horizons", type=int, nargs="*", default=HORIZONS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=common.RESULTS, help="folder of ett.csv")
    parser.add_argument("--words", nargs="*", default=[], help="of seqfuse-train, for all runs")
    parser.add_argument("--parts", action="store_true", help="linear parts, into ett_parts.csv")
    given = parser.parse_args()
    if given.words and given.out == common.RESULTS:
        parser.error("--words is another recipe: name another folder by --out")
    if unknown := sorted({*given.sets} - {*SETS}):
        parser.error(f"{', '.join(unknown)}: none of {', '.join(SETS)}")
    runs = [
        {"set": name, "horizon": horizon, "seed": seed}
        for seed in range(given.seeds)
        for name in given.sets or SETS
        for horizon in given.horizons
    ]
    if given.parts:
        path, alone = given.out / "ett_parts.csv", ("model/bank=none", *given.words)
        runs = [{"part": part, **run} for run in runs for part in PARTS]
        common.complete(path, runs, lambda part, **run: measure([*alone, *PARTS[str(part)]], **run))
        print(of_parts(path), flush=True)
        return
    path = given.out / "ett.csv"
    common.complete(path, runs, lambda **run: measure(given.words, **run))
    print(summary(path), flush=True)


if __name__ == "__main__":
    main()
