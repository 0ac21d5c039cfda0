"""The one concrete task: net, loss, metrics, optimizer, scheduler."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric, MetricCollection

from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch, Output
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.metrics import Auroc, BatchMean, ScoreAuroc

Scheduler = Callable[[Optimizer, int], dict[str, Any]]


class Task(LightningModule):
    """Trains a net on a loss and measures it.

    Logs `train/loss`, `val/loss`, `test/loss` and, for val and test, every metric.

    Args:
        net: raw batch to `Output`.
        loss: prediction and target to a scalar, the mean over the batch.
        metrics: by name; each takes prediction and target.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        calibrator: corrects predictions outside training; learns from the first of two loaders.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        calibrator: nn.Module | None = None,
    ):
        super().__init__()
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.calibrator = calibrator
        self.is_compiled = False
        self.record: dict[str, Any] = {}
        """What a checkpoint holds beside the weights (see `seqfuse.config.checkpoint`)."""
        self._logged: dict[str, Tensor] = {}
        stages = ("train", "val", "test")
        self.losses: Any = nn.ModuleDict({f"{s}_": BatchMean() for s in stages})
        # Saved, because a run resumed after validation still has to log its training loss.
        self.losses["train_"].persistent(True)
        self.metrics: Any = nn.ModuleDict(
            # Metrics that happen to agree on the first batch would be taken for one.
            {
                f"{s}_": MetricCollection(
                    dict(metrics), prefix=f"{s}/", compute_groups=False
                ).clone()
                for s in stages[1:]
            }
        )

    def compile_net(self) -> None:
        """Compiles the net in place: parameter names, and so checkpoints, stay as they are."""
        self.is_compiled = True
        self.net.compile(dynamic=True)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a spawned process: metrics come as shared memory, and what was compiled does not."""
        super().__setstate__(state)
        for part in self.modules():
            for name, value in part.metric_state.items() if isinstance(part, Metric) else ():
                setattr(part, name, copy.deepcopy(value))
        if self.is_compiled:
            self.compile_net()

    def forward(self, x: Tensor, mask: Tensor) -> Output:
        return self.net(x, mask)

    def _step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        if not len(batch.y):
            return {"loss": self._idle(stage)}
        prediction, weights = self.net(batch.x, batch.mask)
        loss, size = self._pooled(self.loss(prediction, batch.y), batch.y)
        self.losses[f"{stage}_"].update(loss.detach(), size)
        if stage != "train":
            prediction = self.calibrate(prediction)
            # Metrics of baselines look at the input, too.
            self.metrics[f"{stage}_"].update(prediction, batch.y, x=batch.x, mask=batch.mask)
        return {"loss": loss, "prediction": prediction, "weights": weights}

    def _pooled(self, loss: Tensor, y: Tensor) -> tuple[Tensor, int]:
        """The loss and the size of the whole batch, of which y is this rank's share."""
        if collectives.count() == 1:
            return loss, len(y)
        if hasattr(self.loss, "items"):
            return collectives.pooled(loss, self.loss.items(y), len(y))  # type: ignore[operator]
        return collectives.pooled(loss, loss.new_tensor(len(y)), len(y))

    def _idle(self, stage: str) -> Tensor:
        """The loss of a batch of which none is here: no gradient of this rank's, but its place."""
        sums = [p.sum() for p in self.net.parameters() if p.requires_grad]
        nothing = torch.stack(sums).sum() * 0.0
        loss, size = self._pooled_nothing(nothing, stage)
        self.losses[f"{stage}_"].update(loss.detach(), size)
        return loss

    def _pooled_nothing(self, nothing: Tensor, stage: str) -> tuple[Tensor, int]:
        """The same as `_pooled`, of an empty share: as many talks as there are for the others."""
        return collectives.pooled(nothing, torch.zeros_like(nothing), 0)

    def undefined(self, name: str) -> str | None:
        """Why a metric may have no value on a split that is in order; None: it must have one."""
        metric = dict(self.metrics["test_"].items(keep_base=True)).get(name)
        return metric.undefined if isinstance(metric, (Auroc, ScoreAuroc)) else None

    def calibrate(self, prediction: Tensor) -> Tensor:
        """The prediction as users get it."""
        return prediction if self.calibrator is None else self.calibrator(prediction)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, "train")["loss"]

    def validation_step(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor] | None:
        batches = self.trainer.num_val_batches
        if len(batches) > 1 and not dataloader_idx:  # calibration comes first
            return self._calibrate_on(batch, batch_idx + 1 == batches[0])
        return self._step(batch, "val")

    def on_validation_epoch_start(self) -> None:
        collectives.average_statistics(self.net)
        if self.calibrator is not None:
            self.calibrator.clear()  # type: ignore[operator]

    def _calibrate_on(self, batch: Batch, is_last: bool) -> None:
        calibrator: Any = self.calibrator
        if len(batch.y):
            calibrator.update(self.net(batch.x, batch.mask).prediction, batch.y)
        if is_last:  # not at the epoch's end: an averaged net has left by then
            calibrator.fit()

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        return self._step(batch, "test")

    def on_train_start(self) -> None:
        # Of a run that goes on: what validation found is known, as if it had never stopped.
        self.trainer.callback_metrics.update(self._logged)

    # Once per epoch: `self.log` in every step would cost more than a small net's step.
    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")
        if self.trainer.fit_loop.restarting:
            self._step_plateau()

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def _log_epoch(self, stage: str) -> None:
        loss = self.losses[f"{stage}_"]
        self.log(f"{stage}/loss", loss.compute(), prog_bar=True)
        loss.reset()
        if stage != "train":
            values = self.metrics[f"{stage}_"].compute()
            self.log_dict(values, prog_bar=False)
            self.metrics[f"{stage}_"].reset()

    def _step_plateau(self) -> None:
        """Steps a plateau schedule in the epoch a run was resumed in, where Lightning skips it."""
        logged = self._logged | self.trainer.callback_metrics
        for schedule in self.trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau and schedule.monitor in logged:
                schedule.scheduler.step(logged[schedule.monitor])  # type: ignore[call-arg]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(self.record)
        checkpoint["total_steps"] = self.total_steps
        metrics = self.trainer.callback_metrics
        checkpoint["logged"] = {name: value.detach().cpu() for name, value in metrics.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._logged = checkpoint.get("logged", {})
        planned = checkpoint.get("total_steps", self.total_steps)
        if getattr(self.scheduler, "has_end", False) and planned != self.total_steps:
            raise InputError(
                f"this schedule was made for {planned} steps, not {self.total_steps}: "
                "resume without changing how long the run is"
            )

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer([p for p in self.net.parameters() if p.requires_grad])
        schedule = {"name": "train/lr", **self.scheduler(optimizer, self.total_steps)}
        if schedule.get("monitor", "").startswith("val/"):
            schedule["frequency"] = self.trainer.check_val_every_n_epoch
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run; 0 if it has no end.

        Counted from the data module: `estimated_stepping_batches` would make the loader
        too early, and a resumed one would then lose its place.
        """
        trainer = self.trainer
        steps = trainer.max_steps if trainer.max_steps > 0 else math.inf
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            batches = trainer.datamodule.num_batches  # type: ignore[attr-defined]
            each = math.ceil(batches / trainer.accumulate_grad_batches)
            steps = min(steps, trainer.max_epochs * each)
        return 0 if steps == math.inf else int(steps)
