"""Words as people read them, with attention behind them and tags below."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from seqfuse.figures.plots import SHADING

WIDTH = 110
"""Characters of a line."""
MOST = 120
"""Words of a text that are drawn."""
RIGHT, WRONG = "#0b7a5b", "#c0392b"


class Sentence(NamedTuple):
    """One text and where the net looked."""

    words: Sequence[str]
    weights: NDArray[np.float32]
    """(t) attention per word."""
    title: str
    truth: Sequence[str] = ()
    """(t) tags, where each word has one."""
    found: Sequence[str] = ()


def sentences(examples: Sequence[Sentence]) -> Figure:
    """Texts below each other; a word is shaded by its attention, 1 being every word alike.

    Below a word stands its tag; where the net was wrong, in red what it said instead.
    """
    height = 3 if examples[0].truth else 1.4
    placed = [_place(one) for one in examples]
    rows = sum(1.6 + height * (lines[-1][0] + 1) for lines in placed)
    figure = Figure(figsize=(0.085 * WIDTH, max(0.17 * rows + 0.6, 2.2)), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, WIDTH), ylim=(max(rows, 9.0), 0))
    if examples[0].truth:
        axes.set_title("green: true tag; red: what the net said instead", fontsize=8, loc="left")
    axes.axis("off")
    top = max(2.0, *(float(one.weights.max()) * len(one.words) for one in examples))
    y = 0.0
    for example, cells in zip(examples, placed, strict=True):
        axes.text(0, y + 0.9, _title(example), fontsize=8, weight="bold", va="center")
        for i, (line, x, size) in enumerate(cells):
            share = example.weights[i] * len(example.words)
            _draw(axes, example, i, (x, y + 1.6 + height * line), size, share / top)
        y += 1.6 + height * (cells[-1][0] + 1)
    _bar(figure, axes, top)
    return figure


def _place(one: Sentence) -> list[tuple[int, int, int]]:
    """Line, first character and width of each word."""
    cells, line, x = [], 0, 0
    for i, word in enumerate(one.words[:MOST]):
        size = max(map(len, [word[:40], *one.truth[i : i + 1], *_mistake(one, i)]))
        if x + size > WIDTH and x:
            line, x = line + 1, 0
        cells.append((line, x, size))
        x += size + 1
    return cells


def _title(one: Sentence) -> str:
    size = len(one.words)
    return one.title + (f", the first {MOST} of {size:,} words" if size > MOST else "")


def _mistake(one: Sentence, i: int) -> list[str]:
    return [one.found[i]] if one.truth and one.found[i] != one.truth[i] else []


def _draw(
    axes: Axes, one: Sentence, i: int, where: tuple[float, float], size: int, share: float
) -> None:
    x, y = where
    shade = SHADING(min(float(share), 1.0))
    axes.add_patch(Rectangle((x - 0.2, y), size + 0.4, 0.95, facecolor=shade, edgecolor="none"))
    style: dict[str, Any] = {"family": "monospace", "fontsize": 7, "va": "center"}
    axes.text(x, y + 0.5, one.words[i][:40], **style)
    tag = one.truth[i] if one.truth else ""
    if tag not in ("", "O"):
        axes.text(x, y + 1.4, tag, color=RIGHT, **{**style, "fontsize": 6})
    for wrong in _mistake(one, i):
        axes.text(x, y + 2.2, wrong, color=WRONG, **{**style, "fontsize": 6})


def _bar(figure: Figure, axes: Axes, top: float) -> None:
    image = axes.imshow([[0, top]], cmap=SHADING, vmin=0, vmax=top, extent=(0, 0, 0, 0))
    axes.set_aspect("auto")
    axes.set_xlim(0, WIDTH)  # the image has moved it
    bar = figure.colorbar(image, ax=axes, aspect=20, pad=0.01, shrink=0.8)
    bar.set_label("attention (1 = every word alike)", fontsize=7)
    bar.ax.tick_params(labelsize=6)


def worst_pairs(
    truth: NDArray, predicted: NDArray, classes: Sequence[str], max_pairs: int = 20
) -> Figure:
    """The pairs of classes that were taken for each other most often."""
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (truth, predicted), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:max_pairs]
    pairs = [(int(i) // len(classes), int(i) % len(classes)) for i in order]
    pairs = [(i, j) for i, j in pairs if counts[i, j]]
    figure = Figure(figsize=(8, 0.28 * max(len(pairs), 3) + 1), layout="constrained")
    axes = figure.subplots()
    names = [f"{classes[i]}, called {classes[j]}" for i, j in pairs]
    axes.barh(range(len(pairs)), [counts[pair] for pair in pairs], color="#5499c7")
    axes.set_yticks(range(len(pairs)), names, fontsize=7)
    axes.invert_yaxis()
    for place, pair in enumerate(pairs):
        text = f" {counts[pair]} ({share[pair]:.0%} of the class)"
        axes.text(counts[pair], place, text, va="center", fontsize=7)
    axes.set(xlabel="items", title=f"accuracy {np.mean(truth == predicted):.3f}, the worst pairs")
    axes.margins(x=0.25)
    return figure
