"""Elements of all figures: colours, signals shaded by attention, legends, images."""

import warnings
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.image import imsave
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from seqfuse.runtime import files

Array = NDArray[Any]
Extent = tuple[float, float, float, float]
COLOURS = ("#1b4f72", "#0b7a5b", "#6c3483")
RIGHT, WRONG = COLOURS[1], "#c0392b"
SHADING = LinearSegmentedColormap.from_list("shading", ["#ffffff", "#fdd0a2", "#fd9a4e"])
MAX_CHANNELS = 3
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Nirmala UI", "Noto Emoji", "Segoe UI Emoji", "Symbola"),
)
"""Fonts of Linux, Windows and macOS that hold what DejaVu Sans does not."""


class Scale(NamedTuple):
    """Colours of shading."""

    colours: Colormap
    lowest: float
    """The value at its lower end, as a multiple of that at its upper end."""
    label: str

    def colour(self, value: float, top: float) -> Any:
        place = (value / top - self.lowest) / (1 - self.lowest)
        return self.colours(min(max(place, 0.0), 1.0))


ATTENTION = Scale(SHADING, 0.0, "attention\n(1 = every {unit} alike)")
SIGNED = LinearSegmentedColormap.from_list("signed", ["#2e86c1", "#ffffff", "#e67e22"])
ATTRIBUTION = Scale(SIGNED, -1.0, "{unit}")


def grid(
    count: int, columns: int, size: tuple[float, float], margin: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """A figure of panels row by row, each of a size in inches."""
    columns = min(count, columns)
    rows = -(-count // columns)
    inches = (size[0] * columns + margin[0], size[1] * rows + margin[1])
    figure = Figure(figsize=inches, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[count:]:
        panel.set_visible(False)
    return figure, list(panels[:count])


def brightest(weights: Sequence[Array], at_least: float = 2.0) -> float:
    """The relative attention at the top of a scale that several panels share."""
    return max(at_least, *(float(each.max()) for each in weights))


def shade(axes: Axes, weights: Array, extent: Extent, top: float) -> None:
    """Relative attention (t) as shading: 1 where the net looks as at every other step."""
    style: Any = {"aspect": "auto", "cmap": SHADING, "vmin": 0, "vmax": top, "zorder": -1}
    axes.imshow(weights[None], extent=extent, **style)


def shading_bar(
    figure: Figure, axes: Any, top: float, unit: str, scale: Scale = ATTENTION, **style: Any
) -> None:
    """The scale of the shading."""
    style = {"aspect": 40, "pad": 0.02, **style}
    norm = Normalize(scale.lowest * top, top)
    bar = figure.colorbar(ScalarMappable(norm, scale.colours), ax=axes, **style)
    bar.set_label(scale.label.format(unit=unit), fontsize=9)
    bar.ax.tick_params(labelsize=7)


def remark(figure: Figure, text: str) -> None:
    """Adds a line below all panels, which is broken where it is wider than the figure."""
    lines = [line for line in (figure.get_supxlabel(), text) if line]
    figure.supxlabel("\n".join(lines), fontsize=8, wrap=True)


def signal(axes: Axes, values: Array, weights: Array, top: float) -> None:
    """The first channels of a signal (t' c), with attention (t) behind it.

    Both span the same time, each at its own rate; the unit is a step of attention.
    """
    steps, shown = len(weights), values[:, :MAX_CHANNELS]
    low, high = float(shown.min()), float(shown.max())
    margin = 0.08 * (high - low or 1)
    shade(axes, weights, (0, steps, low - margin, high + margin), top)
    time = (np.arange(len(values)) + 0.5) * steps / len(values)
    for channel, colour in zip(shown.T, COLOURS, strict=False):
        axes.plot(time, channel, color=colour, linewidth=0.9)
    axes.set_xlim(0, steps)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=7)


def dates(axes: Axes) -> None:
    """Ticks of a horizontal axis of time stamps."""
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))


def legend(figure: Figure, handles: Sequence[Any], columns: int = 6) -> None:
    """A legend above all panels."""
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), columns),
        frameon=False,
        fontsize=8,
    )


@cache
def fallbacks() -> list[str]:
    """Fonts of this machine with signs that matplotlib's own lacks."""
    names = set(get_font_names())
    return [name for name in FONTS if name in names]


def pixels(figure: Figure, dpi: int = 100) -> NDArray[np.uint8]:
    """The figure as an image, (height, width, 4)."""
    figure.set_dpi(dpi)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if "$" in text.get_text():
            text.set_parse_math(False)  # a word is no formula
        if not text.get_text().isascii() and (more := fallbacks()):
            text.set_fontfamily([*text.get_fontfamily(), *more])
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for it
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def save(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes an image as .png, into a folder that need not be there."""
    content = BytesIO()
    imsave(content, image, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, content.getvalue())
