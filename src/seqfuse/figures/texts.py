"""Texts: words shaded by attention, with tags below them, and the worst pairs of classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.metrics import confusion_matrix as count_pairs

from seqfuse.figures import drawing
from seqfuse.figures.collect import Item, Result
from seqfuse.figures.drawing import ATTENTION, Array, Scale

WIDTH = 110
"""Characters of a line."""
NARROW = 40
"""Characters of the narrowest figure."""
LOWEST = 2.2
"""Inches of the lowest figure, beside which the scale of the shading has its name."""
MAX_WORDS = 120
"""Words of a text that are drawn."""
MAX_PAIRS = 20


class Sentence(NamedTuple):
    """A text and where the net looked."""

    words: Sequence[str]
    weights: Array
    """(t) attention per word, relative to its mean."""
    title: str
    truth: Sequence[str] = ()
    """(t) tags, where each word has one."""
    predicted: Sequence[str] = ()

    def mistake(self, i: int) -> list[str]:
        """The predicted tag of a word, if it is wrong."""
        wrong = self.truth and self.truth[i] not in ("", self.predicted[i])
        return [self.predicted[i]] if wrong else []


def words_of(item: Item, result: Result) -> Sequence[str]:
    """Words as they were read."""
    return result.raw.item(item.index)[: len(item.weights)]


def sentences(examples: Sequence[Sentence], scale: Scale = ATTENTION, unit: str = "word") -> Figure:
    """Texts below each other; a word is shaded by its attention, 1 being every word alike.

    Below a word stands its tag; where the net was wrong, in red the tag that it predicted. `unit`
    is in the label of the scale.
    """
    height = 3 if examples[0].truth else 1.4
    placed = [_place(example) for example in examples]
    rows = sum(1.6 + height * (cells[-1][0] + 1) for cells in placed)
    ends = [x + width for cells in placed for _, x, width in cells]
    ends += [round(0.9 * len(example.title)) for example in examples]
    span = min(max(*ends, NARROW), WIDTH)
    # The scale of the shading at the right takes what five rows take, and 12 letters.
    size = (0.085 * (span + 12), max(0.17 * rows + 0.3, LOWEST))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, span), ylim=(max(rows, 5.0), 0))
    if examples[0].truth:
        axes.set_title("green: true tag; red: predicted instead", fontsize=8, loc="left")
    axes.axis("off")
    top = drawing.brightest(
        [np.abs(example.weights) for example in examples], 2.0 if scale is ATTENTION else 1e-12
    )
    y = 0.0
    for example, cells in zip(examples, placed, strict=True):
        size = len(example.words)
        part = f", the first {MAX_WORDS} of {size:,} words" if size > MAX_WORDS else ""
        axes.text(0, y + 0.9, example.title + part, fontsize=8, weight="bold", va="center")
        for i, (line, x, width) in enumerate(cells):
            colour = scale.colour(float(example.weights[i]), top)
            _word(axes, example, i, (x, y + 1.6 + height * line), width, colour)
        y += 1.6 + height * (cells[-1][0] + 1)
    drawing.shading_bar(figure, axes, top, unit, scale, aspect=20, shrink=0.8)
    return figure


def _place(example: Sentence) -> list[tuple[int, int, int]]:
    """Line, first character and width of each word."""
    cells, line, x = [], 0, 0
    for i, word in enumerate(example.words[:MAX_WORDS]):
        width = max(map(len, [word[:40], *example.truth[i : i + 1], *example.mistake(i)]))
        if x + width > WIDTH and x:
            line, x = line + 1, 0
        cells.append((line, x, width))
        x += width + 1
    return cells


def _word(
    axes: Axes, example: Sentence, i: int, corner: tuple[float, float], width: int, shade: Any
) -> None:
    x, y = corner
    axes.add_patch(Rectangle((x - 0.2, y), width + 0.4, 0.95, facecolor=shade, edgecolor="none"))
    style: dict[str, Any] = {"family": "monospace", "va": "center"}
    axes.text(x, y + 0.5, example.words[i][:40], fontsize=7, **style)
    tags = [tag for tag in example.truth[i : i + 1] if tag != "O"]
    for text, below, colour in (
        *((tag, 1.4, drawing.RIGHT) for tag in tags),
        *((tag, 2.2, drawing.WRONG) for tag in example.mistake(i)),
    ):
        axes.text(x, y + below, text, color=colour, fontsize=6, **style)


def worst_pairs(truth: Array, predicted: Array, classes: Sequence[str]) -> Figure:
    """The pairs of classes that were taken for each other most often."""
    counts = count_pairs(truth, predicted, labels=range(len(classes)))
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MAX_PAIRS]
    places = zip(*np.unravel_index(order, counts.shape), strict=True)
    pairs = [place for place in places if counts[place]]
    figure = Figure(figsize=(8, 0.28 * max(len(pairs), 3) + 1), layout="constrained")
    axes = figure.subplots()
    names = [f"{classes[i]}, called {classes[j]}" for i, j in pairs]
    bars = axes.barh(range(len(pairs)), [counts[pair] for pair in pairs], color="#5499c7")
    labels = [f" {counts[pair]} ({fractions[pair]:.0%} of the class)" for pair in pairs]
    axes.bar_label(bars, labels, fontsize=7)
    axes.set_yticks(range(len(pairs)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set(xlabel="items", title=f"accuracy {np.mean(truth == predicted):.3f}, the worst pairs")
    axes.margins(x=0.3)
    return figure
