"""Draws what the net got right, how sure it was, and where it looked."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from seqfuse.callbacks.dashboard import writers
from seqfuse.figures.plots import Example, attention, confusion_matrix, pixels, reliability, save
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.predictions.classes import first


class Figures(Callback):
    """Figures at ends of epochs only; what they show is collected batch by batch.

    Every `every_n_epochs` epochs for validation, and once for test; to TensorBoard and,
    for test, to `figures/` in the run folder.

    Args:
        every_n_epochs: 0 draws for test only.
        max_panels: examples in a figure.
    """

    def __init__(self, every_n_epochs: int = 20, max_panels: int = 12):
        if every_n_epochs < 0 or max_panels < 1:
            raise ValueError("every_n_epochs must be at least 0 and max_panels at least 1")
        self.every_n_epochs = every_n_epochs
        self.max_panels = max_panels
        self.clear()

    def clear(self) -> None:
        """Forgets what was collected."""
        raise NotImplementedError

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        """Takes from a batch what the figures need."""
        raise NotImplementedError

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        """The figures, by name; none if nothing was collected."""
        raise NotImplementedError

    def merge(self) -> None:
        """Puts together what the ranks have collected; each of them calls it."""
        raise NotImplementedError

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clear()

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.clear()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        # There are none where it calibrates, and where a batch has no item for this rank.
        # Nor has pre-training a prediction.
        if self._due(trainer) and outputs and "prediction" in outputs and len(batch.y):
            self.collect(trainer, outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if outputs and "prediction" in outputs and len(batch.y):
            self.collect(trainer, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._due(trainer):
            self.keep(trainer, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.keep(trainer, trainer.datamodule.evaluated)  # type: ignore[attr-defined]

    def _due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking or not self.every_n_epochs:
            return False
        return (trainer.current_epoch + 1) % self.every_n_epochs == 0

    def keep(self, trainer: Trainer, stage: str) -> None:
        self.merge()
        if trainer.is_global_zero:
            for name, figure in self.draw(trainer).items():
                _keep(trainer, figure, stage, name)
        self.clear()


class ClassFigures(Figures):
    """Confusion matrix, reliability diagram, and attention over one series per class."""

    def clear(self) -> None:
        self._truth: list[Tensor] = []
        self._probabilities: list[Tensor] = []
        self._rows: list[Tensor] = []
        self._examples: dict[tuple[int, ...], tuple[Any, np.ndarray, int, int]] = {}

    def collect(self, trainer: Trainer, outputs: dict[str, Tensor], batch: Batch) -> None:
        probabilities = outputs["prediction"].detach().float().softmax(dim=-1).cpu()
        self._truth.append(batch.y.cpu())
        self._probabilities.append(probabilities)
        self._rows.append(batch.index.cpu())
        for i, label in enumerate(batch.y.tolist()):
            guess = int(probabilities[i].argmax())
            slot = self.slot(label, guess)
            if len(self._examples) < self.max_panels and slot not in self._examples:
                steps = int(first(batch.mask)[i].sum())
                signal = self.signal(trainer, batch, i, steps)
                if signal is None:  # nothing to draw a line of
                    continue
                weights = spread(outputs["weights"][i], steps, trainer)
                self._examples[slot] = (signal, weights, guess, int(batch.index[i]))

    def slot(self, label: int, guess: int) -> tuple[int, ...]:
        """Which example of the figure this could be; the class comes first."""
        return (label,)

    def merge(self) -> None:
        parts = collectives.gather((self._truth, self._probabilities, self._rows, self._examples))
        self._truth = [one for part in parts for one in part[0]]
        self._probabilities = [one for part in parts for one in part[1]]
        self._rows = [one for part in parts for one in part[2]]
        examples = {}
        for part in reversed(parts):
            examples |= part[3]
        self._examples = dict(sorted(examples.items())[: self.max_panels])

    def draw(self, trainer: Trainer) -> dict[str, Figure]:
        if not self._truth:
            return {}
        classes = trainer.datamodule.splits.pipeline.classes  # type: ignore[attr-defined]
        truth = np.concatenate([y.numpy() for y in self._truth])
        probabilities = np.concatenate([p.numpy() for p in self._probabilities])
        examples = [
            Example(signal, weights, _title(classes[slot[0]], classes[guess], row))
            for slot, (signal, weights, guess, row) in sorted(self._examples.items())
        ]
        figures = {
            **self.confusion(truth, probabilities.argmax(axis=1), classes),
            "reliability": reliability(truth, probabilities),
        }
        return figures | ({"attention": self.examples(examples)} if examples else {})

    def signal(self, trainer: Trainer, batch: Batch, i: int, steps: int) -> Any:
        """What an example shows of its item; None if nothing."""
        return max(signals(batch, i).values(), key=len, default=None)

    def confusion(self, truth: np.ndarray, found: np.ndarray, classes: list[str]) -> dict:
        """Figures of what was taken for what, by name."""
        return {"confusion_matrix": confusion_matrix(truth, found, classes)}

    def examples(self, examples: list[Example]) -> Figure:
        """Examples and where the net looked."""
        return attention(examples)


def signals(batch: Batch, i: int) -> dict[str, np.ndarray]:
    """The real steps (t c) of each source of an item; those of other kinds are left out."""
    x = batch.x if isinstance(batch.x, dict) else {"scaled value": batch.x}
    mask = batch.mask if isinstance(batch.mask, dict) else {"scaled value": batch.mask}
    there = {name: one[i][mask[name][i]].float().cpu().numpy() for name, one in x.items()}
    return {name: one for name, one in there.items() if one.ndim == 2 and one.size}


def spread(weights: Tensor, steps: int, trainer: Trainer) -> np.ndarray:
    """(q t') attention of one series, its mean over queries repeated to (steps) input steps."""
    stride = int(getattr(trainer.lightning_module.net, "stride", 1))  # type: ignore[union-attr]
    mean = weights.detach().float().mean(dim=0).cpu().numpy()
    repeated = np.repeat(mean, stride)[:steps]
    return repeated / repeated.sum()


def _title(label: str, guess: str, row: int) -> str:
    return f"{label} (row {row})" + ("" if guess == label else f", called {guess}")


def _keep(trainer: Trainer, figure: Figure, stage: str, name: str) -> None:
    image = pixels(figure)  # drawn once for both
    for writer in writers(trainer):
        writer.add_image(f"{stage}/{name}", image, trainer.global_step, dataformats="HWC")
    if trainer.testing:
        save(Path(trainer.default_root_dir) / "figures" / f"{stage}_{name}.png", image)
