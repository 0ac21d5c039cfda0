"""Classes of steps: true and predicted bands, the signals below them, and where the net looked."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from seqfuse.figures import drawing
from seqfuse.figures.classification import confusion_matrix
from seqfuse.figures.collect import Figures, Item, Result
from seqfuse.figures.drawing import Array
from seqfuse.figures.texts import Sentence, sentences, words_of
from seqfuse.runtime.jobs.crf import best_tags
from seqfuse.runtime.pipelines.labels import NO_LABEL
from seqfuse.runtime.pipelines.sources import SourcesPipeline


class StepFigures(Figures):
    """Confusion matrix of steps, and items from all over the split with their sources."""

    per_step = True

    def answer(self, prediction: Array, mask: Array) -> Array:
        return best_tags(prediction, mask)

    def numbers(self, index: Array, truth: Array, answer: Array) -> tuple[Array, ...]:
        labelled = truth != NO_LABEL
        return truth[labelled], answer[labelled]

    def draw(self, result: Result) -> dict[str, Figure]:
        (truth, answer), pipeline = result.numbers, result.splits.pipeline
        figures = {"confusion_matrix": confusion_matrix(truth, answer, pipeline.labels.classes)}
        if result.items:
            parts = set(pipeline.parts) if isinstance(pipeline, SourcesPipeline) else set()
            missing = ", ".join(sorted(parts - set(result.items[0].signals())))
            remark = f"missing: {missing}" if missing else ""
            figures["steps"] = step_classes(result.items, pipeline.labels.classes, remark)
        return figures


class TagFigures(StepFigures):
    """Sentences with the attention on each word, its tag and what the net predicted instead."""

    def draw(self, result: Result) -> dict[str, Figure]:
        names = np.array(result.splits.pipeline.labels.classes, dtype=object)
        rows = [
            Sentence(
                words_of(item, result),
                item.weights,
                f"row {item.index}",
                np.where(item.truth == NO_LABEL, "", names[item.truth]).tolist(),
                names[item.answer].tolist(),
            )
            for item in result.items
        ]
        return {"sentences": sentences(rows)} if rows else {}


def step_classes(items: Sequence[Item], classes: Sequence[str], missing: str = "") -> Figure:
    """One block per item: true and predicted classes as bands, and each source below them.

    All items have the same sources; `missing` is a remark on those that are not shown.
    """
    columns = min(len(items), 2)
    rows, names = -(-len(items) // columns), [*items[0].signals()]
    size = (6.0 * columns, (0.9 + 1.1 * len(names)) * rows + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(rows, columns, squeeze=False).ravel()
    palette = matplotlib.colormaps["tab10" if len(classes) <= 10 else "tab20"]
    colours = [palette(i % palette.N) for i in range(len(classes))]
    top = drawing.brightest([item.weights for item in items])
    for block, item in zip(blocks, items, strict=False):
        bands, *panels = block.subplots(
            len(names) + 1, 1, sharex=True, height_ratios=[0.5, *[1] * len(names)]
        )
        _bands(bands, item, colours)
        for panel, name in zip(panels, names, strict=True):
            values = item.signals()[name]
            drawing.signal(panel, values, item.weights, top)
            shown, channels = len(panel.lines), values.shape[1]
            part = f"\n{shown} of {channels} channels" if shown < channels else ""
            panel.set_ylabel(name + part, fontsize=7)
        [bands, *panels][-1].set_xlabel("time step", fontsize=8)
    drawing.legend(figure, [Patch(color=c, label=n) for c, n in zip(colours, classes, strict=True)])
    shading = f"shading: attention, from 0 to {top:.1f} (1 = every step alike)"
    figure.supxlabel("; ".join(filter(None, [shading, missing])), fontsize=8)
    return figure


def _bands(axes: Axes, item: Item, colours: Sequence[Any]) -> None:
    """The truth above, what was predicted below."""
    both = np.stack([item.truth, item.answer])
    labelled = item.truth != NO_LABEL
    axes.imshow(
        np.ma.masked_equal(both, NO_LABEL),
        extent=(0, both.shape[1], 0, 2),
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
    )
    axes.axhline(1, color="white", linewidth=1.5)
    axes.set_yticks([1.5, 0.5], ["true", "predicted"], fontsize=7)
    axes.tick_params(length=0)
    right = np.mean(item.truth[labelled] == item.answer[labelled])
    axes.set_title(f"row {item.index}, {right:.0%} of steps right", fontsize=9)
