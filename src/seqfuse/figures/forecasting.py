"""Forecasts: history with attention behind it, truth, median and bands, in the user's units."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from seqfuse.figures import drawing
from seqfuse.figures.collect import Figures, Item, Result

BANDS = (80, 95)


class Panel(NamedTuple):
    """One forecast beside what happened."""

    time: NDArray[np.datetime64] | NDArray[np.int64]
    """(t + h) time stamps, or numbers of rows."""
    history: NDArray[np.float64]
    """(t)"""
    truth: NDArray[np.float64]
    """(h)"""
    prediction: NDArray[np.float64]
    """(h p) quantiles in order."""
    levels: Sequence[float]
    """(p)"""
    weights: NDArray[np.floating]
    """(t) attention relative to its mean over the whole look-back."""
    title: str


class ForecastFigures(Figures):
    """Windows from all over the split, each with another target."""

    def draw(self, result: Result) -> dict[str, Figure]:
        panels = [_panel(result, number, item) for number, item in enumerate(result.items)]
        return {"forecasts": forecasts(panels)} if panels else {}


def _panel(result: Result, number: int, item: Item) -> Panel:
    splits, pipeline, row = result.splits, result.splits.pipeline, item.index
    (x,), k = item.x.values(), pipeline.num_targets
    target, shown = (k - 1 - number) % k, min(len(x), 3 * splits.horizon)
    start = str(splits.times(row, row + 1)[0]).replace("T", " ")
    return Panel(
        splits.times(row - shown, row + splits.horizon),
        splits.undo(x[-shown:, :k], row)[:, target],
        splits.undo(item.truth, row)[:, target],
        splits.undo(item.answer, row, outputs=True)[:, target],
        result.task.record.config["task"]["quantiles"],
        item.weights[-shown:],
        f"{pipeline.columns[target]}, from {start}",
    )


def forecasts(panels: Sequence[Panel]) -> Figure:
    """One panel per window."""
    figure, grid = drawing.grid(len(panels), 2, size=(5.4, 2.3), margin=(0, 0.5))
    for axes, panel in zip(grid, panels, strict=True):
        _forecast(axes, panel)
    attention = Patch(color=drawing.SHADING(0.5), label="attention")
    drawing.legend(figure, [*grid[0].get_legend_handles_labels()[0], attention])
    return figure


def _forecast(axes: Axes, panel: Panel) -> None:
    past, quantiles = len(panel.history), panel.prediction
    time, middle = panel.time, quantiles.shape[1] // 2
    axes.plot(time[:past], panel.history, color=drawing.COLOURS[0], linewidth=1, label="history")
    axes.plot(time[past:], panel.truth, color="#555555", linewidth=1, label="truth")
    colour = drawing.COLOURS[1]
    for i in range(middle):
        level = round(100 * (1 - 2 * panel.levels[i]))
        if level in BANDS:
            ends = quantiles[:, i], quantiles[:, -1 - i]
            alpha = 0.18 if level == max(BANDS) else 0.3
            label = f"{level} % band"
            axes.fill_between(time[past:], *ends, color=colour, alpha=alpha, lw=0, label=label)
    name = "median" if middle else "forecast"
    axes.plot(time[past:], quantiles[:, middle], color=colour, linewidth=1.3, label=name)
    dated = time.dtype.kind == "M"
    edges = mdates.date2num(time) if dated else time
    extent = (edges[0], edges[past - 1], *axes.get_ylim())
    drawing.shade(axes, panel.weights, extent, drawing.brightest([panel.weights], 4.0))
    if dated:
        axes.xaxis_date()
        axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(labelsize=7)
