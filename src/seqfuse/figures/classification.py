"""Classes of items: what was taken for what, how sure the net was, and where it looked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
)
from sklearn.metrics import confusion_matrix as count_pairs
from torchmetrics.functional.classification import multiclass_calibration_error

from seqfuse.figures import drawing
from seqfuse.figures.collect import Figures, Item, Result
from seqfuse.figures.drawing import Array
from seqfuse.figures.texts import Sentence, sentences, words_of, worst_pairs
from seqfuse.runtime.jobs.softmax import softmax

MAX_TICKS = 30
"""Classes of which a confusion matrix has counts in its cells."""
MAX_NAMES = 160
"""Classes that are named at the edges of a confusion matrix; of more, every second, and so on."""
BINS = 10
LEVEL = 0.95
"""Fraction of the items that a net knows beyond which an item is unfamiliar, in a figure."""


class Example(NamedTuple):
    """An item and where the net looked."""

    signal: Array
    """(t ...) as the net got it, without padding."""
    weights: Array
    """(t) attention relative to its mean; of another rate, if there are several sources."""
    title: str


class ItemFigures(Figures):
    """Figures of labelled items that keep row, truth and answer of each, and show attention."""

    def numbers(self, index: Array, truth: Array, answer: Array) -> tuple[Array, ...]:
        return index, truth, answer

    def attention(self, result: Result, items: Sequence[Item]) -> Figure | None:
        """Items and where the net looked; None if no item has a signal or words."""
        if items and result.raw.unit == "texts":
            rows = [
                Sentence(words_of(item, result), item.weights, self.title(item, result))
                for item in items
            ]
            return sentences(rows)
        examples = [
            Example(max(signals.values(), key=len), item.weights, self.title(item, result))
            for item in items
            if (signals := item.signals())
        ]
        return attention(examples) if examples else None

    def title(self, item: Item, result: Result) -> str:
        """The truth, the answer and the row of an item."""
        raise NotImplementedError

    def looks(self, result: Result) -> dict[str, Figure | None]:
        """Where the net looked."""
        return {"attention": self.attention(result, result.items)}

    def drawn(self, result: Result, **figures: Figure | None) -> dict[str, Figure]:
        """Figures of a job, distances from the training items, and where the net looked."""
        every = {**figures, "unfamiliar": unfamiliar(result), **self.looks(result)}
        return {name: figure for name, figure in every.items() if figure is not None}


class ClassFigures(ItemFigures):
    """Confusion matrix, precision and recall, reliability diagram, and attention over items.

    These are one of each class and, apart, those that the net got most wrong. Of texts the worst
    pairs of classes, too; of an ensemble its disagreement; distances from the training items.
    """

    def answer(self, prediction: Array, mask: Array) -> Array:
        return softmax(prediction)

    def choose(self, items: Sequence[Item]) -> list[Item]:
        chosen = {item.index: item for item in [*self.firsts(items), *self.worst(items)]}
        return list(chosen.values())

    def firsts(self, items: Sequence[Item]) -> list[Item]:
        """The first item of each class."""
        ordered = sorted(items, key=lambda item: item.index)
        firsts = {int(item.truth): item for item in reversed(ordered)}
        return [firsts[label] for label in sorted(firsts)][: self.max_panels]

    def worst(self, items: Sequence[Item]) -> list[Item]:
        """Wrong items, the least likely truth first."""
        wrong = [item for item in items if item.answer.argmax() != item.truth]
        wrong.sort(key=lambda item: (float(item.answer[int(item.truth)]), item.index))
        return wrong[: self.max_panels // 2]

    def draw(self, result: Result) -> dict[str, Figure]:
        _, truth, probabilities = result.numbers
        guesses, classes = probabilities.argmax(axis=1), result.splits.pipeline.labels.classes
        each = np.arange(len(classes))
        hot = truth[:, None] == each, guesses[:, None] == each
        figures: dict[str, Figure | None] = {
            "confusion_matrix": confusion_matrix(truth, guesses, classes),
            "reliability": reliability(
                truth, probabilities, result.raw.unit, _uncalibrated(probabilities, result.task)
            ),
            "precision_recall": precision_recall(
                hot[0].astype(int), probabilities, hot[1].astype(int), classes, self.max_panels
            ),
        }
        sets = result.task.calibrator.test_sets() if result.task.is_scaled else None
        if sets is not None:
            figures["sets"] = prediction_sets(truth, sets(probabilities), classes, sets.level)
        if result.disagreement is not None:
            right, unit = guesses == truth, result.raw.unit
            figures["disagreement"] = disagreement(result.disagreement, right, unit)
        if result.raw.unit == "texts" and (truth != guesses).any():
            figures["worst_pairs"] = worst_pairs(truth, guesses, classes)
        return self.drawn(result, **figures)

    def looks(self, result: Result) -> dict[str, Figure | None]:
        """Where the net looked: at one item of each class, and where it was most wrong."""
        firsts, worst = self.firsts(result.items), self.worst(result.items)
        return {
            "attention": self.attention(result, firsts),
            "most_wrong": self.attention(result, worst) if worst else None,
        }

    def title(self, item: Item, result: Result) -> str:
        """The class, the row, and what the net called it if that is another."""
        classes, guess = result.splits.pipeline.labels.classes, int(item.answer.argmax())
        wrong = "" if guess == item.truth else f", called {classes[guess]}"
        return f"{classes[int(item.truth)]} (row {item.index}){wrong}"


def confusion_matrix(truth: Array, predicted: Array, classes: Sequence[str]) -> Figure:
    """Fraction of each true class (rows) that was called each class (columns), and counts."""
    k = len(classes)
    counts = count_pairs(truth, predicted, labels=range(k))
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.5, 0.55 * k + 1.5), 12 if k <= 80 else 20)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    few = k <= MAX_TICKS
    display: Any = ConfusionMatrixDisplay(fractions, display_labels=classes)
    style = {"im_kw": {"vmin": 0, "vmax": 1}, "text_kw": {"fontsize": 8}, "cmap": "Blues"}
    display.plot(ax=axes, include_values=few, colorbar=False, **style)
    if few:
        for text, count in zip(display.text_.ravel(), counts.ravel(), strict=True):
            text.set_text(str(count) if count else "")
    every = -(-k // MAX_NAMES)
    ticks, names = range(0, k, every), [classes[i] for i in range(0, k, every)]
    size = 9 if few else min(8.0, 45 * side * every / k)
    turn = (45 if few else 90) if max(map(len, names)) > 3 else 0
    axes.set_xticks(ticks, names, rotation=turn, ha="right" if turn == 45 else "center")
    axes.set_yticks(ticks, names)
    axes.tick_params(labelsize=size)
    figure.colorbar(display.im_, ax=axes, label="fraction of the true class")
    axes.set(xlabel="predicted", ylabel="true", title=f"accuracy {np.mean(truth == predicted):.3f}")
    return figure


def _uncalibrated(probabilities: Array, task: Any) -> Array | None:
    """Probabilities before they were divided by a temperature; None where there was none."""
    if not task.is_scaled:
        return None
    tiny = np.finfo(probabilities.dtype).tiny
    return softmax(np.log(np.maximum(probabilities, tiny)) * float(task.calibrator.temperature))


def _calibration_error(truth: Array, probabilities: Array) -> float:
    """Expected calibration error (Guo et al. 2017)."""
    error = multiclass_calibration_error(
        *(torch.from_numpy(np.asarray(each)) for each in (probabilities, truth)),
        num_classes=probabilities.shape[1],
        n_bins=BINS,
    )
    return float(error)


def reliability(
    truth: Array, probabilities: Array, unit: str = "items", before: Array | None = None
) -> Figure:
    """Accuracy against confidence (DeGroot & Fienberg 1983), with the size of each bin.

    Truth (n) and probabilities (n k); those before calibration are drawn in grey.
    """
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    title = f"expected calibration error {_calibration_error(truth, probabilities):.3f}"
    figure = Figure(figsize=(4.6, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    if before is not None:
        title += f", before calibration {_calibration_error(truth, before):.3f}"
        CalibrationDisplay.from_predictions(
            hit, before.max(axis=1), n_bins=BINS, ax=upper, name="before calibration", color="grey"
        )
    CalibrationDisplay.from_predictions(
        hit, confidence, n_bins=BINS, ax=upper, name="bin", color=drawing.COLOURS[0]
    )
    upper.set(xlabel="", ylabel="accuracy")
    upper.set_title(title, fontsize=10)
    lower.hist(confidence, np.linspace(0, 1, BINS + 1), color="#aab7b8", edgecolor="w")
    lower.set(xlabel="confidence", ylabel=unit, xlim=(0, 1))
    return figure


def prediction_sets(truth: Array, included: Array, classes: Sequence[str], level: float) -> Figure:
    """Conformal sets: how often those of a class hold it, and how many classes they have.

    Truth (n), and which classes are in the set of an item (n k); `level` is what coverage should
    have.
    """
    hits, sizes = included[np.arange(len(truth)), truth], included.sum(axis=1)
    occur = [k for k in np.bincount(truth).argsort()[::-1].tolist() if (truth == k).any()]
    shown = sorted(occur[:MAX_TICKS])
    figure = Figure(figsize=(8, 1.6 + 0.22 * len(shown)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values in ((left, hits), (right, sizes)):
        means = [values[truth == k].mean() for k in shown]
        axes.barh([classes[k] for k in shown], means, color=drawing.COLOURS[0])
        axes.axvline(float(values.mean()), color=drawing.WRONG, linewidth=1.0, label="all classes")
    left.axvline(level, color="k", linestyle="--", linewidth=1.0, label="level")
    left.set(xlabel="coverage", xlim=(0, 1.02), title=f"coverage {hits.mean():.3f} of {level:g}")
    right.set(xlabel="classes in a set", title=f"mean size {sizes.mean():.2f}")
    left.invert_yaxis()
    left.legend(loc="lower left", fontsize=7)
    return figure


def precision_recall(
    truth: Array, scores: Array, predicted: Array, names: Sequence[str], max_panels: int = 12
) -> Figure:
    """One panel per class or label, the most frequent first: its curve, what is used, and F1.

    Truth and predictions (n k) are 0 or 1; the higher scores (n k), the likelier.
    """
    chosen = np.argsort(-truth.sum(axis=0), kind="stable")[:max_panels]
    figure, panels = drawing.grid(len(chosen), 4, size=(2.5, 2.4), margin=(0.3, 0.3))
    for panel, k in zip(panels, chosen, strict=True):
        true, called = truth[:, k], predicted[:, k]
        hits = int((true * called).sum())
        if true.any():
            precision, recall, _ = precision_recall_curve(true, scores[:, k])
            panel.plot(recall, precision, color=drawing.COLOURS[0], linewidth=1.0)
            place = hits / true.sum(), hits / max(called.sum(), 1)
            panel.plot(*place, "o", color=drawing.WRONG, markersize=4)
        f1 = f1_score(true, called, zero_division=0.0)  # type: ignore[arg-type]
        panel.set_title(f"{names[k]}: F1 {f1:.3f}, {int(true.sum())} items", fontsize=8)
        panel.set(xlim=(0, 1.02), ylim=(0, 1.05))
        panel.set_xlabel("recall", fontsize=8)
        panel.set_ylabel("precision", fontsize=8)
        panel.tick_params(labelsize=7)
    return figure


def disagreement(values: Array, right: Array, unit: str = "items") -> Figure:
    """How far an ensemble's members are apart, of items that it got right and of the others.

    The area under the ROC curve says how well disagreement tells errors; 0.5 is chance.
    """
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, max(float(values.max()), 1e-9), BINS * 2 + 1).tolist()
    for name, part, colour in (("right", right, drawing.RIGHT), ("wrong", ~right, drawing.WRONG)):
        label = f"{name} ({part.sum():,})"
        axes.hist(values[part], bins, alpha=0.6, label=label, color=colour)
    both = 0 < right.sum() < len(right)
    tells = f", tells errors with AUROC {roc_auc_score(~right, values):.3f}" if both else ""
    axes.set(xlabel="mutual information of class and member, nats", ylabel=unit, yscale="symlog")
    axes.set_title(f"disagreement {values.mean():.3f}{tells}", fontsize=10)
    axes.legend()
    return figure


def unfamiliar(result: Result) -> Figure | None:
    """Distances of a split's items, and those of items that the net knows; None without any."""
    if result.distance is None:
        return None
    known = np.asarray(result.task.metadata()["distances"])
    limit, unit = float(np.quantile(known, LEVEL, method="higher")), result.raw.unit
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    both = np.concatenate([known, result.distance])
    low, high = max(both.min(), both.max() / 1000), both.max() * 1.001
    is_wide = high > 10 * low
    bins = (np.geomspace if is_wide else np.linspace)(low, high, 2 * BINS + 1).tolist()
    for name, part, colour in (
        ("known", known, "#aab7b8"),
        (result.split, result.distance, drawing.COLOURS[0]),
    ):
        weights = np.full(len(part), 1 / len(part))
        label = f"{name} ({len(part):,})"
        seen = np.maximum(part, low)
        axes.hist(seen, bins, weights=weights, alpha=0.6, label=label, color=colour)
    axes.axvline(limit, color=drawing.WRONG, linewidth=1.0, label=f"unfamiliar={LEVEL:g}")
    axes.set(xlabel="distance from the training items", ylabel=f"fraction of {unit}")
    if is_wide:
        axes.set_xscale("log")
    above, count = int(np.sum(result.distance > limit)), len(result.distance)
    axes.set_title(f"{above:,} of {count:,} {unit} are unfamiliar", fontsize=10)
    axes.legend(fontsize=8)
    return figure


def attention(examples: Sequence[Example]) -> Figure:
    """One panel per example: the signal, and attention as shading behind it."""
    figure, panels = drawing.grid(len(examples), 3, size=(2.4, 1.5), margin=(0.8, 0.8))
    top = drawing.brightest([example.weights for example in examples])
    channels = examples[0].signal.shape[1]
    for panel, example in zip(panels, examples, strict=True):
        drawing.signal(panel, example.signal, example.weights, top)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panel.set_title(example.title, fontsize=9)
    drawing.shading_bar(figure, panels, top, "step")
    for c, line in enumerate(panels[0].lines):
        line.set_label(f"channel {c}")
    drawing.legend(figure, panels[0].lines)
    figure.supxlabel("time step", fontsize=9)
    shown = len(panels[0].lines)
    part = f" (first {shown} of {channels} channels)" if shown < channels else ""
    figure.supylabel(f"scaled value{part}", fontsize=9)
    return figure
