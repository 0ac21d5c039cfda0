"""Anomalies among clips: what a net that knows normal ones cannot put together again."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqfuse.nn.shapes import Batch
from seqfuse.nn.stems import motion
from seqfuse.tasks.base import Task
from seqfuse.tasks.losses import middle


class ClipAnomalyTask(Task):
    """Puts the motion of normal clips together again; the error of a clip is its score.

    The head returns a number for each frame and each cell of a square grid. It has to say, from
    a few codes, how much the brightness changes there. Class 0 is normal; the loss is that of
    normal clips alone, the metrics take scores and classes of all.
    """

    def _step(self, batch: Batch, stage: str) -> dict[str, Tensor]:
        if not len(batch.y):
            return {"loss": self._idle(stage)}
        prediction, weights = self.net(batch.x, batch.mask)
        target = self.target(prediction, batch)
        normal = batch.y == 0
        loss, size = self._pooled(self.loss(prediction[normal], target[normal]), target[normal])
        self.losses[f"{stage}_"].update(loss.detach(), size)
        scores = self.scores(prediction, batch)
        if stage != "train":
            self.metrics[f"{stage}_"].update(scores, batch.y, x=batch.x, mask=batch.mask)
        return {"loss": loss, "prediction": scores, "weights": weights}

    def target(self, prediction: Tensor, batch: Batch) -> Tensor:
        """(b h k) what a prediction (b h k p) should have been; NaN behind the last frame."""
        found = motion(batch.x, batch.mask, math.isqrt(prediction.shape[2]))
        found = F.pad(found, (0, 0, 0, prediction.shape[1] - found.shape[1]), value=torch.nan)
        return found.to(prediction.dtype)

    def scores(self, prediction: Tensor, batch: Batch) -> Tensor:
        """(b) the mean squared error of each clip."""
        error = middle(prediction.detach()) - self.target(prediction, batch)
        return error.square().flatten(1).nanmean(dim=1)
