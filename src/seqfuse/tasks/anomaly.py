"""Anomaly detection: a task of forecasts or reconstructions whose errors become scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data.monitored import Monitored
from seqfuse.nn.shapes import Batch
from seqfuse.predicting.model import Record
from seqfuse.tasks.base import Outputs, Task
from seqfuse.tasks.calibration import Errors, Threshold
from seqfuse.tasks.measures import F1, Scored, Scorer, VusPr


class AnomalyTask(Task):
    """Learns what is normal; windows that the scorer finds strange, given that, are anomalies.

    Numbers of overlapping windows are averaged per time step. The threshold is set at every
    validation and lies in the checkpoint. (Without any, the test sets its own; see `Threshold`.)

    Args:
        loss: of forecasts or reconstructions.
        measures: each takes what was scored and the threshold, returns numbers by name.
        quantile: fraction of normal steps, new to the net, that are below the threshold.
    """

    calibrator: Threshold

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
        return self.calibrator.score

    @property
    def correction(self) -> None:
        """None: a threshold changes no prediction."""

    def _collect(self, prediction: Tensor, batch: Batch) -> None:
        self.calibrator.errors.add(prediction, batch)

    def _fit_calibrator(self) -> None:
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

    def undefined(self, name: str) -> str | None:
        for measure in self.measures.values():
            if isinstance(measure, VusPr) and measure.name == name:
                return measure.undefined
            if isinstance(measure, F1) and name in measure.names:
                return measure.undefined
        return super().undefined(name)

    def _splits(self) -> Monitored:
        return self.trainer.datamodule.splits  # type: ignore[attr-defined]
