"""Clips: frames with the attention each got, scores of anomalies, and errors by source."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from seqfuse.figures import drawing
from seqfuse.figures.classification import ClassFigures, Example, ItemFigures
from seqfuse.figures.collect import Figures, Item, Result
from seqfuse.figures.drawing import Array
from seqfuse.tasks.metrics import auroc

PER_KIND = 2
"""Clips of each class and each answer."""
MAX_FRAMES = 16
"""Frames of a clip that are drawn."""
MAX_SOURCES = 40


class ClipFigures(ClassFigures):
    """Confusion matrix, reliability diagram, clips frame by frame, and errors by source."""

    def choose(self, items: Sequence[Item]) -> list[Item]:
        """Clips that were called right, and such that were not."""
        kinds: dict[tuple[int, int], list[Item]] = defaultdict(list)
        for item in items:
            kinds[int(item.truth), int(item.answer.argmax())].append(item)
        chosen = [item for kind in sorted(kinds) for item in kinds[kind][:PER_KIND]]
        return chosen[: self.max_panels]

    def draw(self, result: Result) -> dict[str, Figure]:
        figures, groups = super().draw(result), result.raw.groups
        if groups is not None:
            index, truth, probabilities = result.numbers
            right = truth == probabilities.argmax(axis=1)
            figures["errors_by_source"] = errors_by_source(np.array(groups)[index], right)
        return figures

    looks = ItemFigures.looks

    def attention(self, result: Result, items: Sequence[Item]) -> Figure | None:
        classes, titles = result.splits.pipeline.labels.classes, []
        for item in items:
            guess = int(item.answer.argmax())
            titles.append(classes[guess] + ("" if guess == item.truth else " (wrong)"))
        return frames(_named(result, titles)) if titles else None


class ClipScoreFigures(Figures):
    """Anomaly scores of normal and other clips, and those that score highest and lowest."""

    def numbers(self, index: Array, truth: Array, answer: Array) -> tuple[Array, ...]:
        return truth, answer

    def choose(self, items: Sequence[Item]) -> list[Item]:
        order = sorted(items, key=lambda item: -item.answer)
        low = self.max_panels // 2
        high = self.max_panels - low
        return order[:high] + order[max(len(order) - low, high) :]

    def draw(self, result: Result) -> dict[str, Figure]:
        truth, scores = result.numbers
        area = float(auroc(torch.from_numpy(scores), torch.from_numpy(truth > 0)))
        titles = [f"score {item.answer:.2f}" for item in result.items]
        classes = result.splits.pipeline.labels.classes
        return {
            "scores": histogram(scores, truth, classes, f"AUROC {area:.3f}"),
            "attention": frames(_named(result, titles)),
        }


def _named(result: Result, titles: Sequence[str]) -> list[Example]:
    """Clips with their names and their scores or classes."""
    return [
        Example(*item.x.values(), item.weights, f"{result.raw.names[item.index]}: {title}")  # type: ignore[call-arg]
        for item, title in zip(result.items, titles, strict=True)
    ]


def histogram(scores: Array, truth: Array, names: Sequence[str], title: str) -> Figure:
    """Histogram of the scores of clips, by class."""
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = np.maximum(scores, 1e-6)  # on a logarithmic axis: some errors are huge
    edges = np.geomspace(shown.min() * 0.99, shown.max() * 1.01, 21)
    colours = (drawing.COLOURS[0], drawing.WRONG)
    for k, (name, colour) in enumerate(zip(names, colours, strict=False)):
        axes.hist(shown[truth == k], edges, color=colour, alpha=0.6, label=name)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="anomaly score (mean squared error)", ylabel="clips", title=title)
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=8)
    return figure


def frames(examples: Sequence[Example]) -> Figure:
    """A clip per row, frame by frame, and below each frame the attention it got."""
    figure, panels = drawing.grid(len(examples), 1, size=(12, 1.15), margin=(0, 0.4))
    top = drawing.brightest([example.weights for example in examples])
    for panel, example in zip(panels, examples, strict=True):
        _clip(panel, example, top)
    drawing.shading_bar(figure, panels, top, "frame", pad=0.01)
    return figure


def _clip(panel: Axes, example: Example, top: float) -> None:
    """Frames side by side; each is one unit wide."""
    shown = strip(panel, example.signal)
    count = len(shown)
    drawing.shade(panel, example.weights[shown], (0, count, -0.18, 0), top)
    panel.set(xlim=(0, MAX_FRAMES), ylim=(-0.18, 1))
    panel.set_axis_off()
    panel.set_title(example.title, fontsize=9, loc="left", pad=3)


def strip(panel: Axes, clip: Array) -> NDArray[np.int64]:
    """Draws frames of a clip (t c height width) side by side; returns which."""
    total = len(clip)
    shown = np.linspace(0, total - 1, min(total, MAX_FRAMES)).round().astype(int)
    pictures = clip[shown].transpose(2, 0, 3, 1)  # height, frames, width, colours
    height, count, width, colours = pictures.shape
    image = pictures.reshape(height, count * width, colours).clip(0, 255).astype(np.uint8)
    panel.imshow(image, extent=(0, count, 0, 1), aspect="auto")
    return shown


def errors_by_source(sources: NDArray[np.str_], right: NDArray[np.bool_]) -> Figure:
    """Numbers of right and wrong predictions for each source recording."""
    names, which = np.unique(sources, return_inverse=True)
    count = np.bincount(which)
    wrong = np.bincount(which, ~right, len(names)).astype(int)
    order = np.lexsort((count, wrong))[-MAX_SOURCES:]
    count, wrong = count[order], wrong[order]
    figure = Figure(figsize=(5.2, 0.24 * len(order) + 1.2), layout="constrained")
    axes = figure.subplots()
    bars = [
        axes.barh(names[order], count - wrong, color=drawing.RIGHT, label="right"),
        axes.barh(names[order], wrong, left=count - wrong, color=drawing.WRONG, label="wrong"),
    ]
    axes.tick_params(axis="y", labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="clips", ylabel="source recording")
    figure.suptitle(f"{np.sum(~right)} of {len(right)} clips wrong", fontsize=10)
    figure.legend(handles=bars, loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure
