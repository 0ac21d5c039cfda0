"""Draws clips with the attention each frame got, and which recordings the errors are in."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import Tensor

from seqfuse.figures.figures import ClassFigures, Figures, spread
from seqfuse.figures.plots import COLOURS, SHADING, Example, confusion_matrix, reliability
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.metrics import auroc

PER_KIND = 2  # clips of each class and each answer
MOST_FRAMES = 16  # that are drawn of a clip
MOST_SOURCES = 40


class ClipFigures(ClassFigures):
    """Confusion matrix, reliability diagram, clips frame by frame, and errors by source."""

    def slot(self, label: int, guess: int) -> tuple[int, ...]:
        """Clips that were called right, and such that were not."""
        slots = [(label, guess, i) for i in range(PER_KIND)]
        return next((slot for slot in slots if slot not in self._examples), slots[0])

    def signal(self, trainer: Trainer, batch: Batch, i: int, steps: int) -> Any:
        return batch.x[i, :steps].float().cpu().numpy()

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        if not self._truth:
            return {}
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        classes = data.splits.pipeline.classes
        raw = data.splits.rows(data.evaluated if trainer.testing else "val")[0]
        truth = np.concatenate([y.numpy() for y in self._truth])
        probabilities = np.concatenate([p.numpy() for p in self._probabilities])
        rows = np.concatenate([row.numpy() for row in self._rows])
        guesses = probabilities.argmax(axis=1)
        figures = {
            "confusion_matrix": confusion_matrix(truth, guesses, classes),
            "reliability": reliability(truth, probabilities, unit="clips"),
            "attention": frames(self._named(raw, classes)),
        }
        if raw.groups is not None:
            sources = np.array(raw.groups)[rows]
            figures["errors_by_source"] = errors_by_source(sources, truth == guesses)
        return figures

    def _named(self, raw: Any, classes: Sequence[str]) -> list[Example]:
        named = []
        for slot, (signal, weights, guess, row) in sorted(self._examples.items()):
            title = f"{raw.ids[row]}: {classes[guess]}" + ("" if guess == slot[0] else " (wrong)")
            named.append(Example(signal, weights, title))
        return named


class ClipScoreFigures(Figures):
    """Anomaly scores of normal and other clips, and those that score highest and lowest."""

    def clear(self) -> None:
        self._truth: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._examples: dict[int, tuple[float, np.ndarray, np.ndarray]] = {}

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        scores = outputs["prediction"].detach().float().cpu()
        self._truth.append(batch.y.cpu())
        self._scores.append(scores)
        for i, row in enumerate(batch.index.tolist()):
            steps = int(batch.mask[i].sum())
            signal = batch.x[i, :steps].float().cpu().numpy()
            weights = spread(outputs["weights"][i], steps, trainer)
            self._examples[row] = (float(scores[i]), signal, weights)
        self._prune()

    def _prune(self) -> None:
        """Keeps the highest and the lowest scores."""
        order = sorted(self._examples, key=lambda row: -self._examples[row][0])
        half = self.max_panels // 2
        kept = order[: self.max_panels - half] + order[max(len(order) - half, half) :]
        self._examples = {row: self._examples[row] for row in dict.fromkeys(kept)}

    def merge(self) -> None:
        parts = collectives.gather((self._truth, self._scores, self._examples))
        self._truth = [one for part in parts for one in part[0]]
        self._scores = [one for part in parts for one in part[1]]
        for part in parts:
            self._examples |= part[2]
        self._prune()

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        if not self._truth:
            return {}
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        raw = data.splits.rows(data.evaluated if trainer.testing else "val")[0]
        truth, scores = torch.cat(self._truth), torch.cat(self._scores)
        area = float(auroc(scores, truth > 0))
        shown = [
            Example(signal, weights, f"{raw.ids[row]}: score {score:.2f}")
            for row, (score, signal, weights) in self._examples.items()
        ]
        names = data.splits.pipeline.classes
        return {
            "scores": histogram(scores.numpy(), truth.numpy(), names, f"AUROC {area:.3f}"),
            "attention": frames(shown),
        }


def histogram(scores: NDArray, truth: NDArray, names: Sequence[str], title: str) -> Figure:
    """How many clips of each class have which score."""
    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = np.maximum(scores, 1e-6)  # on a logarithmic axis: some errors are huge
    edges = np.geomspace(shown.min() * 0.99, shown.max() * 1.01, 21)
    for k, (name, colour) in enumerate(zip(names, (COLOURS[0], "#c0392b"), strict=False)):
        axes.hist(shown[truth == k], edges, color=colour, alpha=0.6, label=name)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="anomaly score (mean squared error)", ylabel="clips", title=title)
    axes.set_xscale("log")
    axes.legend(frameon=False, fontsize=8)
    return figure


def frames(examples: Sequence[Example]) -> Figure:
    """A clip per row, frame by frame, and below each frame the attention it got.

    Weights are multiplied by the number of frames, so that 1 is attention that looks at every
    frame alike.
    """
    figure = Figure(figsize=(12, 1.15 * len(examples) + 0.4), layout="constrained")
    panels = figure.subplots(len(examples), 1, squeeze=False).ravel()
    top = max(2.0, *(float(one.weights.max()) * len(one.weights) for one in examples))
    for panel, example in zip(panels, examples, strict=True):
        _clip(panel, example, top)
    bar = figure.colorbar(panels[0].images[-1], ax=panels.tolist(), aspect=40, pad=0.01)
    bar.set_label("attention (1 = every frame alike)", fontsize=9)
    bar.ax.tick_params(labelsize=7)
    return figure


def _clip(panel: Axes, example: Example, top: float) -> None:
    """Frames side by side; each is one unit wide."""
    total = len(example.signal)
    shown = np.linspace(0, total - 1, min(total, MOST_FRAMES)).round().astype(int)
    pictures = example.signal[shown].transpose(2, 0, 3, 1)  # height, frames, width, colours
    height, count, width, colours = pictures.shape
    strip = pictures.reshape(height, count * width, colours).clip(0, 255).astype(np.uint8)
    panel.imshow(strip, extent=(0, count, 0, 1), aspect="auto")
    shade = (example.weights * total)[shown][None]
    panel.imshow(shade, extent=(0, count, -0.18, 0), aspect="auto", cmap=SHADING, vmin=0, vmax=top)
    panel.set(xlim=(0, MOST_FRAMES), ylim=(-0.18, 1))
    panel.set_axis_off()
    panel.set_title(example.title, fontsize=9, loc="left", pad=3)


def errors_by_source(sources: NDArray[np.str_], right: NDArray[np.bool_]) -> Figure:
    """How many clips of each source recording were called right, and how many wrong."""
    names, which = np.unique(sources, return_inverse=True)
    count = np.bincount(which)
    wrong = np.bincount(which, ~right, len(names)).astype(int)
    order = np.lexsort((count, wrong))[-MOST_SOURCES:]
    figure = Figure(figsize=(5.2, 0.24 * len(order) + 1.2), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(order))
    axes.barh(place, (count - wrong)[order], color=COLOURS[1], label="right")
    axes.barh(place, wrong[order], left=(count - wrong)[order], color="#c0392b", label="wrong")
    axes.set_yticks(place, names[order], fontsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="clips", ylabel="source recording")
    figure.suptitle(f"{wrong.sum()} of {len(right)} clips wrong", fontsize=10)
    figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure
