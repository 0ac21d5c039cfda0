"""Forecasts: history with attention behind it, truth, median and bands, in the user's units."""

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib.dates as mdates
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from seqfuse.figures import drawing
from seqfuse.figures.collect import Figures, Item, Result
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.forecasts import Panel
from seqfuse.runtime.read.table.stamps import shown_in

BANDS = (80, 95)
MAX_PANELS = 48
"""Panels of one figure, at most."""


class ForecastFigures(Figures):
    """Windows from all over the split, each with another target."""

    def draw(self, result: Result) -> dict[str, Figure]:
        panels = [_panel(result, number, item) for number, item in enumerate(result.items)]
        return {"forecasts": forecasts(panels)} if panels else {}


def _panel(result: Result, number: int, item: Item) -> Panel:
    splits, pipeline, row = result.splits, result.splits.pipeline, item.index
    (x,), k = item.x.values(), pipeline.num_targets
    target, shown = (k - 1 - number) % k, min(len(x), 3 * splits.horizon)
    time = splits.times(row - shown, row + splits.horizon)
    return Panel(
        time,
        splits.undo(x[-shown:, :k], row)[:, target],
        splits.undo(item.truth, row)[:, target],
        splits.undo(item.answer, row, outputs=True)[:, target],
        result.task.record.config["task"]["quantiles"],
        item.weights[-shown:],
        f"{splits.name(row)} {pipeline.columns[target]}, from {shown_in(time, shown)}".strip(),
    )


def forecasts(panels: Sequence[Panel]) -> Figure:
    """One panel per window."""
    figure, grid = drawing.grid(len(panels), 2, size=(5.4, 2.3), margin=(0, 0.5))
    handles = {}
    for axes, panel in zip(grid, panels, strict=True):
        _forecast(axes, panel)
        handles |= {handle.get_label(): handle for handle in axes.get_legend_handles_labels()[0]}
    attention = Patch(color=drawing.SHADING(0.5), label="attention")
    drawing.legend(figure, [*handles.values(), attention])
    return figure


def _forecast(axes: Axes, panel: Panel) -> None:
    past, quantiles = len(panel.history), panel.prediction
    time, middle = panel.time, quantiles.shape[1] // 2
    axes.plot(time[:past], panel.history, color=drawing.COLOURS[0], linewidth=1, label="history")
    if not np.isnan(panel.truth).all():
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
        drawing.dates(axes)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_title(panel.title, fontsize=9)
    axes.tick_params(labelsize=7)


class FigureFiles:
    """Figures of forecasts for people: a .png of each series in a folder, or one of all.

    Args:
        where: a folder, which need not be there, or a .png.
        overwrite: whether a .png may be there already.
    """

    def __init__(self, where: str, overwrite: bool = False):
        self.path, self.overwrite = Path(where), overwrite
        self.written: list[Path] = []
        self._panels: list[Panel] = []
        self.is_single = self.path.suffix.lower() == ".png"
        if not self.is_single and (self.path.suffix or self.path.is_file()):
            raise InputError(f"figure={where} must be a folder, or end in .png")
        if self.is_single:
            self._check(self.path)

    def add(self, name: str, panels: Sequence[Panel]) -> None:
        if not self.is_single:
            self._write(self._named(name), panels)
            return
        self._panels += [panel._replace(title=f"{name} {panel.title}".strip()) for panel in panels]
        if len(self._panels) > MAX_PANELS:
            raise InputError(
                f"figure={self.path}: there are more than {MAX_PANELS} forecasts to draw: name a "
                "folder, which gets a figure of each series"
            )

    def close(self) -> None:
        if self._panels:
            self._write(self.path, self._panels)

    def _named(self, name: str) -> Path:
        """A file for a series, whose name may hold anything."""
        stem = re.sub(r"[^\w.-]", "_", name).strip("._") or "forecasts"
        path, number = self.path / f"{stem}.png", 1
        while path in self.written:
            number += 1
            path = self.path / f"{stem}_{number}.png"
        self._check(path)
        return path

    def _check(self, path: Path) -> None:
        if path.exists() and not self.overwrite:
            raise InputError(f"figure={path} exists: type overwrite=true or another name")

    def _write(self, path: Path, panels: Sequence[Panel]) -> None:
        drawing.save(path, drawing.pixels(forecasts(panels), dpi=150))
        self.written.append(path)
