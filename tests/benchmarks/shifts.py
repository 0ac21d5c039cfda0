"""Who knows a stranger: distances, energy, probability and disagreement where the world has moved.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.shifts [shift ...] --seeds 3`. The default
is trained on items of a kind; then ordinary test items and strange ones, which are of no class that
was trained, are told apart by the area under the ROC curve (0.5 is chance) of `unfamiliar`, of the
energy of the net's scores (Liu et al. 2020), of one less the highest probability, and of the
disagreement of three nets, of this seed and the next two. `ordinary` and `strange` are the
fractions of both above 0.95. Rows that are there are not made again. Nothing is chosen on these
items: the rule of distances was chosen on classes left out of training parts, and what they are
held against on halves of training parts.
"""

import contextlib
import functools
import io
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from seqfuse.config import build, recipes
from seqfuse.predicting.ensemble import ClassAverage
from seqfuse.runtime.jobs.softmax import log_sum, softmax
from tests.benchmarks import common
from tests.composing import composed

MEMBERS = 3
LEVEL = 0.95
WINDOW = 60
"""Steps of SKAB, a minute."""
SCORES = ("unfamiliar", "energy", "probability", "disagreement")


class Shift(NamedTuple):
    """Series (t c) to train on, with their classes, and two kinds of others."""

    x: Sequence[np.ndarray]
    y: Sequence[str]
    ordinary: Sequence[np.ndarray]
    strange: Sequence[np.ndarray]


def split_of(name: str, split: str) -> tuple[list[np.ndarray], list[str]]:
    """Series and classes of a split of the archives."""
    data = build.build_data(recipes.resolve(composed([f"data.name={name}", "data.num_folds=0"])))
    data.setup("fit")
    items, rows = data.splits.rows(split)
    return [items.item(row) for row in rows], [items.labels[row] for row in rows]


def other_classes(name: str, known: int) -> Shift:
    """The first classes of a set are known, and the rest strange."""
    x, y = split_of(name, "train")
    new, truth = split_of(name, "test")
    classes = sorted(set(y))[:known]
    pairs = [(each, label) for each, label in zip(x, y, strict=True) if label in classes]
    ordinary = [each for each, label in zip(new, truth, strict=True) if label in classes]
    strange = [each for each, label in zip(new, truth, strict=True) if label not in classes]
    return Shift(*zip(*pairs, strict=True), ordinary, strange)  # type: ignore[arg-type]


def other_set(name: str, stranger: str) -> Shift:
    """All items of another set are strange."""
    return Shift(*split_of(name, "train"), split_of(name, "test")[0], split_of(stranger, "test")[0])


def faults(root: Path) -> Shift:
    """Minutes of SKAB: the part of the rig is the class, and what is faulty strange.

    A net is trained on the first half of the minutes before the first fault of each recording.
    """
    x, y, ordinary, strange = [], [], [], []
    for part in ("valve1", "valve2", "other"):
        for path in sorted((root / "skab" / part).glob("*.csv*")):
            frame = pd.read_csv(path, sep=None, engine="python")
            values = frame.iloc[:, 1:9].to_numpy(np.float32)
            is_faulty = frame["anomaly"].to_numpy() > 0
            first = int(is_faulty.argmax()) if is_faulty.any() else len(frame)
            calm = [values[i : i + WINDOW] for i in range(0, first - WINDOW + 1, WINDOW)]
            half = (len(calm) + 1) // 2
            x, y = [*x, *calm[:half]], [*y, *[part] * half]
            ordinary += calm[half:]
            starts = range(first, len(frame) - WINDOW + 1, WINDOW)
            strange += [values[i : i + WINDOW] for i in starts if is_faulty[i : i + WINDOW].all()]
    return Shift(x, y, ordinary, strange)


SHIFTS: dict[str, Callable[[Path], Shift]] = {
    "other gestures (UWaveGestureLibrary)": lambda root: other_classes("UWaveGestureLibrary", 4),
    "other gesture set (Pickup, Shake)": lambda root: other_set(
        "PickupGestureWiimoteZ", "ShakeGestureWiimoteZ"
    ),
    "other people (JapaneseVowels)": lambda root: other_classes("JapaneseVowels", 6),
    "faults (SKAB)": faults,
}


@functools.cache
def given(shift: str) -> Shift:
    return SHIFTS[shift](Path(composed([]).paths.data))


@functools.cache
def scored(shift: str, seed: int) -> dict[str, np.ndarray]:
    """What a net of this seed says of ordinary items, and behind them of strange ones."""
    known = given(shift)
    x = np.zeros((len(known.x), max(map(len, known.x)), known.x[0].shape[1]), dtype=np.float32)
    for row, each in zip(x, known.x, strict=True):
        row[: len(each)] = each
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder, "known.npz")
        np.savez(path, x=x, y=np.array(known.y), lengths=[len(each) for each in known.x])
        words = ("data=arrays", f"data.train={path}", "test=false", f"seed={seed}")
        job, _, _ = common.trained(*words)
    found: dict[str, list[Any]] = {"prediction": [], "unfamiliar": [], "energy": []}
    for answer in job._ask([*known.ordinary, *known.strange]):
        tensors = (torch.from_numpy(answer.feeds[name]) for name in ("x", "mask"))
        with torch.inference_mode():
            scores, _ = job.engine.model.net.scores(*tensors)
        found["prediction"].append(answer.prediction)
        found["unfamiliar"].append(job._unfamiliar(answer))
        found["energy"].append(-log_sum(scores.numpy(), axis=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measure(shift: str, seed: int) -> common.Row:
    """Areas under the ROC curve, and fractions of unfamiliar items."""
    each = [scored(shift, seed + i) for i in range(MEMBERS)]
    members = torch.from_numpy(np.stack([one["prediction"] for one in each]))
    values = {
        "unfamiliar": each[0]["unfamiliar"],
        "energy": each[0]["energy"],
        "probability": 1 - softmax(each[0]["prediction"]).max(axis=1),
        "disagreement": ClassAverage().disagreement(members).numpy(),
    }
    known = given(shift)
    is_strange = np.arange(len(values["energy"])) >= len(known.ordinary)
    beyond = values["unfamiliar"] > LEVEL
    return {
        **{name: round(float(roc_auc_score(is_strange, values[name])), 4) for name in SCORES},
        "ordinary": round(float(beyond[~is_strange].mean()), 4),
        "strange": round(float(beyond[is_strange].mean()), 4),
        "trained_on": len(known.x),
        "num_ordinary": len(known.ordinary),
        "num_strange": len(known.strange),
    }


def summary(path: Path) -> str:
    """Means over seeds with their standard deviations."""
    columns = (*SCORES, "ordinary", "strange")
    lines = [f"| shift | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for name, part in pd.read_csv(path).groupby("shift", sort=False):
        cells = [f"{part[c].mean():.3f} ± {part[c].std(ddof=0):.3f}" for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures what is not there yet."""
    parser = common.parser("shifts", __doc__)
    parser.add_argument("shifts", nargs="*", default=list(SHIFTS), help=", ".join(SHIFTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=common.RESULTS / "shifts.csv")
    asked = parser.parse_args()
    if unknown := sorted({*asked.shifts} - {*SHIFTS}):
        parser.error(f"{', '.join(unknown)}: known are {', '.join(SHIFTS)}")
    pairs = product(asked.shifts, range(asked.seeds))
    runs: list[common.Row] = [{"shift": shift, "seed": seed} for shift, seed in pairs]
    common.complete(asked.out, runs, measure)
    print(summary(asked.out), flush=True)


if __name__ == "__main__":
    main()
