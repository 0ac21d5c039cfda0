"""Our accuracies on the archives against published ones, as a table and two figures.

Run as `python -m tests.benchmarks.published --anchors <folder>` after `tests.benchmarks.archive`.
The folder holds `ucr_accuracy.csv` with columns `dataset`, `system` and `accuracy`; systems that
were chosen on a test split, or resampled it, are left out, as are those without all sets that are
measured here. Ours are means over seeds. Writes a critical-difference diagram (Demšar 2006; cliques
by Wilcoxon's signed-rank test with Holm's correction) and a scatter against the best of the others.
"""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from aeon.visualisation import plot_critical_difference
from matplotlib import pyplot as plt

from tests.benchmarks import common

RESULTS = Path(__file__).with_name("results")
FIGURES = Path(__file__).parents[2] / ".github" / "docs"
OURS = {
    "accuracy": "seqfuse",
    "net_alone": "seqfuse, net alone",
    "bank_alone": "seqfuse, bank alone",
}
LEFT_OUT = "resamples|test-selected|Encoder|MLP"


def table(results: Path, anchors: Path) -> pd.DataFrame:
    """Accuracies: a row for each set that is measured here, a column for each system."""
    ours = pd.read_csv(results).groupby("set")[list(OURS)].mean().rename(columns=OURS)
    rows = pd.read_csv(anchors)
    rows = rows[~rows["system"].str.contains(LEFT_OUT)]
    others = rows.pivot_table(index="dataset", columns="system", values="accuracy")
    return ours.join(others.reindex(ours.index).dropna(axis=1))


def scatter(ours: pd.Series, best: pd.Series) -> None:
    """A point for each set, above the diagonal where ours is better."""
    _, axes = plt.subplots(figsize=(5, 5))
    axes.axline((0, 0), slope=1, color="grey", linewidth=1)
    axes.scatter(best, ours, s=18)
    lowest = min(ours.min(), best.min()) - 0.02
    won, even = (ours > best).sum(), (ours == best).sum()
    axes.set(
        xlabel=f"accuracy of {best.name}",
        ylabel=f"accuracy of {ours.name}",
        title=f"{won} sets better, {even} as good, {len(ours) - won - even} worse",
        xlim=(lowest, 1.01),
        ylim=(lowest, 1.01),
        aspect="equal",
    )


def main() -> None:
    """Prints means and mean ranks, and writes the figures."""
    parser = common.parser("published", __doc__)
    parser.add_argument("--anchors", type=Path, required=True, help="folder of ucr_accuracy.csv")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of ucr.csv")
    parser.add_argument("--out", type=Path, default=FIGURES, help="folder of the figures")
    given = parser.parse_args()
    mpl.use("svg")
    accuracies = table(given.results / "ucr.csv", given.anchors / "ucr_accuracy.csv")
    ranks = accuracies.rank(axis=1, ascending=False).mean()
    both = pd.DataFrame({"accuracy": accuracies.mean(), "rank": ranks}).sort_values("rank")
    print(f"{len(accuracies)} sets\n{both.round(3).to_string()}")
    given.out.mkdir(parents=True, exist_ok=True)
    plot_critical_difference(accuracies.to_numpy(), list(accuracies), alpha=0.05)
    plt.savefig(given.out / "ucr_ranks.svg", bbox_inches="tight")
    best = next(name for name in both.index if not name.startswith("seqfuse"))
    scatter(accuracies["seqfuse"], accuracies[best])
    plt.savefig(given.out / "ucr_scatter.svg", bbox_inches="tight")


if __name__ == "__main__":
    main()
