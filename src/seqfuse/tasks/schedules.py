"""Learning-rate schedules: from an optimizer and a number of steps to Lightning's scheduler."""

from typing import Any

from torch.optim import Optimizer, lr_scheduler

from seqfuse.nn.shapes import fraction
from seqfuse.runtime.errors import InputError


class Schedule:
    """Called with an optimizer and the total number of steps, 0 if the run has no end."""

    has_end = False
    """Whether it is made for a number of steps, and so needs one."""

    def __call__(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        """The scheduler, and when it steps."""
        if self.has_end and total_steps < 1:
            raise InputError(
                "this scheduler needs an end: set trainer.max_epochs or trainer.max_steps"
            )
        return self._scheduler(optimizer, total_steps)

    def _scheduler(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        """The scheduler for a number of steps that has been checked."""
        raise NotImplementedError


class Constant(Schedule):
    """The learning rate of the optimizer, times a factor, unchanged."""

    def __init__(self, factor: float = 1.0):
        if factor < 0:
            raise ValueError(f"factor={factor} must be at least 0")
        self.factor = factor

    def _scheduler(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        return {"scheduler": lr_scheduler.LambdaLR(optimizer, self._factor), "interval": "epoch"}

    def _factor(self, epoch: int) -> float:  # by name: a lambda cannot be pickled
        return self.factor


class Plateau(Schedule):
    """Multiplies the learning rate by `factor` after `patience` epochs without progress of a
    loss."""

    def __init__(
        self,
        monitor: str = "val/loss",
        factor: float = 0.5,
        patience: int = 3,
        min_lr: float = 0.0,
    ):
        if monitor not in ("val/loss", "train/loss"):
            raise ValueError(f"monitor={monitor} must be val/loss or train/loss")
        if not 0 < factor < 1:
            raise ValueError(f"factor={factor} must be above 0 and below 1")
        if patience < 0 or min_lr < 0:
            raise ValueError(f"patience={patience} and min_lr={min_lr} must be at least 0")
        self.monitor = monitor
        self.options = {"factor": factor, "patience": patience, "min_lr": min_lr}

    def _scheduler(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", **self.options)
        return {"scheduler": plateau, "interval": "epoch", "monitor": self.monitor}


class Cosine(Schedule):
    """Linear warm-up, a fraction of all steps, then half a cosine down (Loshchilov & Hutter 2017).

    The last learning rate is a fraction `final` of the first.
    """

    has_end = True

    def __init__(self, warmup: float = 0.1, final: float = 0.0):
        fraction(warmup=warmup, final=final)
        self.warmup = warmup
        self.final = final

    def _scheduler(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        first = max(int(self.warmup * total_steps), 1)
        lr = optimizer.param_groups[0]["lr"]
        up = lr_scheduler.LinearLR(optimizer, 1 / first, 1.0, total_iters=first - 1)
        down = lr_scheduler.CosineAnnealingLR(
            optimizer, max(total_steps - first, 1), eta_min=self.final * lr
        )
        both = lr_scheduler.SequentialLR(optimizer, [up, down], milestones=[first])
        return {"scheduler": both, "interval": "step"}


class OneCycle(Schedule):
    """One cycle up to the optimizer's learning rate and down again (Smith & Topin 2018).

    The way up is a fraction `warmup` of all steps, the first learning rate a fraction `start` of
    the highest.
    """

    has_end = True

    def __init__(self, warmup: float = 0.3, start: float = 0.04):
        fraction(warmup=warmup)
        if not 0 < start <= 1:
            raise ValueError(f"start={start} must be above 0 and at most 1")
        self.warmup = max(warmup, 1e-6)  # torch divides by it
        self.start = start

    def _scheduler(self, optimizer: Optimizer, total_steps: int) -> dict[str, Any]:
        cycle = lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=self.warmup,
            div_factor=1 / self.start,
        )
        return {"scheduler": cycle, "interval": "step"}
