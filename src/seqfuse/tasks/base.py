"""The task: net, loss, metrics, optimizer and schedule; most jobs need no other class."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, Metric, MetricCollection

from seqfuse.nn import collectives
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.bank.lags import LagBank
from seqfuse.nn.masking import SharedNorm
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch, Fitted
from seqfuse.predicting.ensemble import Ensemble
from seqfuse.predicting.model import Model, Record
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.sets import Sets
from seqfuse.runtime.jobs.softmax import softmax
from seqfuse.runtime.pipelines.labels import NO_LABEL
from seqfuse.runtime.shown import say
from seqfuse.tasks.calibration import Familiarity, Scaling, Temperature
from seqfuse.tasks.losses import CrossEntropy, Pooled, weigh
from seqfuse.tasks.metrics import BatchMean, SetCoverage, Undefinable
from seqfuse.tasks.schedules import Schedule

Outputs = dict[str, Tensor]
STAGES = ("train", "val", "test")
OF_PARTS = ("accuracy", "mse")
"""Metrics that the parts of a net have alone: the first that the task has."""
BANK = "net.bank."
"""Beginning of the names of a bank's weights."""
FIT_SERIES = {"train": 2**15, "val": 2**13}
"""Series, of windows of these splits, that a bank of lags is fitted to, and chosen by."""
FIT_BATCH = 256
"""Series at a time, while a bank of lags is fitted."""


