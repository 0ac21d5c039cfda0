"""What pre-training without labels is worth where few labels are known.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.labels [set ...] --seeds 5`. Each seed
pre-trains on all training series, without their labels; then, at each share of the labels, the same
net is trained from scratch, from there, and from there with a frozen encoder: the same number of
steps, whatever comes out last, without validation. A share keeps at least one label of each class:
1 % of ECG5000 is 8 of 500, 1 % of FacesUCR 14 of 200. Frozen features of all training series also
go into an RBF SVM, its C chosen by cross-validation on them, as TS2Vec does (its numbers are those
of the table). Nothing is chosen on a test split. Writes two tables (.md): accuracies, and what is
gained over scratch and by the linear probe over the SVM, paired by seed; numbers (.json), a plot.
Any set of the UCR archive can be named; `--words model/head=normed_classes` is for all runs.

`--features` leaves the SVM alone: a row for each set and seed in `features.csv`, as soon as it is
made; where no set is named of every UCR set of the data folder, those first that were quick before.
`--anchors <folder>` holds them against published features (`ssl.csv`).
"""

import argparse
import contextlib
import functools
import io
import itertools
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from seqfuse.config import loading
from seqfuse.runtime.shown import markdown_table
from seqfuse.search.noise import LEVEL, against
from seqfuse.train import train
from tests.benchmarks import common
from tests.benchmarks.archive import folders, quickest
from tests.composing import composed

QUIET = (
    *("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1"),
    *("trainer.limit_val_batches=0", "task.monitor=train/loss", "scheduler=onecycle"),
    "logger=none",
)
UCR = (
    *("data=archive", "data.root={root}/ucr", "data.name={name}", "data.num_folds=0"),
    *("optimizer=adam", "data.augment.window_warp=null"),
)
SETS = ("har_windows", "ECG5000", "CricketX", "FacesUCR")
TS2VEC = {"ECG5000": 0.934, "CricketX": 0.805, "FacesUCR": 0.926}
"""Yue et al. 2022, an RBF SVM on frozen features, by Table 14 of TEST (Sun et al. 2024)."""
ROWS = ("scratch", "fine-tuned", "frozen")


def run(words: list[str], folder: Path) -> dict[str, float]:
    """Trains without a word."""
    with contextlib.redirect_stdout(io.StringIO()):
        return train(composed(words), folder)


def words(name: str, seed: int, given: argparse.Namespace) -> list[str]:
    """Of `seqfuse-train`, for all runs of a set and a seed."""
    root = composed([]).paths.data
    place = ("data=har_windows",) if name == "har_windows" else UCR
    same = [*(word.format(root=root, name=name) for word in place), "model=wide", *QUIET]
    return [*same, f"seed={seed}", "optimizer.lr=3e-3", *given.words]


def pretrained(same: list[str], given: argparse.Namespace, folder: Path) -> Path:
    """Checkpoint of a net that was trained without labels."""
    steps = f"trainer.max_steps={given.pretraining}"
    task = [f"task={given.task}", "data.batch_size=64", "test=false"]
    task = [*task, "callbacks.early_stopping=null"]
    # Better on rows of ECG5000 that a share had left out: 0.905 for 0.894 at 5 %.
    task += ["task.pairs.changes.permute=null"] * (given.task == "contrastive")
    run([*same, *task, "trainer.max_epochs=-1", steps], folder / "pretrained")
    return folder / "pretrained" / "checkpoints" / "last.ckpt"


def frozen(given: argparse.Namespace, **run: Any) -> common.Row:
    """Test accuracy of an SVM on features of a set and a seed, and what both trainings cost."""
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        same = words(run["set"], run["seed"], given)
        accuracy = svm(pretrained(same, given, Path(folder)))
    return {"accuracy": round(accuracy, 5), "seconds": round(time.process_time() - start, 1)}


