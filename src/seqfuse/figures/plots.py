"""Figures, as functions of numbers. No global state: nothing to close."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from seqfuse.runtime import files

MAX_TICKS = 30
BANDS = (80, 95)
COLOURS = ("#1b4f72", "#0b7a5b", "#6c3483")
SHADING = LinearSegmentedColormap.from_list("shading", ["#ffffff", "#fdd0a2", "#fd9a4e"])


class Example(NamedTuple):
    """One real series and where the net looked."""

    signal: NDArray[np.float32]
    """(t c) as the net got it, without padding."""
    weights: NDArray[np.float32]
    """(t) attention per step; of another clock, if there are several sources."""
    title: str


class Panel(NamedTuple):
    """One forecast beside what happened, in the user's units."""

    time: NDArray[np.datetime64] | NDArray[np.int64]
    """(t + h) time stamps, or numbers of rows."""
    history: NDArray[np.float64]
    """(t)"""
    truth: NDArray[np.float64]
    """(h)"""
    prediction: NDArray[np.float64]
    """(h p) quantiles in order."""
    levels: Sequence[float]
    """(p) which."""
    weights: NDArray[np.float32]
    """(t) attention."""
    steps: int
    """Of the whole look-back, over which attention sums to 1."""
    title: str


def confusion_matrix(truth: NDArray, predicted: NDArray, classes: Sequence[str]) -> Figure:
    """Share of each true class (rows) that was called each class (columns)."""
    k = len(classes)
    counts = np.zeros((k, k), dtype=int)
    np.add.at(counts, (truth, predicted), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(3.5, 0.55 * k + 1.5), 12)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    _class_ticks(axes, classes)
    for i, j in np.argwhere(counts) if k <= MAX_TICKS else ():
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=f"accuracy {np.mean(truth == predicted):.3f}")
    return figure


def _class_ticks(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) > MAX_TICKS:
        return
    turn = 45 if max(map(len, classes)) > 3 else 0
    axes.set_xticks(range(len(classes)), classes, rotation=turn, ha="right" if turn else "center")
    axes.set_yticks(range(len(classes)), classes)


