"""Anomaly detection: a forecasting task whose test errors become scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.losses import middle
from seqfuse.scores import Scored, merge
from seqfuse.shapes import Batch
from seqfuse.tasks.base import Scheduler, Task


class AnomalyTask(Task):
    """Trains a forecaster on what is normal; what it cannot forecast is an anomaly.

    Errors of overlapping horizons are averaged per time step, over channels too. The
    threshold is a quantile of the scores in the training part of the recordings.

    Args:
        net: raw batch to `Output`.
        loss: prediction and target to a scalar.
        metrics: of the forecasts.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        scorer: errors (t) and the number of training steps to scores (t), from 0 to 1.
        measures: each takes what was scored and the threshold, returns numbers by name.
        quantile: share of the training part's steps that are below the threshold.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        scorer: Callable[[np.ndarray, int], np.ndarray],
        measures: Mapping[str, Callable[[Sequence[Scored], float], Mapping[str, float]]],
        quantile: float = 0.999,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler)
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile} must be above 0 and below 1")
        self.scorer = scorer
        self.measures = measures
        self.quantile = quantile
        self.scored: list[Scored] = []
        """What the last test said of each recording."""
        self.threshold = 0.0
        self._errors: list[np.ndarray] = []
        self._starts: list[np.ndarray] = []

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().test_step(batch, batch_idx)
        error = (middle(outputs["prediction"]) - batch.y).abs().mean(dim=-1)
        self._errors.append(error.double().cpu().numpy())
        self._starts.append(batch.index.cpu().numpy())
        return outputs

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        if self.trainer.datamodule.evaluated != "test":  # type: ignore[attr-defined]
            self._errors, self._starts = [], []
            return  # scores need whole recordings
        self._score()
        for measure in self.measures.values():
            for name, value in measure(self.scored, self.threshold).items():
                self.log(f"test/{name}", value)

    def _score(self) -> None:
        splits: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        recordings = splits.splits.recordings()
        ends = np.cumsum([len(one.values) for one in recordings])
        errors = merge(np.concatenate(self._errors), np.concatenate(self._starts), ends[-1])
        self._errors, self._starts = [], []
        parts = np.split(errors, ends[:-1])
        self.scored = [
            Scored(one, self.scorer(part, one.num_train))
            for one, part in zip(recordings, parts, strict=True)
        ]
        normal = [s.scores[: s.recording.num_train] for s in self.scored]
        known = [one[~np.isnan(p[: len(one)])] for one, p in zip(normal, parts, strict=True)]
        self.threshold = float(np.quantile(np.concatenate(known), self.quantile))
        self.log("test/threshold", self.threshold)
