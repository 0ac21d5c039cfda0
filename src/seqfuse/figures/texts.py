"""Draws texts: which words the net looked at, and which tags it got wrong."""

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.figures.figures import ClassFigures, Figures, spread
from seqfuse.figures.plots import Example
from seqfuse.figures.text_plots import Sentence, sentences, worst_pairs
from seqfuse.nn import collectives
from seqfuse.nn.crf import decode
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.labels import NO_LABEL


class TextFigures(ClassFigures):
    """As for series, with attention over words, and the worst pairs of classes."""

    def signal(self, trainer: Trainer, batch: Batch, i: int, steps: int) -> Any:
        return words(trainer, int(batch.index[i]))[:steps]

    def examples(self, examples: list[Example]) -> Figure:
        return sentences([Sentence(*one) for one in examples])  # type: ignore[arg-type]

    def confusion(self, truth: np.ndarray, found: np.ndarray, classes: list[str]) -> dict:
        pairs = {"worst_pairs": worst_pairs(truth, found, classes)}
        return super().confusion(truth, found, classes) | pairs


class TagFigures(Figures):
    """Sentences with the attention on each word, its tag and what the net said instead."""

    def clear(self) -> None:
        self._examples: list[tuple] = []

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        missing = self.max_panels - len(self._examples)
        if missing < 1:
            return
        mask = batch.y[:missing] != NO_LABEL
        found = decode(outputs["prediction"][:missing].detach().float(), mask).cpu()
        for i, real in enumerate(mask.cpu()):
            steps, truth = int(real.sum()), batch.y[i].cpu()[real].tolist()
            # What each word gave to all of them.
            weights = spread(outputs["weights"][i][:steps], steps, trainer)
            row = int(batch.index[i])
            one = (row, words(trainer, row)[:steps], weights, truth, found[i][real].tolist())
            self._examples.append(one)

    def merge(self) -> None:
        parts = collectives.gather(self._examples)
        self._examples = [one for part in parts for one in part][: self.max_panels]

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        if not self._examples:
            return {}
        classes = trainer.datamodule.splits.pipeline.classes  # type: ignore[attr-defined]
        names = np.array(classes, dtype=object)
        rows = [
            Sentence(text, weights, f"row {row}", names[truth].tolist(), names[found].tolist())
            for row, text, weights, truth, found in self._examples
        ]
        return {"sentences": sentences(rows)}


def words(trainer: Trainer, row: int) -> Any:
    """The words of a row, as they were read."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    raw, _ = data.splits.rows(data.evaluated if trainer.testing else "val")
    return raw.x[row]
