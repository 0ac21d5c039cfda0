"""Numbers of items: predicted against true, with the band, and where the net looked."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from seqfuse.figures import drawing
from seqfuse.figures.classification import ItemFigures
from seqfuse.figures.collect import Item, Result
from seqfuse.figures.drawing import Array

MAX_POINTS = 2000
"""Items drawn, evenly spread over the split."""


class NumberFigures(ItemFigures):
    """Predicted against true numbers of all items, and attention over some."""

    def draw(self, result: Result) -> dict[str, Figure]:
        _, truth, outputs = result.numbers
        labels = result.splits.pipeline.labels
        true = labels.undo(truth[..., None])[..., 0]
        drawn = predictions(true, labels.undo(outputs), labels.targets)
        return self.drawn(result, predictions=drawn)

    def title(self, item: Item, result: Result) -> str:
        """The true number, the predicted one, and the row; of several targets the first."""
        labels = result.splits.pipeline.labels
        true = labels.undo(item.truth[None, :, None])[0, 0, 0]
        outputs = labels.undo(item.answer[None])[0, 0]
        return f"{true:.4g}, predicted {outputs[len(outputs) // 2]:.4g} (row {item.index})"


def predictions(truth: Array, outputs: Array, names: Sequence[str]) -> Figure:
    """One panel per target: predicted against true, with the outermost band of each item.

    Truth (n k) is in the user's units, NaN where missing; a single quantile of the outputs (n k p),
    which are in order, is a point without a band.
    """
    figure, panels = drawing.grid(len(names), 3, size=(4.2, 4.0), margin=(0.3, 0.3))
    rows = np.linspace(0, len(truth) - 1, min(len(truth), MAX_POINTS)).round().astype(int)
    for i, (panel, name) in enumerate(zip(panels, names, strict=True)):
        observed = rows[~np.isnan(truth[rows, i])]
        true, each = truth[observed, i], outputs[observed, i]
        point, low, high = each[:, each.shape[1] // 2], each[:, 0], each[:, -1]
        if each.shape[1] > 1:
            inside = np.mean((true >= low) & (true <= high)) if len(true) else np.nan
            label = f"band, {inside:.0%} within"
            style = {"color": "#aab7b8", "linewidth": 0.6, "alpha": 0.6, "label": label}
            panel.vlines(true, low, high, **style)
        panel.scatter(true, point, s=6, color=drawing.COLOURS[0], zorder=2, label="item")
        ends = [min(true.min(initial=np.inf), point.min(initial=np.inf)),
                max(true.max(initial=-np.inf), point.max(initial=-np.inf))]  # fmt: skip
        panel.plot(ends, ends, color=drawing.WRONG, linewidth=0.9, label="predicted = true")
        error = np.abs(point - true).mean() if len(true) else np.nan
        panel.set(xlabel=f"true {name}", ylabel="predicted", title=f"MAE {error:.4g}")
        panel.legend(frameon=False, fontsize=7)
        panel.tick_params(labelsize=7)
    return figure
