"""One progress bar for the whole run."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from seqfuse.data.progress import bar


class RunBar(ProgressBar):
    """Steps of the whole run, with the epoch and its losses; one line, drawn seldom.

    Args:
        seconds: between two drawings; into a file or a pipe, twenty times as long.
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

    def _open(self, total: float, done: int, name: str) -> None:
        known = None if total == float("inf") else int(total)
        self._bar = bar(name, known, "step", self._on, done, self.seconds)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epochs = (
            trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else float("inf")
        )
        total = epochs * trainer.num_training_batches
        self._open(total, trainer.fit_loop.total_batch_idx + 1, "train")

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        if self._bar is not None:
            end = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else "?"
            self._bar.set_description_str(f"epoch {trainer.current_epoch + 1}/{end}", refresh=False)

    def on_train_batch_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None:
            shown = {k: f"{v:.4g}" for k, v in trainer.progress_bar_metrics.items()}
            self._bar.set_postfix(shown, refresh=False)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._open(sum(map(float, trainer.num_test_batches)), 0, "test")

    def on_test_batch_end(self, *_: Any) -> None:
        self.on_train_batch_end()

    def on_train_end(self, *_: Any) -> None:
        self._close()

    def on_test_end(self, *_: Any) -> None:
        self._close()

    def on_exception(self, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