class Task(Model, LightningModule):
    """Trains a net on a loss and measures it.

    Logs `train/loss`, `val/loss`, `test/loss` and, for val and test, every metric.

    Args:
        net: raw batch to `Output`.
        loss: prediction and target to a scalar, a mean over the batch.
        metrics: by name; each takes prediction and target.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        calibrator: corrects predictions outside training; fitted to the first of two validation
            loaders, but for a temperature, which is fitted when training has ended.
        record: saved with the weights; without one a checkpoint rebuilds nothing.
        familiarity: measures how unlike the training items an item is; fitted when training has
            ended.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any]],
        calibrator: nn.Module | None = None,
        record: Record | None = None,
        familiarity: Familiarity | None = None,
    ):
        super().__init__(net, calibrator, familiarity, record)
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.is_compiled = False
        self.is_sharded = False
        self.losses = {stage: BatchMean() for stage in STAGES}
        self.metrics: Any = nn.ModuleDict(
            # Metrics that happen to agree on the first batch would be taken for one.
            {
                f"{s}_": MetricCollection(
                    dict(metrics), prefix=f"{s}/", compute_groups=False
                ).clone()
                for s in STAGES[1:]
            }
        )
        # An accuracy, or an error, for each part of a net whose prediction joins several.
        self.alone: Any = nn.ModuleDict()
        chosen = next((metrics[name] for name in OF_PARTS if name in metrics), None)
        if chosen is not None and self._joins():
            for stage in STAGES[1:]:
                parts: Any = {part: chosen.clone() for part in ("net_alone", "bank_alone")}
                self.alone[f"{stage}_"] = MetricCollection(
                    parts, prefix=f"{stage}/", compute_groups=False
                )
        # Of probabilities of the test split, before calibration and after it.
        self.uncalibrated: Any = None
        self.calibrated: Any = None
        if isinstance(calibrator, Scaling):
            both: dict[str, Any] = calibrator.metrics()
            new: dict[str, Any] = {n: m for n, m in both.items() if n not in metrics}
            named = {"prefix": "test/", "compute_groups": False}
            self.uncalibrated = MetricCollection(both, postfix="_uncalibrated", **named).clone()
            self.calibrated = MetricCollection(new, **named).clone()
        if isinstance(calibrator, Temperature):
            self.set_coverage = SetCoverage(calibrator.classes, calibrator.level)
        self._sets: Sets | None = None
        self.disagreement = MeanMetric()
        """Disagreement of an ensemble's members; its mean is logged beside the metrics."""
        self._logged: dict[str, Tensor] = {}
        self._left_out: tuple[Tensor, Tensor] | None = None

    def _joins(self) -> bool:
        """Whether the net joins its predictions to those of a bank."""
        bank = self.net.bank if isinstance(self.net, (Net, Ensemble)) else None
        return bank is not None and 0 < bank.share < 1

    def compile_net(self) -> None:
        """Compiles the net in place: parameter names, and so checkpoints, stay as they are."""
        self.is_compiled = True
        self.net.compile(dynamic=True)

    def shard_net(self, shard: Callable[[nn.Module], None]) -> None:
        """Leaves this rank its shard of the net, by a function that all ranks call."""
        shard(self.net)
        self.is_sharded = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a spawned process: metrics come as shared memory, and what was compiled does not."""
        super().__setstate__(state)
        for part in self.modules():
            for name, value in part.metric_state.items() if isinstance(part, Metric) else ():
                setattr(part, name, copy.deepcopy(value))
        if self.is_compiled:
            self.compile_net()

    def _step(self, batch: Batch, stage: str) -> Outputs:
        if not len(batch.y):
            return {"loss": self._step_of_none(stage)}
        output = self.net(batch.x, batch.mask)
        prediction = output.prediction
        if stage == "train" and batch.weight is not None:
            prediction = weigh(prediction, batch.weight)
        loss, size = self._loss(prediction, batch, stage)
        self.losses[stage].update(loss.detach(), size)
        outputs = {"loss": loss, "weights": output.weights}
        if stage != "train":
            scores, prediction = prediction, self._measured(prediction, batch)
            if stage == "test" and self.is_scaled:
                self.uncalibrated.update(*self.calibrator.rows(scores, batch.y))
                scaled = self.calibrator.scaled(scores)
                self.calibrated.update(*self.calibrator.rows(scaled, batch.y))
                if self._sets is not None:
                    included = self._sets(softmax(prediction.float().numpy(force=True)))
                    self.set_coverage.update(torch.from_numpy(included).to(batch.y.device), batch.y)
            # Metrics of baselines look at the input, too.
            self.metrics[f"{stage}_"].update(prediction, batch.y, x=batch.x, mask=batch.mask)
            if self.alone:
                for part, scores in output.alone.items():
                    self.alone[f"{stage}_"][f"{part}_alone"].update(scores, batch.y)
            if output.disagreement is not None:
                outputs["disagreement"] = output.disagreement
                is_real = batch.y != NO_LABEL  # of steps, some of which may be padding
                same = is_real.shape == output.disagreement.shape
                chosen = output.disagreement[is_real] if same else output.disagreement
                self.disagreement.update(chosen)
            if (distance := self.distance(output)) is not None:
                outputs["distance"] = distance
        return {**outputs, "prediction": prediction}

    def _loss(self, prediction: Tensor, batch: Batch, stage: str) -> tuple[Tensor, int]:
        """The loss and the size of the whole batch, of which this rank has a part."""
        return self._pooled(self.loss(prediction, batch.y), batch.y)

    def _measured(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The prediction that metrics and users get."""
        return self.calibrate(prediction)

    def _pooled(self, loss: Tensor, y: Tensor) -> tuple[Tensor, int]:
        if collectives.count() == 1:
            return loss, len(y)
        items = self.loss.items(y) if isinstance(self.loss, Pooled) else loss.new_tensor(len(y))
        return collectives.pooled(loss, items, len(y))

    def _step_of_none(self, stage: str) -> Tensor:
        """The loss of a batch of which this rank has no part: without a gradient of its own."""
        if self.is_sharded or stage == "train":
            nothing = self._idle_forward(stage)
        else:
            sums = [p.sum() for p in self.net.parameters() if p.requires_grad]
            nothing = torch.stack(sums).sum() * 0.0
        loss, size = self._loss_of_none(nothing, stage)
        self.losses[stage].update(loss.detach(), size)
        return loss

    def _idle_forward(self, stage: str) -> Tensor:
        """Zero, by a forward of an item that does not count: the others need this rank's shard of
        the weights, or its part in batch statistics."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        items = data.tensors(stage)
        item = self.transfer_batch_to_device(items.__getitems__([0]), self.device, 0)
        norms = [part for part in self.net.modules() if isinstance(part, collectives.BATCH_NORMS)]
        alone = [part for part in norms if part.training and not isinstance(part, SharedNorm)]
        for part in alone:
            part.eval()
        with collectives.idle():
            prediction = self._passed(item)
        for part in alone:
            part.train()
        return prediction.nan_to_num(0.0, 0.0, 0.0).sum() * 0.0

    def _passed(self, batch: Batch) -> Tensor:
        """A batch's way through the net in training."""
        return self.net(batch.x, batch.mask).prediction

    def _loss_of_none(self, nothing: Tensor, stage: str) -> tuple[Tensor, int]:
        """`_loss` of no item: as many collectives as there are on the other ranks."""
        return collectives.pooled(nothing, torch.zeros_like(nothing), 0)

    def undefined(self, name: str) -> str | None:
        """Why a metric may have no value on a split that is in order; None: it must have one."""
        metric = dict(self.metrics["test_"].items(keep_base=True)).get(name)
        return metric.undefined if isinstance(metric, Undefinable) else None

    @property
    def calibrates_each_epoch(self) -> bool:
        """Whether the calibrator is fitted at each validation."""
        return self.calibrator is not None and not isinstance(self.calibrator, Temperature)

    @property
    def is_scaled(self) -> bool:
        """Whether probabilities are calibrated by a temperature that was fitted."""
        return isinstance(self.calibrator, Scaling) and self.calibrator.is_fitted

    @property
    def correction(self) -> nn.Module | None:
        """The part of an exported graph that corrects predictions."""
        return self.calibrator

    def with_net(self, net: nn.Module) -> "Task":
        """A copy that measures another net, whose predictions are corrected already."""
        task = copy.deepcopy(self)
        task.net = net
        if isinstance(task.calibrator, Temperature):
            task.calibrator.set(1.0, int(task.calibrator.num_items))
        elif task.correction is not None:
            task.calibrator = None
        return task

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._step(batch, "train")["loss"]

    def validation_step(
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> Outputs | None:
        batches = self.trainer.num_val_batches
        if len(batches) > 1 and not dataloader_idx:  # calibration comes first
            return self._calibrate_on(batch, batch_idx + 1 == batches[0])
        return self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> Outputs:
        return self._step(batch, "test")

    def on_validation_epoch_start(self) -> None:
        collectives.average_statistics(self.net)
        if self.calibrates_each_epoch:
            self.calibrator.clear()

    def _calibrate_on(self, batch: Batch, is_last: bool) -> None:
        if len(batch.y):
            self._collect(self.net(batch.x, batch.mask).prediction, batch)
        elif self.is_sharded:
            self._idle_forward("calibration")
        if is_last:  # not at the epoch's end: an averaged net has left by then
            self._fit_calibrator()

    def _collect(self, prediction: Tensor, batch: Batch) -> None:
        """Gives the calibrator a batch to be fitted to."""
        self.calibrator.update(prediction, batch.y)

    def _fit_calibrator(self) -> None:
        self.calibrator.fit()

    def on_fit_start(self) -> None:
        for part in self.net.modules():
            if not isinstance(part, Fitted) or part.is_fitted:  # as that of a resumed run is
                continue
            if isinstance(part, LagBank):
                self._fit_lags(part)
            elif isinstance(part, Bank):
                self._fit_bank(part)

    def _fit_bank(self, bank: Bank) -> None:
        """Hands the training rows to a bank, without augmentation; each rank does the same."""
        items = self.trainer.datamodule.tensors("train")  # type: ignore[attr-defined]
        rows, left_out = self._left_out = self._leave_out(bank, items)
        bank.to(self.device)
        if not collectives.rank():
            y = items.y[rows]
            accuracy = (left_out.argmax(dim=1) == y).float().mean()
            say(
                f"bank        {len(bank.centre):,} features of {len(y)} series, "
                f"accuracy {accuracy:.3f}, each predicted by a fit to the others"
            )

    def _leave_out(self, bank: Bank, items: Any) -> tuple[Tensor, Tensor]:
        """Fits a bank; the rows it was fitted to, and its log-probabilities (n k) of each by a fit
        to all others."""
        rows = bank.rows(items.y)
        batch = items.__getitems__(rows.tolist())
        # Of Apple's GPUs none computes in double precision.
        device = torch.device("cpu") if self.device.type == "mps" else self.device
        x, mask, y = (part.to(device) for part in (batch.x, batch.mask, batch.y))
        of_class = self.loss.weight if isinstance(self.loss, CrossEntropy) else None
        weights = None if of_class is None else of_class.to(device)[y]
        if batch.weight is not None:
            each = batch.weight.to(device)
            weights = each if weights is None else each * weights
            kept = weights > 0
            x, mask, y, weights = x[kept], mask[kept], y[kept], weights[kept]
            rows = rows[kept.cpu()]
        return rows, bank.to(device).fit(x, mask, y, weights).cpu()

    def take_bank(self, content: Mapping[str, Any]) -> None:
        """Takes over the bank of a checkpoint of the same training rows, which is fitted.

        What was fitted to the net that it was joined to is left out: a temperature, a share.
        """
        bank = {name: w for name, w in content["state_dict"].items() if name.startswith(BANK)}
        for name in ("net_temperature", "fitted_share"):
            bank.pop(f"{BANK}{name}", None)
        self.load_state_dict(bank, strict=False)
        self._left_out = content.get("left_out")

    def left_out(self, bank: Bank, items: Any) -> tuple[Tensor, Tensor]:
        """Rows, and log-probabilities of rows left out, of a bank that is fitted; without any on
        record, a copy of it is fitted anew."""
        return self._left_out or self._leave_out(copy.deepcopy(bank), items)

    def _fit_lags(self, bank: LagBank) -> None:
        """Hands windows of training to a bank of lags, and some of validation to choose by."""
        penalty, error = bank.fit(*(self._spread(*part) for part in FIT_SERIES.items()))
        if not collectives.rank():
            say(
                f"bank        {bank.look_back} lags, penalty {penalty:g}: squared error on "
                f"validation {error:.3f} of that of the last value"
            )

    def _spread(self, split: str, limit: int) -> Iterator[Batch]:
        """Windows of a split at even distances, of so many series in all."""
        items = self.trainer.datamodule.tensors(split)  # type: ignore[attr-defined]
        targets = items.__getitems__([0]).y.shape[-1]
        rows = torch.arange(0, len(items), max(len(items) * targets // limit, 1))
        for some in rows.split(max(FIT_BATCH // targets, 1)):
            x, mask, y, *rest = items.__getitems__(some.tolist())
            yield Batch(x.to(self.device), mask.to(self.device), y.to(self.device), *rest)

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

    def on_test_epoch_start(self) -> None:
        self._sets = self.calibrator.test_sets() if self.is_scaled else None

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def _log_epoch(self, stage: str) -> None:
        measured = self._finish(stage)
        self.log(loss := f"{stage}/loss", measured.pop(loss), prog_bar=True)
        self.log_dict(measured, prog_bar=False)

    def _finish(self, stage: str) -> dict[str, Tensor]:
        """What was measured since the last call, of all ranks together."""
        measured = {f"{stage}/loss": self.losses[stage].compute()}
        self.losses[stage] = BatchMean()
        if stage != "train":
            # An exported graph, which an int8 export measures in the net's place, has no parts.
            parts = [self.alone[f"{stage}_"]] if self.alone and self._joins() else []
            if stage == "test" and self.is_scaled:
                parts += [self.uncalibrated, self.calibrated]
            for metrics in (self.metrics[f"{stage}_"], *parts):
                measured |= metrics.compute()
                metrics.reset()
            if stage == "test" and self.is_scaled and self._sets is not None:
                values = self.set_coverage.compute()
                measured |= {f"test/{name}": value for name, value in values.items()}
                self.set_coverage.reset()
            if self.num_members > 1:
                measured[f"{stage}/disagreement"] = self.disagreement.compute()
                self.disagreement.reset()
        return measured

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch], stage: str) -> dict[str, float]:
        """Loss and metrics of batches by name, apart from any loop of a trainer."""
        for batch in batches:
            self._step(self.transfer_batch_to_device(batch, self.device, 0), stage)
        return {name: float(value) for name, value in self._finish(stage).items()}

    def _step_plateau(self) -> None:
        """Steps a plateau schedule in the epoch a run was resumed in, where Lightning skips it."""
        logged = self._logged | self.trainer.callback_metrics
        for schedule in self.trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau and schedule.monitor in logged:
                schedule.scheduler.step(logged[schedule.monitor])  # type: ignore[call-arg]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint.update(self.record._asdict())
        checkpoint["total_steps"] = self.total_steps
        if self._left_out is not None:
            checkpoint["left_out"] = self._left_out
        # A run resumed after validation still has to log the loss of its training.
        checkpoint["train_loss"] = self.losses["train"].state()
        metrics = self.trainer.callback_metrics
        checkpoint["logged"] = {name: value.detach().cpu() for name, value in metrics.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._logged = checkpoint.get("logged", {})
        self._left_out = checkpoint.get("left_out")
        self.losses["train"] = BatchMean(**checkpoint.get("train_loss", {}))
        planned = checkpoint.get("total_steps", self.total_steps)
        has_end = isinstance(self.scheduler, Schedule) and self.scheduler.has_end
        if has_end and planned != self.total_steps:
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
