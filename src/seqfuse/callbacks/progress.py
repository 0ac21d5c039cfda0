"""One progress bar for the whole run."""

import math
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from seqfuse.data.progress import bar


class RunBar(ProgressBar):
    """Steps of the whole run, with the epoch and its losses; one line, drawn every few seconds.

    Into a file or a pipe it is drawn twenty times as seldom.
    """

    def __init__(self, seconds: float = 0.5):
        super().__init__()
        if seconds < 0:
            raise ValueError(f"seconds={seconds} must be at least 0")
        self.seconds = seconds
        self._on = True
        self._bar: tqdm | None = None

    def disable(self) -> None:
        self._on = False

    def enable(self) -> None:
        self._on = True

    def _open(self, name: str, total: float, done: int = 0) -> None:
        steps = None if total == float("inf") else int(total)
        self._bar = bar(name, steps, "step", self._on, done, self.seconds)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        total = _epochs(trainer) * trainer.num_training_batches
        self._open("train", total, trainer.fit_loop.total_batch_idx + 1)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        if self._bar is not None:
            epoch = f"epoch {trainer.current_epoch + 1}/{shown_epochs(trainer)}"
            self._bar.set_description_str(epoch, refresh=False)

    def on_train_batch_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            shown = {k: f"{v:.4g}" for k, v in trainer.progress_bar_metrics.items()}
            self._bar.set_postfix(shown, refresh=False)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open("test", sum(map(float, trainer.num_test_batches)))

    def on_train_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_test_batch_end(self, *_: Any) -> None:
        self.on_train_batch_end()

    def on_test_end(self, *_: Any) -> None:
        self.on_train_end()

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()


def _epochs(trainer: Trainer) -> float:
    """Epochs to train, perhaps a part of the last one; infinity without an end."""
    epochs = float(trainer.max_epochs or 0)
    epochs = epochs if epochs > 0 else math.inf
    if trainer.max_steps > 0:
        batches = trainer.max_steps * trainer.accumulate_grad_batches
        epochs = min(epochs, batches / trainer.num_training_batches)
    return epochs


def shown_epochs(trainer: Trainer) -> str:
    """Epochs to train, as people count them."""
    epochs = _epochs(trainer)
    return "?" if math.isinf(epochs) else str(math.ceil(epochs))
