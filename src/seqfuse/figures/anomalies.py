"""Recordings with their anomaly scores, the threshold and the labelled windows."""

from collections.abc import Sequence

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_curve,
)

from seqfuse.figures import drawing
from seqfuse.figures.collect import Figures, Result
from seqfuse.figures.drawing import Array
from seqfuse.runtime.read.monitored import Recording
from seqfuse.tasks.measures import Scored

MAX_POINTS = 2000
MAX_CHANNELS = 12
"""Channels of a recording that are drawn."""


class AnomalyFigures(Figures):
    """Recordings from all over the test data, as the task has scored them."""

    def draw(self, result: Result) -> dict[str, Figure]:
        scored = [each for each in result.task.scored if each.recording.windows]
        if not scored:
            return {}
        places = np.linspace(0, len(scored) - 1, min(self.max_panels, len(scored)))
        chosen = [scored[i] for i in places.round().astype(int)]
        figures = {"anomalies": anomalies(chosen, result.task.threshold)}
        parts = zip(*(each.tested for each in result.task.scored), strict=True)
        labels, scores = (np.concatenate(part) for part in parts)
        if labels.any():
            figures["thresholds"] = thresholds(labels, scores, result.task.threshold)
        return figures


def anomalies(scored: Sequence[Scored], threshold: float) -> Figure:
    """For each recording its channels over time, in their own units, and below them the score."""
    columns = min(len(scored), 2)
    rows = -(-len(scored) // columns)
    lanes = max(min(each.recording.values.shape[1], MAX_CHANNELS) for each in scored)
    size = (6 * columns, (2.0 + 0.3 * lanes) * rows + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(rows, columns, squeeze=False).ravel()[: len(scored)]
    for block, each in zip(blocks, scored, strict=True):
        upper, lower = block.subplots(2, sharex=True, height_ratios=(2 + 0.4 * (lanes - 1), 1))
        time = _time(each.recording)
        _recording(upper, each.recording, time)
        _line(lower, time, each.scores, drawing.COLOURS[2], "score")
        lower.axhline(threshold, color="#d35400", linewidth=1, linestyle="--", label="threshold")
        lower.set(xlim=(time[0], time[-1]), ylim=(0, 1.02))
        lower.set_ylabel("score", fontsize=8)
        if each.recording.time.dtype.kind == "M":
            drawing.dates(lower)
        else:
            lower.set_xlabel("step", fontsize=8)
        for axes in (upper, lower):
            axes.tick_params(labelsize=7)
    named = {
        handle.get_label(): handle
        for axes in (upper, lower)
        for handle in axes.get_legend_handles_labels()[0]
    }
    drawing.legend(figure, list(named.values()))
    return figure


def thresholds(labels: Array, scores: Array, threshold: float) -> Figure:
    """Precision against recall, and both over the threshold, of steps behind the training part.

    Labels (t) are true where anomalous, scores (t) from 0 to 1, both of all recordings; no label
    has set the threshold.
    """
    precision, recall, places = precision_recall_curve(labels, scores, drop_intermediate=True)
    flags = scores >= threshold
    hits = float((labels & flags).sum())
    used = hits / max(float(flags.sum()), 1.0), hits / float(labels.sum())
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(recall, precision, color=drawing.COLOURS[0], linewidth=1.0)
    left.plot(*reversed(used), "o", color=drawing.WRONG, markersize=5)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.05))
    area = average_precision_score(labels, scores)
    left.set_title(f"average precision {area:.3f}", fontsize=9)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    lines = {"precision": precision, "recall": recall, "F1": f1}
    for (name, values), colour in zip(lines.items(), drawing.COLOURS, strict=True):
        right.plot(places, values[:-1], color=colour, linewidth=1.0, label=name)
    right.axvline(threshold, color=drawing.WRONG, linewidth=1, linestyle="--", label="threshold")
    at_used = f1_score(labels, flags, zero_division=0.0)  # type: ignore[arg-type]
    right.set(xlabel="threshold (threshold= of seqfuse-predict)", xlim=(0, 1.02), ylim=(0, 1.05))
    title = f"F1 {at_used:.3f} at the threshold, {f1.max():.3f} at the best in hindsight"
    right.set_title(title, fontsize=9)
    right.legend(fontsize=8, frameon=False)
    for axes in (left, right):
        axes.tick_params(labelsize=7)
    return figure


def _time(recording: Recording) -> Array:
    """(t) What the horizontal axis shows: matplotlib's dates, or numbers of steps."""
    time = recording.time
    return mdates.date2num(time) if time.dtype.kind == "M" else time.astype(float)  # type: ignore[return-value]


def _recording(axes: Axes, recording: Recording, time: Array) -> None:
    """One channel on its axis; several below each other, each between its own extremes."""
    count = recording.values.shape[1]
    shown = min(count, MAX_CHANNELS)
    if shown == 1:
        _line(axes, time, recording.values[:, 0], drawing.COLOURS[0], "values")
        axes.set_ylabel(recording.columns[0], fontsize=8)
    else:
        ticks = []
        for lane, name in enumerate(recording.columns[:shown]):
            values = recording.values[:, lane]
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            heights = (values - low) / (high - low or 1.0) * 0.85 + (shown - 1 - lane)
            _line(axes, time, heights, drawing.COLOURS[0], "values")
            ticks.append(f"{name}\n{low:.4g} to {high:.4g}")
        axes.set_yticks([shown - 0.6 - lane for lane in range(shown)], ticks)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(-0.1, shown)
    last = len(time) - 1
    for start, end in recording.windows:
        span = (time[start], time[min(end + 1, last)])
        axes.axvspan(*span, color="#e74c3c", alpha=0.25, lw=0, label="labelled")
    if recording.num_train:
        span = (time[0], time[min(recording.num_train, last)])
        axes.axvspan(*span, color="grey", alpha=0.15, lw=0, label="trained on")
    part = f" ({shown} of {count} channels)" if shown < count else ""
    axes.set_title(f"{recording.name}{part}", fontsize=9)


def _line(axes: Axes, time: Array, values: Array, colour: str, label: str) -> None:
    """At most so many points: the minimum and maximum of each stretch, so no peak is lost."""
    size = max(1, -(-2 * len(values) // MAX_POINTS))
    heads = np.arange(0, len(values), size)
    low, high = np.minimum.reduceat(values, heads), np.maximum.reduceat(values, heads)
    middle = np.minimum(heads + size // 2, len(values) - 1)
    points = np.column_stack([low, high]).ravel()
    axes.plot(np.repeat(time[middle], 2), points, color=colour, linewidth=0.8, label=label)
