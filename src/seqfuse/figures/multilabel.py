"""Several labels of items: precision against recall of each label, and its F1."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seqfuse.figures.classification import ClassFigures, precision_recall
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
        drawn = precision_recall(truth, scores, scores > 0, classes, self.max_panels)
        figures = {"precision_recall": drawn}
        looked = self.attention(result, result.items)
        return figures | ({"attention": looked} if looked else {})

    def title(self, item: Item, result: Result) -> str:
        """The labels, the row, and what the net predicted if those are others."""
        names = np.array(result.splits.pipeline.labels.classes)
        rows = item.truth > 0, item.answer > 0
        true, predicted = (", ".join(names[row]) or "none" for row in rows)
        wrong = "" if true == predicted else f", predicted {predicted}"
        return f"{true} (row {item.index}){wrong}"
