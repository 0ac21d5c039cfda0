"""Curves of a run: losses, a metric and the learning rate over epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqfuse.figures import drawing

STYLES = {
    "train/loss": (drawing.COLOURS[0], "training"),
    "val/loss": (drawing.WRONG, "validation"),
}


def curves(rows: Sequence[Mapping[str, float]], metric: str = "") -> Figure:
    """One panel each for losses, a metric and the learning rate, if any row has them.

    Rows are of epochs, in order: `epoch`, `lr` and what was measured, by name.
    """
    panels = [("loss", list(STYLES)), (metric.removeprefix("val/"), [metric]), ("lr", ["lr"])]
    measured = {name for row in rows for name in row}
    panels = [(title, names) for title, names in panels if measured & {*names}]
    figure, grid = drawing.grid(len(panels), 3, size=(3.8, 2.8), margin=(0.2, 0.2))
    for axes, (title, names) in zip(grid, panels, strict=True):
        for name in names:
            points = np.array([(row["epoch"], row[name]) for row in rows if name in row])
            if len(points):
                colour, label = STYLES.get(name, (drawing.COLOURS[1], None))
                marker = "o" if len(points) < 30 else ""
                axes.plot(*points.T, color=colour, label=label, linewidth=1.2, marker=marker, ms=3)
        values = np.array([row[name] for row in rows for name in names if name in row])
        if title in ("loss", "lr") and values.min() > 0 and values.max() > 10 * values.min():
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel="epoch", title="learning rate" if title == "lr" else title)
        axes.tick_params(labelsize=7)
        if len(names) > 1:
            axes.legend(frameon=False, fontsize=8)
    return figure
