"""Figures of a sweep: every job as a line, and what each setting does on its own."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seqfuse.config.mistakes import explain
from seqfuse.runtime import files
from seqfuse.runtime.shown import say
from seqfuse.search.jobs import SEED, Jobs

MAX_SETTINGS = 12
COLOURS = mpl.colormaps["viridis"]
Settings = Mapping[str, Sequence[str]]
"""By key, what each job had."""
Draw = Callable[[], Figure]
Numbers = NDArray[np.float64]


def figures(jobs: Jobs) -> dict[str, Draw]:
    """By file name: of what varied, if anything did and jobs completed."""
    done = jobs.completed
    if len(done.rows) < 2 or not done.metrics or not done.settings:
        return {}
    settings = {key: [str(row[key]) for row in done.rows] for key in done.settings[:MAX_SETTINGS]}
    metric = done.metrics[0]
    value = np.array([row[metric] for row in done.rows], float)
    found: dict[str, Draw] = {"main_effects": partial(main_effects, settings, value, metric)}
    if len(settings) > 1:
        found["parallel_coordinates"] = partial(parallel_coordinates, settings, value, metric)
    return found


def save(draw: Draw, path: Path) -> bool:
    """Draws into a PNG file; if that fails, says so: the sweep itself has not."""
    content = BytesIO()
    try:
        draw().savefig(content, dpi=120, format="png")
        files.write_shared(path, content.getvalue())
    except Exception as error:
        say(f"seqfuse: there is no {path.name}: {explain(error)}", file=sys.stderr)
        return False
    return True


def parallel_coordinates(settings: Settings, value: Numbers, metric: str) -> Figure:
    """One line per job through its settings to its metric, coloured by the metric."""
    columns = {key: _heights(given) for key, given in settings.items()}
    names = [*columns, metric]
    span = Normalize(value.min(), value.max())
    figure = Figure(figsize=(max(6.0, 1.7 * len(names)), 4.5), layout="constrained")
    axes = figure.subplots()
    lines = np.column_stack([*columns.values(), _unit(value)])
    for line, colour in zip(lines, COLOURS(span(value)), strict=True):
        axes.plot(line, color=colour, alpha=0.8, linewidth=1.4)
    for at, (key, heights) in enumerate(columns.items()):
        _axis(axes, at, heights, settings[key])
    axes.set_xticks(range(len(names)), [_wrapped(name) for name in names])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(span, COLOURS), ax=axes, label=metric)
    return figure


def _axis(axes: Axes, at: int, heights: Numbers, given: Sequence[str]) -> None:
    axes.axvline(at, color="#bbbbbb", linewidth=0.8, zorder=0)
    for height, label in dict(zip(heights, given, strict=True)).items():
        axes.annotate(
            _short(label),
            (at, height),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6},
        )


def main_effects(settings: Settings, value: Numbers, metric: str) -> Figure:
    """Per setting: each job's metric, and the mean over all jobs with the same value."""
    keys = [key for key in settings if key != SEED] or [SEED]
    figure = Figure(figsize=(max(4.0, 2.8 * len(keys)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for axes, key in zip(panels, keys, strict=True):
        _effect(axes, settings[key], value)
        axes.set_xlabel(_wrapped(key))
    panels[0].set_ylabel(metric)
    return figure


def _effect(axes: Axes, given: Sequence[str], value: Numbers) -> None:
    numbers = _numbers(given)
    where = _ranks(given) if numbers is None else numbers
    axes.plot(where, value, "o", color="#1b4f72", alpha=0.45, markersize=4)
    places = np.unique(where)
    if len(places) <= 12:
        means = [value[where == place].mean() for place in places]
        axes.plot(places, means, "D" if numbers is None else "-D", color="#c0392b", markersize=5)
    if numbers is not None and _is_wide(numbers):
        axes.set_xscale("log")
        axes.minorticks_off()
    if numbers is None or len(places) <= 6:
        labels = dict(zip(where, given, strict=True))
        axes.set_xticks(list(labels), [_short(one) for one in labels.values()], fontsize=8)


def _heights(given: Sequence[str]) -> Numbers:
    """From 0 to 1: by rank, and by size where numbers are many."""
    numbers = _numbers(given)
    if numbers is None or len(set(given)) <= 6:
        return _unit(_ranks(given))
    return _unit(np.log(numbers) if _is_wide(numbers) else numbers)


def _numbers(given: Sequence[str]) -> Numbers | None:
    try:
        return np.array(given, float)
    except ValueError:
        return None


def _ranks(given: Sequence[str]) -> Numbers:
    numbers = _numbers(given)
    order = np.array(given) if numbers is None else numbers
    return np.unique(order, return_inverse=True)[1].astype(float)


def _is_wide(numbers: Numbers) -> bool:
    return bool(numbers.min() > 0 and numbers.max() >= 10 * numbers.min())


def _unit(values: Numbers) -> Numbers:
    span = np.ptp(values)
    return (values - values.min()) / span if span else np.full_like(values, 0.5)


def _short(label: str) -> str:
    try:
        return f"{float(label):.3g}"
    except ValueError:
        return label[:20]


def _wrapped(name: str) -> str:
    """A dotted key over two lines."""
    head, dot, last = name.rpartition(".")
    return f"{head}{dot}\n{last}" if dot else name
