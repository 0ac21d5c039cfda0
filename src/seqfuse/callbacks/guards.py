"""Callbacks that keep a run's numbers sound."""

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from seqfuse.compat.lightning import averaged
from seqfuse.config import runs
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Fitted
from seqfuse.runtime.errors import Diverged
from seqfuse.runtime.shown import say

SKIPS = 20
"""Steps in a row after which a scale that began at 2**16, halved each time, is below 1."""
MINIMUM_SCALE = 2.0**-10


class NanGuard(Callback):
    """Stops at the first loss that is not a number, before it reaches the weights.

    At 16-mixed such a loss may only be too large for the scale, by which it has been multiplied
    when it comes here: the scaler then skips the step and halves the scale. So there it takes
    `SKIPS` of them in a row, or a scale so small that steps of finite loss must have been
    skipped for good.
    """

    def __init__(self) -> None:
        self._skipped = 0

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self._skipped = 0 if math.isfinite(loss.item()) else self._skipped + 1
        if self._skipped > (SKIPS if _scaler(trainer) else 0):
            self._stop(trainer, loss, f"in batch {trainer.fit_loop.batch_idx}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        scaler = _scaler(trainer)
        if scaler is not None and scaler.get_scale() < MINIMUM_SCALE:
            raise Diverged(
                f"gradients of epoch {trainer.current_epoch} are no numbers, however small the "
                "loss is scaled: type precision=bf16-mixed or precision=32"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss = trainer.callback_metrics.get("val/loss")
        if loss is not None and not torch.isfinite(loss):
            self._stop(trainer, loss, "in validation")

    def _stop(self, trainer: Trainer, loss: Tensor, where: str) -> None:
        best = runs.best_checkpoint(trainer)
        raise Diverged(
            f"the loss is {loss.item()} {where} of epoch {trainer.current_epoch}: try "
            "optimizer.lr from 1e-4 to 1e-3, clip=norm with trainer.gradient_clip_val from 0.5 "
            "to 1.0, or data.scaling=channel"
            + (f"; the last good checkpoint is {best}" if best else "")
        )


def _scaler(trainer: Trainer) -> Any:
    """Scaler of the loss at 16-mixed; None at any other precision."""
    plugin = trainer.precision_plugin
    return plugin.scaler if isinstance(plugin, MixedPrecision) else None


class Average(EMAWeightAveraging):
    """Lightning's moving average; the net takes it over behind the last checkpoint.

    Lightning does so before, and that checkpoint would go on from the average.
    """

    _banks: Sequence[tuple[nn.Module, nn.Module]] = ()
    """Parts that are fitted once, and their copies among the averages."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        average = averaged(self) if stage == "fit" else None
        pairs = zip(pl_module.modules(), average.modules(), strict=True) if average else ()
        self._banks = [pair for pair in pairs if isinstance(pair[0], Fitted)]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, *args, **kwargs)
        for ours, theirs in self._banks:  # an average of equal numbers is rounded
            theirs.load_state_dict(ours.state_dict())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        return None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)


class RandomState(Callback):
    """Keeps the random states of torch, numpy and Python in the checkpoint.

    A resumed run takes them over before its first batch is fetched, because a data set may
    draw, too. Of more ranks than saved them, the further ones begin with states of their own.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Any] = {}
        self._ranks = 0

    def state_dict(self) -> dict[str, Any]:
        states = [torch.get_rng_state()]
        if torch.cuda.is_available():
            states += torch.cuda.get_rng_state_all()
        kind, keys, *rest = np.random.get_state()
        # As a tensor: a checkpoint is read without running code, and so without arrays.
        numpy = [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest]
        first, *others = collectives.gather(
            {"states": states, "numpy": numpy, "python": random.getstate()}
        )
        return {**first, "ranks": others}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = [state_dict, *state_dict.get("ranks", ())]
        self._ranks = len(saved)
        if collectives.rank() < len(saved):  # else it was saved by fewer ranks
            self._pending = saved[collectives.rank()]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._ranks not in (0, collectives.count()) and trainer.is_global_zero:
            say(
                f"resume      goes on behind step {trainer.global_step} with the same batches, by "
                f"{collectives.count()} in place of {self._ranks} processes: not bit for bit, as "
                "dropout falls elsewhere and sums over shards are rounded differently"
            )
        self._ranks = 0
        if not self._pending:
            return
        states = self._pending["states"]
        torch.set_rng_state(states[0].cpu())
        for device, state in enumerate(states[1 : 1 + torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
        kind, keys, *rest = self._pending["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
        version, numbers, gauss = self._pending["python"]
        random.setstate((version, tuple(numbers), gauss))
        self._pending = {}
