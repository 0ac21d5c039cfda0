"""Several labels of items: precision against recall of each label, its F1, and reliability."""

import numpy as np
from matplotlib.figure import Figure

from seqfuse.figures.classification import ItemFigures, precision_recall, reliability
from seqfuse.figures.collect import Item, Result
from seqfuse.figures.drawing import Array
from seqfuse.runtime.jobs.softmax import sigmoid


class LabelFigures(ItemFigures):
    """Precision and recall of each label at all thresholds, reliability of all labels together,
    and attention over some items."""

    def draw(self, result: Result) -> dict[str, Figure]:
        _, truth, scores = result.numbers
        classes = result.splits.pipeline.labels.classes
        drawn = precision_recall(truth, scores, scores > 0, classes, self.max_panels)
        figures = {"precision_recall": drawn}
        if result.task.is_scaled:
            scale = result.task.metadata()["label_scale"]
            raw = scores + np.asarray(scale["thresholds"], dtype=np.float32)
            before, after = (
                _both(sigmoid(raw / divisor)) for divisor in (1.0, scale["temperature"])
            )
            figures["reliability"] = reliability(truth.ravel(), after, "labels of items", before)
        return self.drawn(result, **figures)

    def title(self, item: Item, result: Result) -> str:
        """The labels, the row, and what the net predicted if those are others."""
        names = np.array(result.splits.pipeline.labels.classes)
        rows = item.truth > 0, item.answer > 0
        true, predicted = (", ".join(names[row]) or "none" for row in rows)
        wrong = "" if true == predicted else f", predicted {predicted}"
        return f"{true} (row {item.index}){wrong}"


def _both(probabilities: Array) -> Array:
    """(n two) probabilities not to have a label, and to have it."""
    flat = probabilities.ravel()
    return np.stack([1 - flat, flat], axis=1)
