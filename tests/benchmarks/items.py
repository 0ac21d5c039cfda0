"""Baselines of numbers and of several labels, on the very windows of the experiments.

Usage: python -m tests.benchmarks.items [beijing_day har_fractions har_labels]

Summary features of a window: of each channel mean, standard deviation, minimum, maximum, the last
value and the mean of the last rows, as many as a label is a mean over. Nothing is chosen on
the test split.
"""

import sys
import warnings

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, mean_absolute_error, r2_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from seqfuse.runtime.recordings import Recordings
from tests.composing import composed

Array = NDArray[np.float64]


def features(items: Recordings, last: int) -> Array:
    """(n 6c) what summarises each window, NaN where a channel has no value."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # a channel without a value
        rows = [
            np.concatenate([
                *(f(x, axis=0) for f in (np.nanmean, np.nanstd, np.nanmin, np.nanmax)),
                x[-1],
                np.nanmean(x[-last:], axis=0),
            ])
            for x in items
        ]  # fmt: skip
    return np.array(rows, dtype=np.float64)


def numbers(name: str, parts: dict[str, Recordings], last: int) -> None:
    """MAE and R2, means over targets, of baselines."""
    x = {split: features(part, last) for split, part in parts.items()}
    y = {split: np.array(part.labels) for split, part in parts.items()}
    guesses = {"training mean": np.tile(y["train"].mean(axis=0), (len(y["test"]), 1))}
    if name == "beijing_day":
        rows = x["test"].shape[1] // 6  # the last of six features, of the first channel
        before, mean = x["test"][:, -rows : -rows + 1], guesses["training mean"]
        guesses["last day's mean"] = np.where(np.isnan(before), mean, before)
    filled = {s: np.where(np.isnan(v), np.nanmean(x["train"], axis=0), v) for s, v in x.items()}
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    guesses["ridge"] = ridge.fit(filled["train"], y["train"]).predict(filled["test"])
    boosted = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0))
    guesses["gradient boosting"] = boosted.fit(x["train"], y["train"]).predict(x["test"])
    for method, guess in guesses.items():
        guess = np.reshape(guess, y["test"].shape)
        error = mean_absolute_error(y["test"], guess)
        print(f"{name:14} {method:18} MAE {error:.4g}  R2 {r2_score(y['test'], guess):.3f}")


def labels(name: str, parts: dict[str, Recordings], last: int) -> None:
    """Macro F1, subset accuracy and Hamming loss of the majority, and of one SVM for each label."""
    names = sorted({label for item in parts["train"].labels or () for label in item})
    y = {
        split: np.array([[label in item for label in names] for item in part.labels or ()])
        for split, part in parts.items()
    }
    x = {split: features(part, last) for split, part in parts.items()}
    svm = make_pipeline(StandardScaler(), OneVsRestClassifier(SVC(class_weight="balanced")))
    guesses = {
        "majority": np.tile(y["train"].mean(axis=0) > 0.5, (len(y["test"]), 1)),
        "SVM": svm.fit(x["train"], y["train"]).predict(x["test"]),
    }
    for method, guess in guesses.items():
        f1 = f1_score(y["test"], guess, average="macro", zero_division=0.0)
        print(
            f"{name:14} {method:18} macro F1 {f1:.3f}  subset accuracy "
            f"{accuracy_score(y['test'], guess):.3f}  Hamming {hamming_loss(y['test'], guess):.3f}"
        )


KINDS = {"beijing_day": (numbers, 24), "har_fractions": (numbers, 16), "har_labels": (labels, 16)}
"""Of each experiment what it predicts, and the last rows that are a feature of their own."""


def main(names: list[str]) -> None:
    """Measures, and prints a line for each baseline."""
    for name in names or KINDS:
        config = composed([f"experiment={name}"])
        splits = instantiate(config.data.module.splits, _convert_="all")
        parts = {}
        for split in ("train", "test"):
            items, rows = splits.rows(split)
            parts[split] = items.take(rows)
        measure, last = KINDS[name]
        measure(name, parts, last)


if __name__ == "__main__":
    main(sys.argv[1:])