def beside(path: Path, anchors: Path | None) -> str:
    """Mean accuracy of frozen features, and that of published ones on the same sets."""
    ours: Any = pd.read_csv(path).groupby("set")["accuracy"].mean()
    lines = [f"{path.name}: {len(ours)} sets, mean {ours.mean():.4f}"]
    if anchors is None:
        return lines[0]
    rows: Any = pd.read_csv(anchors / "ssl.csv")
    rows = rows[(rows["benchmark"] == "UCR") & (rows["metric"] == "accuracy")]
    for system in ("TS2Vec", "T-Loss", "TNC"):
        other = rows[rows["system"] == system].set_index("dataset")["value"]
        both = ours.index.intersection(other.index)
        gain = (ours[both] - other[both]).round(5)
        counts = f"{(gain > 0).sum()}, {(gain == 0).sum()}, {(gain < 0).sum()}"
        test: Any = stats.wilcoxon(gain)
        means = f"ours {ours[both].mean():.4f}, theirs {other[both].mean():.4f}"
        verdict = f"better, level, worse {counts}; p {test.pvalue:.2g}"
        lines.append(f"  {system}: {len(both)} sets, {means}; {verdict}")
    return "\n".join(lines)


def measure(name: str, seed: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Accuracies of one set and seed."""
    same, found = words(name, seed, given), []
    with tempfile.TemporaryDirectory() as folder:
        ckpt = pretrained(same, given, Path(folder))
        accuracy = svm(ckpt)
        found.append({"set": name, "seed": seed, "row": "svm", "share": 1.0, "test": accuracy})
        # Where steps were compared, there was no attention: the mean then stands for it.
        mean = ["model/attention=mean"] if "scales" in given.task else []
        begin = {"scratch": [], "fine-tuned": [f"init_from={ckpt}"]}
        begin["frozen"] = [f"init_from={ckpt}", "freeze=true", "optimizer.lr=0.03"]
        for share in given.shares:
            for row, more in begin.items():
                most = ["trainer.max_epochs=-1", f"trainer.max_steps={given.steps}"]
                most += ["task.loss.label_smoothing=0.0"]
                more = [*more, *mean, *most, f"data.label_fraction={share}", "callbacks=none"]
                metrics = run([*same, *more], Path(folder, f"{row}-{share}"))
                one = {"set": name, "seed": seed, "row": row, "share": share}
                found.append({**one, "test": metrics["test/accuracy"]})
                print({**one, "test": round(metrics["test/accuracy"], 4)}, flush=True)
    return found


def svm(ckpt: Path) -> float:
    """Test accuracy of an RBF SVM on frozen features."""
    task, data, _ = loading.load(ckpt)
    data.splits.fit()  # type: ignore[attr-defined]
    parts = [features(task, data, split) for split in ("train", "test")]
    (x, y), (other, truth) = parts
    folds = min(5, int(np.bincount(y).min()))
    grid = {"svc__C": [10.0**i for i in range(-4, 5)]}
    model: Any = make_pipeline(StandardScaler(), SVC(random_state=0))
    if folds > 1 and len(x) > 50:
        cut = StratifiedKFold(folds, shuffle=True, random_state=0)
        model = GridSearchCV(model, grid, cv=cut)
    accuracy = float(model.fit(x, y).score(other, truth))
    print(f"{ckpt}: svm {accuracy:.4f}", flush=True)
    return accuracy


@torch.no_grad()
def features(task: Any, data: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """What the head would read, its greatest value over queries, and the labels."""
    items, found = data.tensors(split), []
    for rows in torch.arange(len(items)).split(256):
        batch = items.__getitems__(rows.tolist())
        queries, _ = task.net.eval().encode(batch.x, batch.mask)
        if queries.shape[1] > 1:
            queries = queries.masked_fill(~batch.mask.unsqueeze(2), -torch.inf)
        found.append(queries.amax(dim=1).numpy())
    return np.concatenate(found), items.y.numpy()


def summary(results: list[dict[str, Any]]) -> str:
    """A table: mean and deviation over seeds."""
    lines = ["| set | row | " + " | ".join(f"{s:.0%}" for s in shares(results)) + " |"]
    lines.append("|---|---|" + "---|" * len(shares(results)))
    for name in dict.fromkeys(one["set"] for one in results):
        for row in (*ROWS, "svm"):
            cells = [cell(results, name, row, share) for share in shares(results)]
            if any(cells):
                lines.append(f"| {name} | {row} | " + " | ".join(cells) + " |")
        if name in TS2VEC:
            blank = "| " * (len(shares(results)) - 1)
            lines.append(f"| {name} | TS2Vec, svm {blank}| {TS2VEC[name]} |")
    return "\n".join(lines)


def gains(results: list[dict[str, Any]]) -> str:
    """Accuracy gained over scratch, and by a linear probe over the SVM, paired by seed."""
    pairs = [(row, "scratch", share) for share in shares(results) for row in ROWS[1:]]
    lines = []
    for name in dict.fromkeys(one["set"] for one in results):
        for row, base, share in (*pairs, ("frozen", "svm", 1.0)):
            first, other = (by_seed(results, name, each, share) for each in (base, row))
            if other.empty or first.empty:
                continue
            difference, low, high, p = against(first, other)
            span = "" if math.isnan(p) else f"{low:+.3f} to {high:+.3f}"
            answer = "one seed" if math.isnan(p) else "noise" if p >= LEVEL else "more than noise"
            cells = (name, f"{row} less {base}", f"{share:.0%}", f"{difference:+.3f}", span, answer)
            lines.append(cells)
    head = ("set", "difference", "labels", "mean", "95 % interval", "alone")
    return markdown_table(head, lines)


def by_seed(results: list[dict[str, Any]], name: str, row: str, share: float) -> pd.Series:
    wanted = {"set": name, "row": row, "share": share}
    found = [one for one in results if wanted.items() <= one.items()]
    return pd.Series({one["seed"]: one["test"] for one in found}, dtype=float)


def shares(results: list[dict[str, Any]]) -> list[float]:
    return sorted({one["share"] for one in results})


def values(results: list[dict[str, Any]], name: str, row: str, share: float) -> list[float]:
    return by_seed(results, name, row, share).to_list()


def cell(results: list[dict[str, Any]], name: str, row: str, share: float) -> str:
    """Mean and deviation, and of how many seeds."""
    found = values(results, name, row, share)
    if not found:
        return ""
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    return f"{statistics.mean(found):.3f} ± {spread:.3f} ({len(found)})"


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against the share of labels, a panel per set."""
    names = list(dict.fromkeys(one["set"] for one in results))
    figure = Figure(figsize=(3.4 * len(names), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for row, colour in zip(ROWS, ("#888888", "#1b4f72", "#d35400"), strict=True):
            known = [s for s in shares(results) if values(results, name, row, s)]
            each = [values(results, name, row, s) for s in known]
            spread = [statistics.stdev(one) if len(one) > 1 else 0.0 for one in each]
            means = [statistics.mean(one) for one in each]
            axes.errorbar(known, means, spread, marker="o", capsize=3, color=colour, label=row)
        axes.set(xscale="log", title=name, xlabel="share of labels", ylabel="test accuracy")
        axes.set_xticks(shares(results), [f"{share:.0%}" for share in shares(results)], minor=False)
        axes.minorticks_off()
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Measures, and writes what is known so far after each seed."""
    parser = common.parser("labels", __doc__)
    parser.add_argument("sets", nargs="*", help="har_windows, or sets of UCR")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed; --out keeps what it holds")
    parser.add_argument("--task", default="contrastive")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="*",
        default=[0.01, 0.05, 0.1, 1.0],
        help="of the labels",
    )
    parser.add_argument("--words", nargs="*", default=[], help="of seqfuse-train, for all runs")
    parser.add_argument("--pretraining", type=int, default=400, help="steps")
    parser.add_argument("--steps", type=int, default=300, help="of training with labels")
    parser.add_argument("--out", type=Path, default=Path("logs", "benchmarks", "labels.json"))
    parser.add_argument("--features", action="store_true", help="the SVM alone")
    parser.add_argument("--results", type=Path, default=common.RESULTS, help="of features.csv")
    parser.add_argument("--anchors", type=Path, help="folder of published numbers")
    given = parser.parse_args()
    if given.features:
        path, places = given.results / "features.csv", folders(Path(composed([]).paths.data))
        names = given.sets or [name for name in places if places[name].name == "ucr"]
        runs = itertools.product(range(given.first, given.seeds), quickest(names))
        named = [{"set": name, "seed": seed} for seed, name in runs]
        common.complete(path, named, functools.partial(frozen, given))
        print(beside(path, given.anchors))
        return
    results: list[dict[str, Any]] = json.loads(given.out.read_text()) if given.first else []
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for name in given.sets or SETS:
        for seed in range(given.first, given.seeds):
            results += measure(name, seed, given)
            given.out.write_text(json.dumps(results, indent=2) + "\n")
            given.out.with_suffix(".md").write_text(f"{summary(results)}\n\n{gains(results)}\n")
            plot(results, given.out.with_suffix(".png"))
    print(f"{summary(results)}\n\n{gains(results)}")


if __name__ == "__main__":
    main()
