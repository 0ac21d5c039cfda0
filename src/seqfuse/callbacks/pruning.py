"""Ends a trial of a search early when others did better by then."""

import math
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.runtime.errors import Pruned


@dataclass(eq=False, repr=False)
class Pruning(Callback):
    """Reports the monitor at each validation to the search's storage, and asks its pruner.

    Does nothing, and imports no Optuna, outside a search, where there is no storage.
    """

    monitor: str
    storage: str | None = None
    study: str | None = None
    number: int | None = None
    pruner: Any = None

    def __post_init__(self) -> None:
        self._running: Any = None
        self._reported = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.storage is not None and trainer.is_global_zero:
            from seqfuse.search.study import Running  # slow: optuna

            assert self.study is not None
            assert self.number is not None
            self._running = Running(self.storage, self.study, self.number, self.pruner)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.storage is None or trainer.sanity_checking:
            return
        behind = self._running is not None and self._is_behind(trainer)
        if trainer.strategy.broadcast(behind):
            raise Pruned(f"others had a better {self.monitor} by epoch {trainer.current_epoch + 1}")

    def _is_behind(self, trainer: Trainer) -> bool:
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        epochs = trainer.current_epoch + 1  # what it has cost, as Hyperband wants to know it
        if not math.isfinite(value) or epochs <= self._reported:
            return False
        self._reported = epochs
        return self._running.is_behind(value, epochs)
