"""Draws recordings with their scores, the threshold and the labelled windows."""

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.figures.figures import Figures
from seqfuse.figures.plots import COLOURS
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.measures import Scored

MAX_POINTS = 2000


class AnomalyFigures(Figures):
    """Recordings from all over the test data; drawn after testing."""

    def clear(self) -> None:
        """Nothing is collected: the task keeps what it scored."""

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        """Nothing."""

    def merge(self) -> None:
        """Nothing: every rank has all scores."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Too early: the task scores at this moment."""

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.keep(trainer, trainer.datamodule.evaluated)  # type: ignore[attr-defined]

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        task: Any = trainer.lightning_module
        scored = [one for one in getattr(task, "scored", []) if one.recording.windows]
        if not scored:
            return {}
        chosen = np.linspace(0, len(scored) - 1, min(self.max_panels, len(scored)))
        return {"anomalies": anomalies([scored[round(i)] for i in chosen], task.threshold)}


def anomalies(scored: list[Scored], threshold: float) -> Figure:
    """For each recording its first channel, and below it the score."""
    columns = min(len(scored), 2)
    rows = -(-len(scored) // columns)
    figure = Figure(figsize=(6 * columns, 2.2 * rows + 0.5), layout="constrained")
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    for part, one in zip(parts, scored, strict=False):
        upper, lower = part.subplots(2, sharex=True, height_ratios=(2, 1))
        _series(upper, one)
        _scores(lower, one, threshold)
    handles = [*upper.get_legend_handles_labels()[0], *lower.get_legend_handles_labels()[0]]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8
    )
    return figure


def _series(axes: Axes, one: Scored) -> None:
    _line(axes, one.recording.values[:, 0], COLOURS[0], one.recording.columns[0])
    for i, (start, end) in enumerate(one.recording.windows):
        label = "labelled" if not i else None
        axes.axvspan(start, end + 1, color="#e74c3c", alpha=0.25, lw=0, label=label)
    axes.axvspan(0, one.recording.num_train, color="grey", alpha=0.15, lw=0, label="trained on")
    axes.set_title(f"{one.recording.name}: {one.recording.columns[0]}", fontsize=9)
    axes.tick_params(labelsize=7)


def _scores(axes: Axes, one: Scored, threshold: float) -> None:
    _line(axes, one.scores, COLOURS[2], "score")
    axes.axhline(threshold, color="#d35400", linewidth=1, linestyle="--", label="threshold")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, len(one.scores))
    axes.tick_params(labelsize=7)


def _line(axes: Axes, values: np.ndarray, colour: str, label: str) -> None:
    """At most so many points; of each stretch its least and its greatest, so no peak is lost."""
    size = max(1, -(-2 * len(values) // MAX_POINTS))
    heads = np.arange(0, len(values), size)
    low, high = np.minimum.reduceat(values, heads), np.maximum.reduceat(values, heads)
    middle = np.minimum(heads + size / 2, len(values) - 1)
    axes.plot(
        np.repeat(middle, 2),
        np.column_stack([low, high]).ravel(),
        color=colour,
        linewidth=0.8,
        label=label,
    )
