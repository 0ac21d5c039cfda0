"""The default on sets of the UCR and UEA archives.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.archive [set ...] --seeds 3`; words of
`seqfuse-train` for all sets come behind `--words`. Without names: every set of `ucr/` and `uea/`.
One process trains them one after the other by the command's own function, on one thread, and
writes a row for each set and seed as soon as it has it; rows that are there are not made again.
Net and bank learn without each other, so one run says what each has alone, too. The loss is the
cross-entropy against smoothed labels, as in training.
Seconds are those of the processor, from composing to testing, without the start of Python: of
all, and those of the bank in them. Nothing
is chosen on a test split, and no set has words of its own.
"""

import argparse
import contextlib
import io
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd

from seqfuse.nn.bank.bank import Bank
from seqfuse.train import train
from tests.benchmarks import common
from tests.composing import composed

QUIET = (
    *("trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.enable_progress_bar=false"),
    *("logger=none", "callbacks=none"),
)
METRICS = ("accuracy", "net_alone", "bank_alone", "balanced_accuracy", "log_loss")
COLUMNS = (*METRICS, "seconds", "bank_seconds")


class Stopwatch:
    """Processor seconds inside of the bank."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.process_time()
            result = function(*args)
            self.seconds += time.process_time() - start
            return result

        return timed


def folders(root: Path) -> dict[str, Path]:
    """The folder of the archive that each set lies in, by the set's name."""
    return {path.name: path.parent for path in sorted(root.glob("u[ce][ra]/*")) if path.is_dir()}


def measure(root: Path, words: Sequence[str], **run: common.Cell) -> common.Row:
    """Test metrics of a set and a seed, and what they cost."""
    watch, start = Stopwatch(), time.process_time()
    place = (f"data.root={root}", f"data.name={run['set']}", f"seed={run['seed']}")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        mock.patch.object(Bank, "fit", watch.around(Bank.fit)),
        mock.patch.object(Bank, "forward", watch.around(Bank.forward)),
    ):
        metrics = train(composed([*QUIET, *place, *words]), Path(folder, "run"))
    seconds = (time.process_time() - start, watch.seconds)
    values = (metrics.get(f"test/{metric}", math.nan) for metric in METRICS)
    row = (*(round(v, 5) for v in values), *(round(s, 1) for s in seconds))
    return dict(zip(COLUMNS, row, strict=True))


def summary(path: Path) -> str:
    """Mean accuracies over sets, their spread over seeds, and medians of the seconds."""
    if not path.is_file():
        return f"{path.name}: nothing"
    table = pd.read_csv(path)
    seeds = table.groupby("seed")[list(METRICS)].mean()
    lines = [f"{path.name}: {table['set'].nunique()} sets, {len(seeds)} seeds"]
    for metric in METRICS:
        spread = f" ± {seeds[metric].std():.4f}" if len(seeds) > 1 else ""
        lines.append(f"  {metric:<18} {seeds[metric].mean():.4f}{spread}")
    bank, both = table["bank_seconds"], table["seconds"]
    lines.append(f"  seconds            net {(both - bank).median():.1f}, bank {bank.median():.1f}")
    sets = table.groupby("set")[["accuracy", "net_alone", "bank_alone"]].mean()
    behind = sets[["net_alone", "bank_alone"]].max(axis=1) - sets["accuracy"]
    far = behind[behind > 0.03].sort_values(ascending=False)
    named = ", ".join(f"{name} ({gap:.3f})" for name, gap in far.items()) or "no set"
    return "\n".join([*lines, f"  more than 0.03 below the better of the two: {named}"])


def main() -> None:
    """Measures what is not there yet, archive by archive, seed by seed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.archive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sets", nargs="*", help="names; without any, all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--out", type=Path, default=common.RESULTS, help="folder of ucr.csv and uea.csv"
    )
    parser.add_argument("--words", nargs="*", default=[], help="of seqfuse-train, for all sets")
    given = parser.parse_args()
    if given.words and given.out == common.RESULTS:
        parser.error("--words is another model: name another folder by --out")
    places = folders(Path(composed([]).paths.data))
    if unknown := sorted({*given.sets} - {*places}):
        parser.error(f"{', '.join(unknown)}: no such set in {composed([]).paths.data}")
    for archive in ("ucr", "uea"):
        names = [
            name
            for name, place in places.items()
            if place.name == archive and (not given.sets or name in given.sets)
        ]
        path = given.out / f"{archive}.csv"
        runs = [{"set": name, "seed": seed} for seed in range(given.seeds) for name in names]
        common.complete(path, runs, lambda **run: measure(places[run["set"]], given.words, **run))
        print(summary(path), flush=True)


if __name__ == "__main__":
    main()
