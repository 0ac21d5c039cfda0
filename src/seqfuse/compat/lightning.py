"""Private parts of Lightning that a run cannot do without (checked: 2.6.6)."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy
from lightning.pytorch.strategies.launchers import (
    _MultiProcessingLauncher,
    _SubprocessScriptLauncher,
)
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn


class SpawnLauncher(_MultiProcessingLauncher):
    """Lightning's launcher of spawned ranks; a subclass may wrap what a rank does."""

    def __init__(self, strategy: ParallelStrategy):
        super().__init__(strategy, start_method="spawn")

    def run_rank(self, work: Callable[[], None]) -> None:
        """Does the work of a rank, in its process."""
        work()

    def _wrapping_function(self, process_idx: int, *args: Any, **kwargs: Any) -> None:
        self.run_rank(partial(super()._wrapping_function, process_idx, *args, **kwargs))


class LaunchedDdp(DDPStrategy):
    """Lightning's DDP; a subclass may choose who launches spawned ranks."""

    def spawner(self) -> SpawnLauncher:
        return SpawnLauncher(self)

    def _configure_launcher(self) -> None:
        if self._start_method == "spawn":
            self._launcher = self.spawner()
        else:
            super()._configure_launcher()


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy of sharded models, over one axis of ranks; checkpoints are one file.

    Args:
        timeout: how long a rank waits for the others.
    """

    def __init__(self, timeout: timedelta):
        super().__init__(save_distributed_checkpoint=False, timeout=timeout)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        self._tensor_parallel_size = 1
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Without `configure_model`, which Lightning's average of weights would call, too."""
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        fits = trainer.state.fn == TrainerFn.FITTING
        if fits:
            self.shard()
        self.model_to_device()
        self.barrier()
        if fits:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Before, as in other strategies: weights are whole then."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """A checkpoint as of one process, which each rank reads by itself."""
        return ParallelStrategy.load_checkpoint(self, *args, **kwargs)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Loads weights, which are whole as yet."""
        ParallelStrategy.load_model_state_dict(self, checkpoint, strict)

    def shard(self) -> None:
        """Shards the model that is about to be trained."""


def children(strategy: ParallelStrategy) -> list[Any]:
    """Processes that this one started by the command of its own."""
    launcher = strategy.launcher
    return launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else []


def on_sigterm(trainer: Trainer, handler: Callable[..., None]) -> None:
    """Replaces Lightning's handler, which broadcasts, perhaps in the middle of a broadcast."""
    trainer._signal_connector._sigterm_notifier_fn = handler  # type: ignore[method-assign]


STEP_HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)


def skip_idle_hooks(trainer: Trainer, task: LightningModule) -> None:
    """Takes away hooks of a step that a callback or the task does not use.

    Lightning opens a profiler context for each, used or not: together 0.6 ms of a step of
    15 ms with the default callbacks. It passes over a hook that cannot be called.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for hook in STEP_HOOKS:
        for owner, base in [*((each, Callback) for each in callbacks), (task, LightningModule)]:
            if getattr(type(owner), hook) is getattr(base, hook) or _waits(owner, hook):
                setattr(owner, hook, None)


def _waits(owner: object, hook: str) -> bool:
    """Whether Lightning's own callback has the hook and, set as it is, does nothing in it."""
    if isinstance(owner, ModelCheckpoint) and hook == "on_train_batch_end":
        return owner._every_n_train_steps < 1 and owner._train_time_interval is None
    if isinstance(owner, LearningRateMonitor) and hook == "on_train_batch_start":
        return owner.logging_interval == "epoch"
    return False


def begin_epoch_anew(checkpoint: dict[str, Any]) -> None:
    """Lets an epoch that is about to start count as none: a resumed fit would pass over it."""
    for epoch in checkpoint["loops"]["fit_loop"]["epoch_progress"].values():
        epoch["ready"] = epoch["started"]


def epochs_done(checkpoint: dict[str, Any]) -> int:
    """Epochs that were trained to their end."""
    fit = checkpoint["loops"]["fit_loop"]
    epoch = fit["epoch_progress"]["current"]
    last = fit["epoch_loop.batch_progress"]["is_last_batch"]
    return epoch["processed"] + int(last and epoch["started"] > epoch["processed"])


def averaged(callback: WeightAveraging) -> nn.Module | None:
    """The copy of the task that holds the averages, once there is one."""
    average = callback._average_model
    return None if average is None else average.module
