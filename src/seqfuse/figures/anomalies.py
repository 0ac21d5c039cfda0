"""Recordings with their anomaly scores, the threshold and the labelled windows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seqfuse.figures import drawing
from seqfuse.figures.collect import Figures, Result
from seqfuse.tasks.measures import Scored

MAX_POINTS = 2000


class AnomalyFigures(Figures):
    """Recordings from all over the test data, as the task has scored them."""

    def draw(self, result: Result) -> dict[str, Figure]:
        scored = [each for each in result.task.scored if each.recording.windows]
        if not scored:
            return {}
        places = np.linspace(0, len(scored) - 1, min(self.max_panels, len(scored)))
        chosen = [scored[i] for i in places.round().astype(int)]
        return {"anomalies": anomalies(chosen, result.task.threshold)}


def anomalies(scored: Sequence[Scored], threshold: float) -> Figure:
    """For each recording its first channel, and below it the score."""
    columns = min(len(scored), 2)
    rows = -(-len(scored) // columns)
    figure = Figure(figsize=(6 * columns, 2.2 * rows + 0.5), layout="constrained")
    blocks = figure.subfigures(rows, columns, squeeze=False).ravel()[: len(scored)]
    for block, each in zip(blocks, scored, strict=True):
        upper, lower = block.subplots(2, sharex=True, height_ratios=(2, 1))
        _recording(upper, each)
        _line(lower, each.scores, drawing.COLOURS[2], "score")
        lower.axhline(threshold, color="#d35400", linewidth=1, linestyle="--", label="threshold")
        lower.set(xlim=(0, len(each.scores)), ylim=(0, 1.02))
        for axes in (upper, lower):
            axes.tick_params(labelsize=7)
    handles = [handle for axes in (upper, lower) for handle in axes.get_legend_handles_labels()[0]]
    drawing.legend(figure, handles)
    return figure


def _recording(axes: Axes, scored: Scored) -> None:
    recording = scored.recording
    _line(axes, recording.values[:, 0], drawing.COLOURS[0], recording.columns[0])
    for i, (start, end) in enumerate(recording.windows):
        label = "labelled" if not i else None
        axes.axvspan(start, end + 1, color="#e74c3c", alpha=0.25, lw=0, label=label)
    axes.axvspan(0, recording.num_train, color="grey", alpha=0.15, lw=0, label="trained on")
    axes.set_title(f"{recording.name}: {recording.columns[0]}", fontsize=9)


def _line(axes: Axes, values: NDArray, colour: str, label: str) -> None:
    """At most so many points: the minimum and maximum of each stretch, so no peak is lost."""
    size = max(1, -(-2 * len(values) // MAX_POINTS))
    heads = np.arange(0, len(values), size)
    low, high = np.minimum.reduceat(values, heads), np.maximum.reduceat(values, heads)
    middle = np.repeat(np.minimum(heads + size / 2, len(values) - 1), 2)
    points = np.column_stack([low, high]).ravel()
    axes.plot(middle, points, color=colour, linewidth=0.8, label=label)
