"""Search for a learning rate: one short training in which it rises until the loss does."""

from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from numpy.typing import NDArray

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
SMOOTHING = 0.8
"""Weight of what was before in the running mean of the losses."""
WORSE = 4.0
"""The search ends where the loss is so many times its minimum."""
FIRST = 10
"""Steps that a running mean takes to settle: no suggestion lies before."""


class Curve(NamedTuple):
    """Losses of a net trained at rising learning rates."""

    rates: NDArray[np.float64]
    """(n)"""
    losses: NDArray[np.float64]
    """(n) mean over the batch, of each step."""

    def smooth(self) -> NDArray[np.float64]:
        """(n) running mean, corrected for its start at 0 (Kingma & Ba 2015, section 3)."""
        mean, means = 0.0, []
        for i, loss in enumerate(self.losses, start=1):
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            means.append(mean / (1 - SMOOTHING**i))
        return np.array(means, dtype=np.float64)


class Ramp(Callback):
    """Raises the learning rate by the same factor each step and keeps each step's loss."""

    def __init__(self) -> None:
        self.rates = np.geomspace(LOWEST, HIGHEST, STEPS)
        self._losses: list[list[float]] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = float(self.rates[trainer.global_step])
        if len(self._losses) <= trainer.global_step:
            self._losses.append([])  # of the batches that one step accumulates

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        # Lightning has divided it, so that accumulated gradients add up to a mean.
        loss = outputs["loss"].item() * trainer.accumulate_grad_batches
        self._losses[-1].append(loss)
        means = self.curve().smooth()
        minimum = float(means.min()) if len(means) else loss
        if not np.isfinite(loss) or means[-1] > minimum + (WORSE - 1) * abs(minimum):
            trainer.should_stop = True

    def curve(self) -> Curve:
        """Up to the first loss that is no number."""
        losses = np.array([sum(batches) / len(batches) for batches in self._losses if batches])
        end = len(losses) if np.isfinite(losses).all() else int(np.isfinite(losses).argmin())
        return Curve(self.rates[:end], losses[:end])


def suggest(curve: Curve) -> float | None:
    """A tenth of the learning rate at the minimum of the loss (Howard & Gugger 2020, chapter 5), in
    three digits, so that it can be typed; None where the loss fell by no more than from batch to
    batch.

    Lightning's rule, the steepest slope, differed up to 8 times between seeds, this one up to 5
    (synthetic, JapaneseVowels, ETTh1; 4 seeds each).
    """
    means = curve.smooth()[FIRST:]
    if len(means) < FIRST:
        return None
    low = int(means.argmin())
    noise = np.std((curve.losses - curve.smooth())[: FIRST + low + 1])
    if means[0] - means[low] <= noise + 1e-6 * abs(means[0]):
        return None
    return float(f"{curve.rates[FIRST + low] / 10:.3g}")


def draw(curve: Curve, suggestion: float | None) -> Figure:
    """Loss against learning rate, with the suggestion marked."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.rates, curve.losses, color="#bbbbbb", linewidth=0.8, label="loss of a step")
    axes.plot(curve.rates, curve.smooth(), color="#1b4f72", label="running mean")
    if suggestion is not None:
        axes.axvline(suggestion, color="#d35400", label=f"found: {suggestion:g}")
    if len(curve.losses):
        low, high = curve.losses.min(), np.quantile(curve.losses, 0.9)
        axes.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low) + 1e-9)
    axes.set(xscale="log", xlabel="learning rate", ylabel="train/loss")
    axes.legend(frameon=False, fontsize=8)
    return figure
