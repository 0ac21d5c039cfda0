"""Several labels of items: precision against recall of each label, and its F1."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import f1_score, precision_recall_curve

from seqfuse.figures import drawing
from seqfuse.figures.classification import ClassFigures
from seqfuse.figures.collect import Item, Result
from seqfuse.figures.drawing import Array


class LabelFigures(ClassFigures):
    """Precision and recall of each label at all thresholds, and attention over some items."""

    def answer(self, prediction: Array, mask: Array) -> Array:
        return prediction

    def choose(self, items: Sequence[Item]) -> list[Item]:
        return super(ClassFigures, self).choose(items)

    def draw(self, result: Result) -> dict[str, Figure]:
        _, truth, scores = result.numbers
        classes = result.splits.pipeline.labels.classes
        figures = {"precision_recall": precision_recall(truth, scores, classes, self.max_panels)}
        looked = self.attention(result)
        return figures | ({"attention": looked} if looked else {})

    def title(self, item: Item, result: Result) -> str:
        """The labels, the row, and what the net predicted if those are others."""
        names = np.array(result.splits.pipeline.labels.classes)
        rows = item.truth > 0, item.answer > 0
        true, predicted = (", ".join(names[row]) or "none" for row in rows)
        wrong = "" if true == predicted else f", predicted {predicted}"
        return f"{true} (row {item.index}){wrong}"


def precision_recall(
    truth: Array, scores: Array, names: Sequence[str], max_panels: int = 12
) -> Figure:
    """One panel per label, the most frequent first: its curve, the threshold used, and F1.

    Args:
        truth: (n k) 0 or 1.
        scores: (n k) a label is predicted above 0.
        names: of the labels.
        max_panels: labels that are drawn.
    """
    chosen = np.argsort(-truth.sum(axis=0), kind="stable")[:max_panels]
    figure, panels = drawing.grid(len(chosen), 4, size=(2.5, 2.4), margin=(0.3, 0.3))
    for panel, k in zip(panels, chosen, strict=True):
        true, predicted = truth[:, k], scores[:, k] > 0
        hits = int((true * predicted).sum())
        if true.any():
            precision, recall, _ = precision_recall_curve(true, scores[:, k])
            panel.plot(recall, precision, color=drawing.COLOURS[0], linewidth=1.0)
            place = hits / true.sum(), hits / max(predicted.sum(), 1)
            panel.plot(*place, "o", color=drawing.WRONG, markersize=4)
        f1 = f1_score(true, predicted, zero_division=0.0)  # type: ignore[arg-type]
        panel.set_title(f"{names[k]}: F1 {f1:.3f}, {int(true.sum())} items", fontsize=8)
        panel.set(xlim=(0, 1.02), ylim=(0, 1.05))
        panel.set_xlabel("recall", fontsize=8)
        panel.set_ylabel("precision", fontsize=8)
        panel.tick_params(labelsize=7)
    return figure
