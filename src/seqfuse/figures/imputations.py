"""Imputed values: windows with gaps, what was held out, what the net and a straight line say."""

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
from seqfuse.runtime.read.table.stamps import shown_in

Values = NDArray[np.float64]


class GapPanel(NamedTuple):
    """One column of a window, in the user's units; NaN where there is nothing to show."""

    time: NDArray[np.datetime64] | NDArray[np.int64]
    """(t) time stamps, or numbers of rows."""
    seen: Values
    """(t)"""
    truth: Values
    """(t) values that were held out."""
    imputed: Values
    """(t) of these."""
    interpolated: Values
    """(t) of these."""
    weights: NDArray[np.floating]
    """(t) attention relative to its mean."""
    title: str


class ImputationFigures(Figures):
    """Windows from all over the split, each with another column."""

    def draw(self, result: Result) -> dict[str, Figure]:
        panels = [_panel(result, number, item) for number, item in enumerate(result.items)]
        return {"imputations": imputations(panels)} if panels else {}


def _panel(result: Result, number: int, item: Item) -> GapPanel:
    splits, pipeline, first = result.splits, result.splits.pipeline, item.index
    (x,), columns, targets = item.x.values(), len(pipeline.columns), pipeline.num_targets
    target = number % targets
    is_seen, hidden = x[:, columns + target] > 0, ~np.isnan(item.truth[:, target])
    line = pipeline.undo(x[:, :targets])[:, target]
    filled = pipeline.undo(item.answer[..., item.answer.shape[2] // 2])[:, target]
    time = splits.times(first, first + len(x))
    return GapPanel(
        time,
        np.where(is_seen, line, np.nan),
        pipeline.undo(item.truth)[:, target],
        np.where(hidden, filled, np.nan),
        np.where(hidden, line, np.nan),
        item.weights,
        f"{pipeline.columns[target]}, from {shown_in(time, 0)}",
    )


def imputations(panels: Sequence[GapPanel]) -> Figure:
    """One panel per window."""
    figure, grid = drawing.grid(len(panels), 2, size=(5.4, 2.3), margin=(0, 0.5))
    for axes, panel in zip(grid, panels, strict=True):
        _imputation(axes, panel)
    attention = Patch(color=drawing.SHADING(0.5), label="attention")
    drawing.legend(figure, [*grid[0].get_legend_handles_labels()[0], attention])
    return figure


def _imputation(axes: Axes, panel: GapPanel) -> None:
    dated = panel.time.dtype.kind == "M"
    time = mdates.date2num(panel.time) if dated else panel.time
    axes.plot(time, panel.seen, ".-", color=drawing.COLOURS[0], linewidth=1, ms=2, label="seen")
    marks = {"linestyle": "none", "markersize": 4}
    axes.plot(time, panel.truth, "o", color="#555555", mfc="none", label="held out", **marks)
    colours = {"imputed": drawing.COLOURS[1], "interpolation": drawing.WRONG}
    for (label, colour), values, mark in zip(
        colours.items(), (panel.imputed, panel.interpolated), "x_", strict=True
    ):
        axes.plot(time, values, mark, color=colour, label=label, **marks)
    extent = (time[0], time[-1], *axes.get_ylim())
    drawing.shade(axes, panel.weights, extent, drawing.brightest([panel.weights], 4.0))
    if dated:
        drawing.dates(axes)
    axes.set_xlim(time[0], time[-1])
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(labelsize=7)