def reliability(
    truth: NDArray, probabilities: NDArray, num_bins: int = 10, unit: str = "items"
) -> Figure:
    """Accuracy against confidence (DeGroot & Fienberg 1983), with the size of each bin."""
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0, 1, num_bins + 1)
    where = np.clip(np.digitize(confidence, edges[1:-1]), 0, num_bins - 1)
    count = np.bincount(where, minlength=num_bins)
    share = np.bincount(where, hit, num_bins) / np.maximum(count, 1)
    mean = np.bincount(where, confidence, num_bins) / np.maximum(count, 1)
    ece = float((np.abs(share - mean) * count).sum() / len(truth))
    figure = Figure(figsize=(4.6, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="calibrated")
    full = count > 0
    upper.bar(
        edges[:-1][full], share[full], 1 / num_bins, align="edge", color="#5499c7", edgecolor="w"
    )
    upper.plot(mean[full], share[full], "o", color=COLOURS[0], markersize=4, label="bin")
    upper.set(ylabel="accuracy", ylim=(0, 1.02), title=f"expected calibration error {ece:.3f}")
    upper.legend(loc="upper left", frameon=False)
    lower.bar(edges[:-1], count, 1 / num_bins, align="edge", color="#aab7b8", edgecolor="w")
    lower.set(xlabel="confidence", ylabel=unit, xlim=(0, 1))
    return figure


def attention(examples: Sequence[Example], max_channels: int = 3) -> Figure:
    """One panel per example: the signal, and attention as shading behind it.

    Weights are multiplied by the number of steps, so that panels compare and an attention
    that looks everywhere alike is 1 everywhere.
    """
    columns = min(len(examples), 3)
    rows = -(-len(examples) // columns)
    figure = Figure(figsize=(2.4 * columns + 0.8, 1.5 * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(examples) :]:
        panel.set_visible(False)
    top = max(2.0, *(float(one.weights.max()) * len(one.weights) for one in examples))
    shown, channels = min(max_channels, examples[0].signal.shape[1]), examples[0].signal.shape[1]
    for panel, example in zip(panels, examples, strict=False):
        _draw(panel, example, shown, top)
    bar = figure.colorbar(panels[0].images[0], ax=panels.tolist(), aspect=40, pad=0.02)
    bar.set_label("attention (1 = every step alike)", fontsize=9)
    bar.ax.tick_params(labelsize=7)
    names = [f"channel {c}" for c in range(shown)]
    figure.legend(
        panels[0].lines, names, loc="outside upper center", ncols=shown, frameon=False, fontsize=8
    )
    figure.supxlabel("time step", fontsize=9)
    part = f" (first {shown} of {channels} channels)" if shown < channels else ""
    figure.supylabel(f"scaled value{part}", fontsize=9)
    return figure


def forecasts(panels: Sequence[Panel]) -> Figure:
    """One panel per window: history with attention behind it, truth, median and bands."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.4 * columns, 2.3 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid, panels, strict=False):
        _forecast(axes, panel)
    handles = [
        *grid[0].get_legend_handles_labels()[0],
        Patch(color=SHADING(0.5), label="attention"),
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def _forecast(axes: Axes, panel: Panel) -> None:
    past, quantiles = len(panel.history), panel.prediction
    time, middle = panel.time, quantiles.shape[1] // 2
    axes.plot(time[:past], panel.history, color=COLOURS[0], linewidth=1, label="history")
    axes.plot(time[past:], panel.truth, color="#555555", linewidth=1, label="truth")
    for i in range(middle):
        level = round(100 * (1 - 2 * panel.levels[i]))
        if level in BANDS:
            ends = quantiles[:, i], quantiles[:, -1 - i]
            shade = 0.18 if level == max(BANDS) else 0.3
            label = f"{level} % band"
            axes.fill_between(time[past:], *ends, color=COLOURS[1], alpha=shade, lw=0, label=label)
    name = "median" if middle else "forecast"
    axes.plot(time[past:], quantiles[:, middle], color=COLOURS[1], linewidth=1.3, label=name)
    low, high = axes.get_ylim()
    dated = time.dtype.kind == "M"
    edges = mdates.date2num(time) if dated else time
    shading = (panel.weights * panel.steps)[None]  # 1 where every step is looked at alike
    top = max(4.0, float(shading.max()))
    extent = (edges[0], edges[past - 1], low, high)
    axes.imshow(shading, extent=extent, aspect="auto", cmap=SHADING, vmin=0, vmax=top, zorder=-1)
    if dated:
        axes.xaxis_date()
        axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(labelsize=7)


def _draw(panel: Axes, example: Example, channels: int, top: float) -> None:
    steps, signal = len(example.signal), example.signal[:, :channels]
    low, high = float(signal.min()), float(signal.max())
    margin = 0.08 * (high - low or 1)
    panel.imshow(
        (example.weights * len(example.weights))[None],
        extent=(-0.5, steps - 0.5, low - margin, high + margin),
        aspect="auto",
        cmap=SHADING,
        vmin=0,
        vmax=top,
    )
    for c in range(channels):
        panel.plot(signal[:, c], color=COLOURS[c % len(COLOURS)], linewidth=1)
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.set_title(example.title, fontsize=9)
    panel.tick_params(labelsize=7)


def pixels(figure: Figure, dpi: int = 100) -> NDArray[np.uint8]:
    """The figure as an image, (height, width, 4)."""
    figure.set_dpi(dpi)
    for text in figure.findobj(Text):
        if "$" in text.get_text():  # type: ignore[attr-defined]
            text.set_parse_math(False)  # type: ignore[attr-defined]  # a word is no formula
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def save(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes an image as .png, into a folder that need not be there."""
    content = BytesIO()
    imsave(content, image, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content.getvalue())
