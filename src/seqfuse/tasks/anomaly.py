"""Anomaly detection: a task of forecasts or reconstructions whose errors become scores."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data.monitored import Monitored
from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.anomalies import SCORERS
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.scores.alarms import RATES
from seqfuse.runtime.scores.likelihood import Residuals
from seqfuse.tasks.base import Outputs, Record, Task
from seqfuse.tasks.calibration import threshold
from seqfuse.tasks.measures import Scored, Scorer, VusPr


class AnomalyTask(Task):
    """Learns what is normal; windows that the scorer finds strange, given that, are anomalies.

    Numbers of overlapping windows are averaged per time step. The threshold is set at every
    validation and lies in the checkpoint. (Without any, the test sets its own; see `Threshold`.)

    Args:
        loss: of forecasts or reconstructions.
        scorer: makes scores of windows.
        measures: each takes what was scored and the threshold, returns numbers by name.
        quantile: fraction of normal steps, new to the net, that are below the threshold.
    """

    calibrator: "Threshold"

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any]],
        scorer: Scorer,
        measures: Mapping[str, Callable[[Sequence[Scored], float], Mapping[str, float]]],
        quantile: float = 0.999,
        record: Record | None = None,
    ):
        calibrator = Threshold(scorer, quantile)
        super().__init__(net, loss, metrics, optimizer, scheduler, calibrator, record)
        self.scorer = scorer
        self.measures = measures
        self.scored: list[Scored] = []
        """Scores of each recording in the last test."""
        self._errors = Errors(scorer.reads_predictions)

    @property
    def threshold(self) -> float:
        """The lowest score of an anomaly."""
        value = float(self.calibrator.value)
        if np.isnan(value):
            raise InputError(
                "no validation has set the threshold of anomalies: type "
                "trainer.check_val_every_n_epoch=1 trainer.limit_val_batches=1.0"
            )
        return value

    @property
    def correction(self) -> None:
        """None: a threshold changes no prediction."""

    def _calibrate_on(self, batch: Batch, is_last: bool) -> None:
        if len(batch.y):
            self.calibrator.errors.add(self.net(batch.x, batch.mask).prediction, batch)
        if is_last:
            self.calibrator.fit(self._splits())

    def test_step(self, batch: Batch, batch_idx: int) -> Outputs:
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
        if self.calibrator.value.isnan():
            self.calibrator.fit(self._splits(), errors)
        self.scored = [result._replace(scores=np.nan_to_num(result.scores)) for result in scored]
        self.log("test/threshold", self.threshold)
        for measure in self.measures.values():
            for name, value in measure(self.scored, self.threshold).items():
                self.log(f"test/{name}", value)

    def metadata(self) -> dict[str, Any]:
        kind = type(self.scorer)
        scorer: Any = self.scorer
        if kind in SCORERS.values():
            options = {name: getattr(self.scorer, name) for name in self.scorer.options}
            scorer = {"kind": kind.__name__, **options}
        return {
            **super().metadata(),
            "scorer": scorer,
            "threshold": self.threshold,
            "thresholds": self.calibrator.of_rates.tolist(),
        }

    def undefined(self, name: str) -> str | None:
        for measure in self.measures.values():
            if isinstance(measure, VusPr) and measure.name == name:
                return measure.undefined
        return super().undefined(name)

    def _splits(self) -> Monitored:
        return self.trainer.datamodule.splits  # type: ignore[attr-defined]


class Errors:
    """Residuals of windows, gathered batch by batch until all are there.

    Args:
        predictions: whether to keep the predictions, too.
    """

    def __init__(self, predictions: bool = False) -> None:
        self._keep = predictions
        self._parts: list[Residuals] = []

    def add(self, prediction: Tensor, batch: Batch) -> None:
        """Adds the residuals of a batch."""
        forecast = prediction.detach().float().cpu().numpy()  # numpy knows no bfloat16
        index, y = batch.index.cpu().numpy(), batch.y.cpu().numpy()
        self._parts.append(Residuals.of(index, forecast, y, self._keep))

    def score(self, recordings: Sequence[Recording], scorer: Scorer) -> list[Scored]:
        """Scores of recordings, whose rows the windows count one after the other.

        NaN at steps of no window.
        """
        return [
            Scored(
                recording,
                scorer.of_windows(recording.values, recording.num_train, residuals, recording.name),
            )
            for recording, residuals in zip(recordings, self.by_recording(recordings), strict=True)
        ]

    def by_recording(self, recordings: Sequence[Recording]) -> list[Residuals]:
        """Residuals of each recording, in the order of time, on all ranks."""
        edges = np.cumsum([0, *(len(recording.values) for recording in recordings)]).tolist()
        every = Residuals.joined([p for rank in collectives.gather(self._parts) for p in rank])
        return [every.within(*edge) for edge in itertools.pairwise(edges)]


class Threshold(nn.Module):
    """The score that normal steps reach at a rate of 1 - quantile; predictions stay as they are.

    The validation part of each recording is scored as a test part is, as if the training part
    ended before it: net, components and scale have not seen it. Its scores set the threshold
    (`calibration.threshold`); labels do not count. Few scores tell little of a rare event: the
    quantile is then extrapolated. Where validation parts are shorter than twenty times what a
    score looks at, training parts make up the difference, by components fitted without them.

    Args:
        scorer: makes scores of windows.
        quantile: fraction of the scores of normal steps that are below it.
    """

    value: Tensor
    of_rates: Tensor
    """The thresholds of other quantiles, 1 - `RATES`."""

    def __init__(self, scorer: Scorer, quantile: float):
        super().__init__()
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile} must be above 0 and below 1")
        self.scorer, self.quantile = scorer, quantile
        self.register_buffer("value", torch.tensor(torch.nan))
        self.register_buffer("of_rates", torch.full((len(RATES),), torch.nan))
        self.clear()

    def forward(self, prediction: Tensor) -> Tensor:
        return prediction

    def clear(self) -> None:
        """Forgets the errors."""
        self.errors = Errors(self.scorer.reads_predictions)

    def fit(self, splits: Monitored, errors: Errors | None = None) -> None:
        """Sets the threshold from the errors of windows in training and validation parts."""
        recordings = splits.recordings()
        windows = (errors or self.errors).by_recording(recordings)
        self.clear()
        parts = zip(recordings, windows, strict=True)
        scores = [
            self._scores(recording, splits.cut(recording), windows) for recording, windows in parts
        ]
        training, held_out = (np.concatenate(parts) for parts in zip(*scores, strict=True))
        span = self.scorer.span(splits.horizon)
        self.value.fill_(threshold(held_out, training, span, self.quantile))
        others = [threshold(held_out, training, span, float(1 - rate)) for rate in RATES]
        self.of_rates.copy_(torch.as_tensor(np.maximum.accumulate(others)))

    def _scores(self, recording: Recording, cut: int, residuals: Residuals) -> list[np.ndarray]:
        """Scores of the training steps of a recording, and of those held out behind them."""
        starts, horizon = residuals.starts, residuals.errors.shape[1]
        if cut < self.scorer.least(horizon):
            cut = recording.num_train  # too few steps are left: none is held out
        ends = starts + horizon
        chosen = (ends <= cut) | (starts >= cut) & (ends <= recording.num_train)
        errors, predictions = residuals.errors[chosen], residuals.predictions[chosen]
        kept = Residuals(starts[chosen], errors, predictions)
        values = recording.values[: recording.num_train]
        return np.split(self.scorer.of_windows(values, cut, kept, recording.name), [cut])
