"""Settings of the net or of training, compared over sets of the UCR and UEA archives.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.compare "" "model/lstm=none" --sets Beef
Coffee --seeds 3`: each argument is a list of words of `seqfuse-train` in quotes, an empty one the
default; the others are held against the first. Words that all share come behind `--words`. Runs
are those of `tests.benchmarks.archive`: each adds a row of words, set and seed to a file, and rows
that are there are not made again.
Each set counts once, by its mean over seeds: seeds of a set are no further sets. Wilcoxon's
signed-rank test says whether the difference is more than noise, with Holm's correction for the
number of settings (Demšar 2006); the interval of the mean difference is by bootstrap over sets.
With several seeds, Student's t of the pairs of each set, corrected for the number of sets, says on
which of them the difference is more than seeds make. Nothing is chosen on a test split.
Summaries of sweeps (`seqfuse-train -m data.name=... seed=... model/lstm=...`) make the same tests.
"""

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from seqfuse.config.mistakes import explain
from seqfuse.runtime.shown import markdown_table
from seqfuse.search import noise
from tests.benchmarks import archive, common
from tests.composing import composed

LOSSES = ("log_loss", "seconds", "bank_seconds")
"""Columns of which less is better."""


def quickest(number: int) -> list[str]:
    """The sets with the least seconds on record."""
    tables = [pd.read_csv(common.RESULTS / f"{name}.csv") for name in ("ucr", "uea")]
    seconds = pd.concat(tables).groupby("set")["seconds"].mean()
    return sorted(seconds.sort_values(kind="stable").index[:number])


def report(table: pd.DataFrame, settings: Mapping[str, str], metric: str) -> str:
    """Verdicts on settings and their means on each set, in Markdown.

    Args:
        table: a row for each run: words, set, seed and metrics.
        settings: words by the name of the setting; the first is the reference.
        metric: a column of the table.
    """
    mode = "min" if metric in LOSSES else "max"
    by_setting = table.set_index(["set", "seed"]).groupby("words")[metric]
    values = [by_setting.get_group(words) for words in settings.values()]
    names = [*settings]
    parts = [noise.verdict_over_sets(metric, names, values, mode)]
    means = pd.concat([each.groupby("set").mean() for each in values], axis=1, keys=names)
    means = means.dropna()
    means.loc["mean"] = means.mean()
    lines = [(str(name), *(f"{value:.4f}" for value in row)) for name, *row in means.itertuples()]
    parts.append(markdown_table(["set", *names], lines))
    for name, other in zip(names[1:], values[1:], strict=True):
        rows = noise.by_set(values[0], other)
        clear = [f"{row.setting} ({row.mean:+.4f})" for row in rows if not row.is_noise]
        if not all(math.isnan(row.p) for row in rows):
            listed = ", ".join(clear) or "none"
            parts.append(f"`{name}`: sets where it differs by more than seeds do: {listed}.")
    return "\n\n".join(parts)


def main() -> None:
    """Measures what is not there yet, seed by seed and set by set, and prints the answer."""
    parser = common.parser("compare", __doc__)
    parser.add_argument("settings", nargs="+", help="lists of words in quotes, the reference first")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--sets", nargs="+", help="names; without any, all")
    chosen.add_argument("--quickest", type=int, help="so many sets with the least time on record")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--words", default="", help="of seqfuse-train, for all runs, in quotes")
    parser.add_argument("--metric", choices=archive.COLUMNS, default="accuracy")
    parser.add_argument("--out", type=Path, default=Path("logs", "benchmarks", "compare.csv"))
    given = parser.parse_args()
    settings = {
        words or "default": shlex.join(shlex.split(f"{given.words} {words}"))
        for words in given.settings
    }
    if len({*settings.values()}) < max(2, len(given.settings)) or given.seeds < 1:
        parser.error("at least two settings that differ, and one seed, are compared")
    for words in settings.values():
        try:
            composed(shlex.split(words))
        except Exception as error:
            parser.error(f"{words}: {explain(error)}")
    root = Path(composed([]).paths.data)
    places = archive.folders(root)
    names = quickest(given.quickest) if given.quickest else given.sets or sorted(places)
    if unknown := sorted({*names} - {*places}):
        parser.error(f"{', '.join(unknown)}: no such set in {root}")
    runs = [
        {"words": words, "set": name, "seed": seed}
        for seed in range(given.seeds)
        for name in names
        for words in settings.values()
    ]

    def measure(words: str, **run: common.Cell) -> common.Row:
        return archive.measure(places[str(run["set"])], shlex.split(words), **run)

    common.complete(given.out, runs, measure)
    table = pd.read_csv(given.out).fillna({"words": ""})
    table = table[table["set"].isin(names) & (table["seed"] < given.seeds)]
    print(report(table, settings, given.metric), flush=True)


if __name__ == "__main__":
    main()
