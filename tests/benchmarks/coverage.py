"""Coverage of conformal sets of classes, at a level that training rows alone choose.

Run as `SEQFUSE_DATA=<folder> python -m tests.benchmarks.coverage [set ...]`. A set of classes is
never empty, so that it holds the true class at least as often as the net is right; a level below
that says nothing. The level of a run is the first of 0.9, 0.95 and 0.99 above the accuracy on its
calibration items that they are enough for. Each fold in turn is held out, one half of it to
calibrate: its items are few, the mean over folds rests on all of them. `spread` is the binomial
standard error of coverage at this level with so many calibration and test items, if all were
exchangeable and each independent; it says on which sets two points can be told. Sets are trained on
one thread by their experiment, those of the archive by the default. Rows that are there are not
made again. Nothing is chosen on a test split.
"""

import contextlib
import io
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqfuse.runtime.jobs import sets
from seqfuse.runtime.shown import markdown_table
from tests.benchmarks import calibration, common
from tests.composing import composed

FOLDS = ("data.calibration=true", "data.num_folds=4")
APART = (*FOLDS, "task.monitor=val/loss")
"""Words of experiments that hold nothing out."""
PLACES = {
    "banking77": (1, "data.fold", ("experiment=banking77", *APART)),
    "snips_intent": (1, "data.fold", ("experiment=snips_intent", *APART)),
    "hand_gesture": (
        *(5, "data.test_fold"),
        ("experiment=hand_gesture", "data.val_fraction=0.5", *APART),
    ),
    "har_windows": (
        *(5, "data.test_fold"),
        (*calibration.OTHERS["har_windows"], "data.calibration=true"),
    ),
}
"""Sets that are none of the archive: how many folds are run, their key, and words of training. Of
the last two each fold tests other rows: of gestures blocks in time, of activities other people."""
ARCHIVE = (
    *("Crop", "PhalangesOutlinesCorrect", "ECG5000", "PLAID", "MiddlePhalanxOutlineCorrect"),
    *("DistalPhalanxOutlineCorrect", "CricketX", "SmallKitchenAppliances", "ScreenType"),
    *("LargeKitchenAppliances", "AllGestureWiimoteX", "AllGestureWiimoteY", "AllGestureWiimoteZ"),
)
"""Sets of the archive with at least 200 test series and 300 of training; one fold of Crop has 900
calibration items."""


class Outputs(NamedTuple):
    """Outcome of a run: what the sets are made from, and what they are judged by."""

    scores: NDArray[np.float64]
    """(n) of the true classes of calibration items."""
    truths: NDArray[np.int64]
    """(n) those classes."""
    probabilities: NDArray[np.float64]
    """(m k) of test items."""
    labels: NDArray[np.int64]
    """(m) their classes."""


def outputs(words: tuple[str, ...]) -> Outputs:
    """Trains, and predicts the test part."""
    with contextlib.redirect_stdout(io.StringIO()):
        job, splits, _ = common.trained(*words)
        items, rows = splits.rows("test")
        blocks = list(job.known(items, rows))
    known = job.metadata["conformal"]
    probabilities = np.concatenate(
        [np.stack([block[f"p_{name}"] for name in job.classes], axis=1) for block in blocks]
    )
    numbers = {name: k for k, name in enumerate(job.classes)}
    labels = [numbers[name] for block in blocks for name in block["label"]]
    scores, truths = (np.asarray(known[name]) for name in ("scores", "classes"))
    return Outputs(scores, truths, probabilities, np.asarray(labels))


def judged(given: Outputs) -> common.Row:
    """Coverage and size of test sets, at the level that the calibration items choose."""
    # The most probable class has a score of 0.
    right = float((given.scores == 0).mean())
    enough = [level for level in sets.LEVELS if len(given.scores) >= sets.needed(level)]
    level = sets.above(right, len(given.scores)) or enough[-1]
    metadata = {"conformal": {"scores": given.scores, "classes": given.truths}}
    included = sets.Sets(metadata, given.probabilities.shape[1], level)(given.probabilities)
    hits = included[np.arange(len(given.labels)), given.labels]
    guesses = given.probabilities.argmax(axis=1)
    return {
        "calibration_items": len(given.scores),
        "calibration_accuracy": round(right, 5),
        "test_items": len(given.labels),
        "accuracy": round(float((guesses == given.labels).mean()), 5),
        "level": level,
        "coverage": round(float(hits.mean()), 5),
        "set_size": round(float(included.sum(axis=1).mean()), 3),
    }


def place(root: Path, name: str) -> tuple[int, str, tuple[str, ...]]:
    """Folds that are run, the key that names one, and words of training."""
    if name in PLACES:
        return PLACES[name]
    count = 1 if name == "Crop" else 4
    return count, "data.fold", (f"data.root={root}", f"data.name={name}", *FOLDS)


def measure(root: Path, set: str, fold: int) -> common.Row:
    """A row of a set and a fold."""
    _, key, words = place(root, set)
    return judged(outputs((*words, f"{key}={fold}")))


def summary(path: Path) -> str:
    """A row for each set: means over its folds, and by how much coverage is off."""
    lines, near = [], {}
    for name, part in pd.read_csv(path).groupby("set", sort=False):
        tested, tests_others = part["test_items"].max(), name in ("hand_gesture", "har_windows")
        tested = part["test_items"].sum() if tests_others else tested
        calibrated, level = part["calibration_items"].sum(), part["level"].mean()
        off = part["coverage"].mean() - level
        spread = np.sqrt(level * (1 - level) * (1 / calibrated + 1 / tested))
        near[name] = abs(off) <= 0.02
        shown = f"{level:.3f}".rstrip("0")
        means = (part[c].mean() for c in ("accuracy", "coverage"))
        cells = (f"{calibrated:,}", f"{tested:,}", shown, *(f"{mean:.3f}" for mean in means))
        lines.append((name, *cells, f"{spread:.3f}", f"{part['set_size'].mean():.2f}"))
    head = ("set", "calibration items", "test items", "level", "accuracy", "coverage", "spread")
    table = markdown_table((*head, "classes in a set"), lines)
    return f"{table}\n\nwithin two points: {sum(near.values())} of {len(near)}"


def main() -> None:
    """Measures what is not there yet."""
    parser = common.parser("coverage", __doc__)
    parser.add_argument("sets", nargs="*", default=[*PLACES, *ARCHIVE], help="names; or all")
    parser.add_argument("--out", type=Path, default=common.RESULTS / "coverage.csv")
    given = parser.parse_args()
    root = Path(composed([]).paths.data) / "ucr"
    runs = [
        {"set": name, "fold": fold} for name in given.sets for fold in range(place(root, name)[0])
    ]
    common.complete(given.out, runs, partial(measure, root))
    print(summary(given.out), flush=True)


if __name__ == "__main__":
    main()
