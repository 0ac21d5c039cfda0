"""Figures of labels per step, as functions of numbers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from seqfuse.figures.plots import COLOURS, SHADING

MAX_CHANNELS = 3


class Strip(NamedTuple):
    """One series with a class per step, and where the net looked."""

    signals: Mapping[str, NDArray[np.float32]]
    """(t' c) as the net got it, by source: each spans the same time, at its own rate."""
    truth: NDArray[np.int64]
    """(t) class numbers."""
    predicted: NDArray[np.int64]
    """(t)"""
    weights: NDArray[np.float32]
    """(t) attention; sums to 1."""
    title: str


def step_classes(strips: Sequence[Strip], classes: Sequence[str], missing: str = "") -> Figure:
    """One block per series: true and predicted classes as bands, and each source below them.

    Attention is the shading behind the signals, times the number of steps: 1 where every step
    is looked at alike.

    Args:
        strips: the series; all have the same sources.
        classes: their names.
        missing: what to say of sources that are not there.
    """
    columns = min(len(strips), 2)
    rows, panels = -(-len(strips) // columns), len(strips[0].signals)
    size = (6.0 * columns, (0.9 + 1.1 * panels) * rows + 1.0)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(rows, columns, squeeze=False).ravel()
    colours = _colours(len(classes))
    top = max(2.0, *(float(one.weights.max()) * len(one.weights) for one in strips))
    for block, strip in zip(blocks, strips, strict=False):
        axes = block.subplots(panels + 1, 1, sharex=True, height_ratios=[0.5, *[1] * panels])
        _bands(axes[0], strip, colours)
        for panel, name in zip(axes[1:], strip.signals, strict=True):
            _signal(panel, strip, name, top)
        axes[-1].set_xlabel("time step", fontsize=8)
    patches = [Patch(color=c, label=n) for c, n in zip(colours.colors, classes, strict=True)]  # type: ignore[arg-type]
    figure.legend(
        handles=patches,
        loc="outside upper center",
        ncols=min(len(classes), 6),
        frameon=False,
        fontsize=8,
    )
    shading = f"shading: attention, from 0 to {top:.1f} (1 = every step alike)"
    figure.supxlabel("; ".join(filter(None, [shading, missing])), fontsize=8)
    return figure


def _colours(count: int) -> ListedColormap:
    palette = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
    return ListedColormap([palette(i % palette.N) for i in range(count)])


def _bands(axes: Axes, strip: Strip, colours: ListedColormap) -> None:
    """The truth above, what was predicted below."""
    steps = len(strip.truth)
    axes.imshow(
        np.stack([strip.truth, strip.predicted]),
        extent=(0, steps, 0, 2),
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=-0.5,
        vmax=len(colours.colors) - 0.5,  # type: ignore[arg-type]
    )
    axes.axhline(1, color="white", linewidth=1.5)
    axes.set_yticks([1.5, 0.5], ["true", "predicted"], fontsize=7)
    axes.tick_params(length=0)
    axes.set_title(strip.title, fontsize=9)


def _signal(axes: Axes, strip: Strip, name: str, top: float) -> None:
    signal, steps = strip.signals[name], len(strip.truth)
    shown = signal[:, :MAX_CHANNELS]
    low, high = float(shown.min()), float(shown.max())
    margin = 0.08 * (high - low or 1)
    axes.imshow(
        (strip.weights * len(strip.weights))[None],
        extent=(0, steps, low - margin, high + margin),
        aspect="auto",
        cmap=SHADING,
        vmin=0,
        vmax=top,
    )
    time = (np.arange(len(signal)) + 0.5) * steps / len(signal)
    for c in range(shown.shape[1]):
        axes.plot(time, shown[:, c], color=COLOURS[c], linewidth=0.8)
    axes.set_xlim(0, steps)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=7)
    part = f"\n{shown.shape[1]} of {signal.shape[1]} channels"
    axes.set_ylabel(name + (part if signal.shape[1] > shown.shape[1] else ""), fontsize=7)
