"""Explanations: what each step and channel of an item contributes to its prediction."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqfuse.figures import clips, drawing
from seqfuse.figures.drawing import ATTRIBUTION, Array
from seqfuse.figures.texts import Sentence, sentences
from seqfuse.runtime.explanations.explained import Explanation, Source
from seqfuse.runtime.pipelines.clips import REGIONS

MAX_LANES = 24
"""Channels of a heat map: those that contribute most."""
WORDS = ("word", "token")
"""Name of the words of a text among its steps."""


def explanation(item: Explanation) -> Figure:
    """An item with its attributions: words, frames with regions, or signals above heat maps."""
    title = f"{_name(item)}: {item.what}, {item.score:.3g} {item.unit}"
    first = item.sources[0]
    words = next((item.steps[name] for name in WORDS if name in item.steps), None)
    if words is not None and len(item.sources) == 1:
        text = Sentence(list(words), first.values.sum(axis=1), title)
        return sentences([text], ATTRIBUTION, item.label)
    if first.signal.ndim == 4 and len(item.sources) == 1:
        return _clip(item, title)
    drawn = [source for source in item.sources if source.values.size]
    figure = Figure(figsize=(9, 3.4 * len(drawn) + 0.4), layout="constrained")
    top = max(float(np.abs(source.values).max()) for source in drawn) or 1.0
    panels = figure.subplots(2 * len(drawn), 1, squeeze=False)[:, 0]
    for source, upper, lower in zip(drawn, panels[::2], panels[1::2], strict=True):
        steps = np.asarray(item.steps.get("step", np.arange(1, len(source.values) + 1)))
        if len(steps) != len(source.values):  # of another source
            steps = np.arange(1, len(source.values) + 1)
        lanes = _lanes(source)
        _signal(upper, source, lanes, steps)
        _heat(lower, source, lanes, steps, top)
        upper.set_ylabel(source.name or "scaled value", fontsize=8)
        upper.sharex(lower)
    panels[-1].set_xlabel(
        "step (0: the last that was seen)" if "step" in item.steps else "step", fontsize=8
    )
    drawing.shading_bar(figure, panels.tolist(), top, item.label, ATTRIBUTION)
    figure.suptitle(title, fontsize=10)
    return figure


def _name(item: Explanation) -> str:
    return ", ".join(f"{name} {each}" for name, each in item.columns.items())


def _lanes(source: Source) -> Array:
    most = np.argsort(-np.abs(source.values).sum(axis=0), kind="stable")
    return np.sort(most[:MAX_LANES])


def _signal(axes: Axes, source: Source, lanes: Array, steps: Array) -> None:
    """The channels that contribute most, scaled as the net got them."""
    values = np.asarray(source.signal, dtype=float).reshape(len(source.signal), -1)
    is_whole = list(source.channels) == [""]
    columns = np.arange(values.shape[1]) if is_whole else lanes
    weight = values.std(axis=0) if is_whole else np.abs(source.values).sum(axis=0)
    ranked = columns[np.argsort(-weight[columns], kind="stable")][: drawing.MAX_CHANNELS]
    groups = source.groups.ravel().tolist()
    place = np.linspace(steps[0], steps[-1], len(values))
    for channel, colour in zip(np.sort(ranked).tolist(), drawing.COLOURS, strict=False):
        line = values[:, channel if is_whole else groups.index(channel)]
        if not is_whole:  # what is to be forecast is not there
            line = np.where(source.present[:, channel], line, np.nan)
        name = f"channel {channel}" if is_whole else f"channel {source.channels[channel]}"
        axes.plot(place, line, color=colour, linewidth=0.9, label=name)
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=drawing.MAX_CHANNELS)
    axes.margins(y=0.25)
    axes.tick_params(labelsize=7, labelbottom=False)


def _heat(axes: Axes, source: Source, lanes: Array, steps: Array, top: float) -> None:
    """Attributions, a row for each channel."""
    extent = (steps[0] - 0.5, steps[-1] + 0.5, len(lanes) - 0.5, -0.5)
    shown: Any = np.where(source.present, source.values, np.nan)[:, lanes].T
    style: Any = {"aspect": "auto", "interpolation": "nearest", "vmin": -top, "vmax": top}
    axes.imshow(shown, extent=extent, cmap=ATTRIBUTION.colours, **style)
    names = [str(source.channels[i]) or "all channels" for i in lanes.tolist()]
    axes.set_yticks(range(len(lanes)), names)
    axes.tick_params(labelsize=7 if len(lanes) <= 12 else 5)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    if len(lanes) < len(source.channels):
        axes.set_ylabel(f"{len(lanes)} of {len(source.channels)} channels", fontsize=7)


def _clip(item: Explanation, title: str) -> Figure:
    """Frames of a clip above the attributions of their regions."""
    [source] = item.sources
    figure = Figure(figsize=(13, 2.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    shown = clips.strip(upper, source.signal)
    side = REGIONS if len(source.channels) > 1 else 1
    grids = source.values[shown].reshape(len(shown), side, side)
    top = float(np.abs(source.values).max()) or 1.0
    image = grids.transpose(1, 0, 2).reshape(side, len(shown) * side)
    style: Any = {"aspect": "auto", "interpolation": "nearest", "vmin": -top, "vmax": top}
    lower.imshow(image, extent=(0, len(shown), 0, 1), cmap=ATTRIBUTION.colours, **style)
    for frame in range(1, len(shown)):
        lower.axvline(frame, color="white", linewidth=1.5)
    for axes in (upper, lower):
        axes.set_yticks([])
    upper.tick_params(labelbottom=False, length=0)
    lower.set_xticks(np.arange(len(shown)) + 0.5, (shown + 1).tolist(), fontsize=7)
    lower.set_xlabel("frame", fontsize=8)
    drawing.shading_bar(figure, [upper, lower], top, item.label, ATTRIBUTION)
    figure.suptitle(title, fontsize=10)
    return figure


class ExplanationFiles:
    """A .png of each explanation, in the order in which they come."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, folder: Path, item: Explanation) -> None:
        self.count += 1
        stem = re.sub(r"[^\w.-]+", "_", _name(item)).removesuffix(".png").strip("._")[:60]
        image = drawing.pixels(explanation(item), dpi=120)
        drawing.save(folder / f"{self.count:03d}_{stem}.png", image)
