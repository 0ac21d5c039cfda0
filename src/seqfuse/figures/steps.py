"""Draws labels of steps: which were right, and where the net looked."""

from typing import Any

import numpy as np
from lightning.pytorch import Trainer
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.figures.figures import Figures, signals, spread
from seqfuse.figures.plots import confusion_matrix
from seqfuse.figures.step_plots import Strip, step_classes
from seqfuse.nn import collectives
from seqfuse.nn.crf import decode
from seqfuse.nn.shapes import Batch
from seqfuse.predictions.classes import first
from seqfuse.runtime.labels import NO_LABEL


class StepFigures(Figures):
    """Confusion matrix of steps, and series from all over the split with their sources."""

    def clear(self) -> None:
        self._pairs: list[np.ndarray] = []
        self._strips: dict[int, Strip] = {}

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        mask = first(batch.mask)
        found = decode(outputs["prediction"].detach(), mask)
        labelled = batch.y != NO_LABEL
        self._pairs.append(np.stack([batch.y[labelled].cpu(), found[labelled].cpu()]))
        wanted = self._wanted(trainer)
        for i, row in enumerate(batch.index.tolist()):
            if row in wanted:
                steps = int(mask[i].sum())
                truth, guess = (one[i, :steps].cpu().numpy() for one in (batch.y, found))
                # Only queries of real steps; what padding asks for is no attention.
                weights = spread(outputs["weights"][i, :steps], steps, trainer)
                right = float(np.mean(truth == guess))
                title = f"row {row}, {right:.0%} of steps right"
                self._strips[row] = Strip(signals(batch, i), truth, guess, weights, title)

    def _wanted(self, trainer: Trainer) -> set[int]:
        """Rows to draw, from all over the split."""
        module: Any = trainer.datamodule  # type: ignore[attr-defined]
        index = module.tensors(module.evaluated if trainer.testing else "val").index
        places = np.linspace(0, len(index) - 1, min(self.max_panels, len(index)))
        return set(index[places.round().astype(int)].tolist())

    def merge(self) -> None:
        parts = collectives.gather((self._pairs, self._strips))
        self._pairs = [one for pairs, _ in parts for one in pairs]
        strips = {row: one for _, found in parts for row, one in found.items()}
        self._strips = dict(sorted(strips.items()))

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        if not self._pairs:
            return {}
        pipeline = trainer.datamodule.splits.pipeline  # type: ignore[attr-defined]
        truth, guess = np.concatenate(self._pairs, axis=1)
        figures = {"confusion_matrix": confusion_matrix(truth, guess, pipeline.classes)}
        strips = [*self._strips.values()]
        if strips:
            gone = set(getattr(pipeline, "parts", ())) - set(strips[0].signals)
            missing = f"missing: {', '.join(sorted(gone))}" if gone else ""
            figures["steps"] = step_classes(strips, pipeline.classes, missing)
        return figures
