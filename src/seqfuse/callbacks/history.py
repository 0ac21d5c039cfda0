"""How a run goes, epoch by epoch: a line on the console, and curves at its end."""

import math
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from seqfuse.callbacks.progress import shown_epochs
from seqfuse.runtime.shown import visible
from seqfuse.tasks.base import OF_PARTS

Row = dict[str, float]
"""Measurements of an epoch, by name, with `epoch` (from 1), `step` and `lr`."""
FEWEST = 3
"""Epochs of which curves are drawn."""


class History(Callback):
    """Losses, a metric, the learning rate and the time left: a line per epoch, and curves.

    Of many epochs every so many get a line. The curves lie in `figures/curves.png` of the run
    folder; a run that goes on draws its earlier epochs, too.

    Args:
        lines: of the whole run, at most, where its end is known; 0 for none.
        metric: shown beside the losses; None, or one that is a loss, for the
            task's accuracy or squared error, or else its first.
    """

    def __init__(self, lines: int = 20, metric: str | None = None, curves: bool = True):
        super().__init__()
        if lines < 0:
            raise ValueError(f"lines={lines} must be at least 0")
        self.lines, self.metric, self.curves = lines, metric, curves
        self._rows: list[Row] = []
        self._open: Row = {}
        """The epoch whose training loss is still to be logged."""
        self._began = (0.0, 0)
        self._next = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows, "open": self._open}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows, self._open = list(state_dict["rows"]), dict(state_dict["open"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter(), trainer.global_step
        self._next = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            metrics = trainer.callback_metrics.items()
            self._open |= {name: float(v) for name, v in metrics if name.startswith("val/")}

    # The task logs an epoch's training loss after the callbacks' turn: what is known by now is
    # kept, and the row is closed when the next epoch begins.
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        rates = [
            group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups
        ]
        self._open |= {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "lr": float(rates[0]),
        }

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close(trainer, is_last=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.curves and len(self._rows) >= FEWEST and trainer.is_global_zero:
            from seqfuse.figures.curves import curves  # slow: matplotlib
            from seqfuse.figures.drawing import pixels, save

            image = pixels(curves(self._rows, self._shown(trainer)))
            save(Path(trainer.default_root_dir) / "figures" / "curves.png", image)

    def _close(self, trainer: Trainer, is_last: bool = False) -> None:
        if "epoch" not in self._open:
            return
        row, self._open = self._open, {}
        if "train/loss" in trainer.callback_metrics:
            row["train/loss"] = float(trainer.callback_metrics["train/loss"])
        self._rows.append(row)
        task: Any = trainer.lightning_module
        total = task.total_steps
        is_due = is_last or row["step"] >= self._next
        if not self.lines or not is_due or not trainer.is_global_zero:
            return
        self._next = row["step"] + total / self.lines
        # Where there is a bar, it moves out of the way.
        tqdm.write(visible(self._line(row, trainer, total)), file=sys.stdout)
        sys.stdout.flush()

    def _line(self, row: Row, trainer: Trainer, total: int) -> str:
        names = ("train/loss", "val/loss", self._shown(trainer))
        parts = [
            f"epoch {row['epoch']:.0f}/{shown_epochs(trainer)}",
            *(f"{name} {row[name]:.4f}" for name in names if name in row),
            f"lr {row['lr']:.1e}",
        ]
        if left := self._left(row, total):
            parts.append(left)
        return "  ".join(parts)

    def _shown(self, trainer: Trainer) -> str:
        """Name of the metric beside the losses; empty if the task has none."""
        task: Any = trainer.lightning_module
        measured = list(task.metrics["val_"].keys(keep_base=True))
        names = [f"val/{name}" for name in (*OF_PARTS, *measured) if name in measured]
        is_metric = self.metric is not None and not self.metric.endswith("/loss")
        return str(self.metric) if is_metric else next(iter(names), "")

    def _left(self, row: Row, total: int) -> str:
        """Time to the end of a run that nothing ends before; empty where that is not known."""
        start, first = self._began
        done = row["step"] - first
        if done <= 0 or row["step"] >= total:
            return ""
        seconds = (time.perf_counter() - start) / done * (total - row["step"])
        return f"{tqdm.format_interval(math.ceil(seconds))} left"
