"""Anomaly detection: a task of forecasts or reconstructions whose errors become scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data.monitored import Monitored
from seqfuse.data.read.recordings import Recording
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.likelihood import Told
from seqfuse.tasks.base import Scheduler, Task
from seqfuse.tasks.calibration import threshold
from seqfuse.tasks.losses import middle
from seqfuse.tasks.measures import Scored, Scorer, VusPr


class AnomalyTask(Task):
    """Learns what is normal; windows that the scorer finds strange, given that, are anomalies.

    What overlapping windows say of a time step is averaged. The threshold is set at every
    validation and lies in the checkpoint. (Without any, the test sets its own; see `Threshold`.)

    Args:
        net: raw batch to `Output`.
        loss: prediction and target to a scalar.
        metrics: of the predictions.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        scorer: makes scores of windows.
        measures: each takes what was scored and the threshold, returns numbers by name.
        quantile: fraction of normal steps, new to the net, that are below the threshold.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        scorer: Scorer,
        measures: Mapping[str, Callable[[Sequence[Scored], float], Mapping[str, float]]],
        quantile: float = 0.999,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler, Threshold(scorer, quantile))
        self.scorer = scorer
        self.measures = measures
        self.scored: list[Scored] = []
        """What the last test said of each recording."""
        self._errors = Errors(scorer.reads_predictions)

    @property
    def threshold(self) -> float:
        """The least score of an anomaly.

        Raises:
            InputError: no validation has set it.
        """
        value = float(self.calibrator.value)  # type: ignore[union-attr, arg-type]
        if np.isnan(value):
            raise InputError(
                "no validation has set the threshold of anomalies: type "
                "trainer.check_val_every_n_epoch=1 trainer.limit_val_batches=1.0"
            )
        return value

    def _calibrate_on(self, batch: Batch, is_last: bool) -> None:
        calibrator: Any = self.calibrator
        if len(batch.y):
            calibrator.errors.add(self.net(batch.x, batch.mask).prediction, batch)
        if is_last:
            calibrator.fit(self._splits())

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().test_step(batch, batch_idx)
        if len(batch.y):
            self._errors.add(outputs["prediction"], batch)
        return outputs

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        errors, self._errors = self._errors, Errors(self.scorer.reads_predictions)
        if self.trainer.datamodule.evaluated != "test":  # type: ignore[attr-defined]
            return  # scores need whole recordings
        scored = errors.score(self._splits().recordings(), self.scorer)
        if self.calibrator.value.isnan():  # type: ignore[union-attr, operator]
            self.calibrator.errors = errors  # type: ignore[union-attr]
            self.calibrator.fit(self._splits())  # type: ignore[union-attr, operator]
        self.scored = [one._replace(scores=np.nan_to_num(one.scores)) for one in scored]
        self.log("test/threshold", self.threshold)
        for measure in self.measures.values():
            for name, value in measure(self.scored, self.threshold).items():
                self.log(f"test/{name}", value)

    def undefined(self, name: str) -> str | None:
        for one in self.measures.values():
            if isinstance(one, VusPr) and one.name == name:
                return one.undefined
        return super().undefined(name)

    def _splits(self) -> Monitored:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return data.splits


class Errors:
    """What the net says of windows, until all are there.

    Args:
        predictions: whether predictions count, beside their errors.
    """

    def __init__(self, predictions: bool = False) -> None:
        self._kept = slice(None if predictions else 0)
        self._told: list[Told] = []

    def add(self, prediction: Tensor, batch: Batch) -> None:
        """That of a batch."""
        found = middle(prediction.detach()).float()  # numpy knows no bfloat16
        error = (found - batch.y).abs().mean(dim=-1)
        parts = (batch.index, error, found[:, self._kept])
        self._told.append(Told(*(part.cpu().numpy() for part in parts)))

    def score(self, recordings: Sequence[Recording], scorer: Scorer) -> list[Scored]:
        """Scores of recordings, whose rows the windows count one after the other.

        Returns:
            per recording, NaN at steps of no window.
        """
        parts = zip(recordings, self.told(recordings), strict=True)
        return [
            Scored(one, scorer.of_windows(one.values, one.num_train, told, one.name))
            for one, told in parts
        ]

    def told(self, recordings: Sequence[Recording]) -> list[Told]:
        """What the net said of each recording."""
        ends = np.cumsum([len(one.values) for one in recordings])
        told = self._of_all_ranks()
        cuts = np.searchsorted(told.starts, ends[:-1])
        parts = zip(*(np.split(one, cuts) for one in told), strict=True)
        firsts = ends - [len(one.values) for one in recordings]
        return [
            Told(starts - first, *more)
            for first, (starts, *more) in zip(firsts, parts, strict=True)
        ]

    def _of_all_ranks(self) -> Told:
        """In the order of time."""
        parts = [told for each in collectives.gather(self._told) for told in each]
        starts, errors, predictions = (np.concatenate(one) for one in zip(*parts, strict=True))
        order = np.argsort(starts, kind="stable")
        return Told(starts[order], errors[order], predictions[order])


class Threshold(nn.Module):
    """The score that normal steps reach at a rate of 1 - quantile; predictions stay as they are.

    The validation part of each recording is scored as a test part is, as if the training part
    ended before it: net, components and scale have not seen it. Its scores set the threshold
    (see `seqfuse.tasks.calibration`); labels do not count. Few scores tell little of a rare
    event: the quantile is then extrapolated. Where validation parts are shorter than twenty times
    what a score looks at, training parts make up the difference, by components fitted without
    them.

    Args:
        scorer: makes scores of windows.
        quantile: fraction of the scores of normal steps that are below it.
    """

    value: Tensor

    def __init__(self, scorer: Scorer, quantile: float):
        super().__init__()
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile} must be above 0 and below 1")
        self.scorer, self.quantile = scorer, quantile
        self.register_buffer("value", torch.tensor(torch.nan))
        self.errors = Errors(self.scorer.reads_predictions)

    def forward(self, prediction: Tensor) -> Tensor:
        return prediction

    def clear(self) -> None:
        """Forgets the errors."""
        self.errors = Errors(self.scorer.reads_predictions)

    def fit(self, splits: Monitored) -> None:
        """Sets the threshold from the errors of windows in training and validation parts."""
        recordings = splits.recordings()
        parts = zip(recordings, self.errors.told(recordings), strict=True)
        found = [self._scores(one, splits.cut(one), told) for one, told in parts]
        self.clear()
        training, held_out = (np.concatenate(parts) for parts in zip(*found, strict=True))
        span = self.scorer.span(splits.horizon)
        self.value.fill_(threshold(held_out, training, span, self.quantile))

    def _scores(self, one: Recording, cut: int, told: Told) -> list[np.ndarray]:
        """Those of the training steps of a recording, and those held out behind them."""
        horizon = told.errors.shape[1]
        if cut < self.scorer.least(horizon):
            cut = one.num_train  # too few steps are left: none is held out
        ends = told.starts + horizon
        chosen = (ends <= cut) | (told.starts >= cut) & (ends <= one.num_train)
        own = Told(told.starts[chosen], told.errors[chosen], told.predictions[chosen])
        values = one.values[: one.num_train]
        return np.split(self.scorer.of_windows(values, cut, own, one.name), [cut])
