"""Anomaly detection: a task of forecasts or reconstructions whose errors become scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.data.recordings import Recording
from seqfuse.losses import middle
from seqfuse.plain.errors import InputError
from seqfuse.ranks import talk
from seqfuse.scores import Floats, Likelihood, Scored
from seqfuse.shapes import Batch
from seqfuse.tasks.base import Scheduler, Task


class AnomalyTask(Task):
    """Learns what is normal; what it cannot forecast, or put together again, is an anomaly.

    Errors of overlapping windows are averaged per time step, over channels too. The
    threshold is a quantile of the scores in the training parts of the recordings; it is
    set at every validation and lies in the checkpoint. (Without any, the test sets its own.)

    Args:
        net: raw batch to `Output`.
        loss: prediction and target to a scalar.
        metrics: of the predictions.
        optimizer: called with the parameters.
        scheduler: called with the optimizer and the total number of steps.
        scorer: makes scores of errors.
        measures: each takes what was scored and the threshold, returns numbers by name.
        quantile: share of the training parts' steps that are below the threshold.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Scheduler,
        scorer: Likelihood,
        measures: Mapping[str, Callable[[Sequence[Scored], float], Mapping[str, float]]],
        quantile: float = 0.999,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler, Threshold(scorer, quantile))
        self.scorer = scorer
        self.measures = measures
        self.scored: list[Scored] = []
        """What the last test said of each recording."""
        self._errors = Errors()

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
        threshold: Any = self.calibrator
        if len(batch.y):
            threshold.errors.add(self.net(batch.x, batch.mask).prediction, batch)
        if is_last:
            threshold.fit(self._recordings())

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        outputs = super().test_step(batch, batch_idx)
        if len(batch.y):
            self._errors.add(outputs["prediction"], batch)
        return outputs

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        errors, self._errors = self._errors, Errors()
        if self.trainer.datamodule.evaluated != "test":  # type: ignore[attr-defined]
            return  # scores need whole recordings
        scored = errors.score(self._recordings(), self.scorer)
        if self.calibrator.value.isnan():  # type: ignore[union-attr, operator]
            self.calibrator.set(scored)  # type: ignore[union-attr, operator]
        self.scored = [one._replace(scores=np.nan_to_num(one.scores)) for one in scored]
        self.log("test/threshold", self.threshold)
        for measure in self.measures.values():
            for name, value in measure(self.scored, self.threshold).items():
                self.log(f"test/{name}", value)

    def _recordings(self) -> list[Recording]:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        return data.splits.recordings()


class Errors:
    """Absolute errors of windows, the mean over channels, until all are there."""

    def __init__(self) -> None:
        self._errors: list[Floats] = []
        self._starts: list[np.ndarray] = []

    def add(self, prediction: Tensor, batch: Batch) -> None:
        """Those of a batch."""
        error = (middle(prediction.detach()) - batch.y).abs().mean(dim=-1)
        self._errors.append(error.cpu().double().numpy())
        self._starts.append(batch.index.cpu().numpy())

    def score(self, recordings: Sequence[Recording], scorer: Likelihood) -> list[Scored]:
        """Scores of recordings, whose rows the windows count one after the other.

        Returns:
            per recording, NaN at steps of no window.
        """
        ends = np.cumsum([len(one.values) for one in recordings])
        errors, starts = self._of_all_ranks()
        merged = scorer.merge(errors, starts, ends[-1])
        # What is normal is told by windows that end with the training part.
        borders = ends - [len(one.values) - one.num_train for one in recordings]
        border = borders[np.searchsorted(ends, starts, side="right")]
        inside = starts + errors.shape[1] <= border
        normal = scorer.merge(errors[inside], starts[inside], ends[-1])
        trained = np.arange(ends[-1]) < np.repeat(borders, np.diff(ends, prepend=0))
        parts = np.split(np.where(trained, normal, merged), ends[:-1])
        return [scorer.of(one, part) for one, part in zip(recordings, parts, strict=True)]

    def _of_all_ranks(self) -> tuple[Floats, np.ndarray]:
        """Errors (w h) and starts (w), in the order of time."""
        parts = talk.gather((self._errors, self._starts))
        errors = np.concatenate([one for part, _ in parts for one in part])
        starts = np.concatenate([one for _, part in parts for one in part])
        order = np.argsort(starts, kind="stable")
        return errors[order], starts[order]


class Threshold(nn.Module):
    """A quantile of the scores in training parts; predictions go through unchanged.

    Args:
        scorer: makes scores of errors.
        quantile: share of the scores that are below it.
    """

    value: Tensor

    def __init__(self, scorer: Likelihood, quantile: float):
        super().__init__()
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile} must be above 0 and below 1")
        self.scorer, self.quantile = scorer, quantile
        self.register_buffer("value", torch.tensor(torch.nan))
        self.errors = Errors()

    def forward(self, prediction: Tensor) -> Tensor:
        return prediction

    def clear(self) -> None:
        """Forgets the errors."""
        self.errors = Errors()

    def fit(self, recordings: Sequence[Recording]) -> None:
        """Sets the threshold from the errors, which are those of training parts."""
        scored = self.errors.score(recordings, self.scorer)
        self.clear()
        self.set(scored)

    def set(self, scored: Sequence[Scored]) -> None:
        """Sets it from scores, of which those of training parts count."""
        scores = np.concatenate([one.scores[: one.recording.num_train] for one in scored])
        self.value.fill_(float(np.nanquantile(scores, self.quantile)))
