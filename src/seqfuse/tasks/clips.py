"""Anomalies among clips: those that a net trained on normal ones cannot reconstruct."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from seqfuse.nn.shapes import Batch
from seqfuse.nn.stems import motion
from seqfuse.predicting.model import ClipScores
from seqfuse.tasks.base import Task
from seqfuse.tasks.losses import middle


class ClipAnomalyTask(ClipScores, Task):
    """Reconstructs the motion of normal clips; the error of a clip is its score.

    The head returns a number for each frame and each cell of a square grid. It has to say, from
    a few codes, how much the brightness changes there. Class 0 is normal; the loss is that of
    normal clips alone, the metrics take scores and classes of all.
    """

    def _loss(self, prediction: Tensor, batch: Batch, stage: str) -> tuple[Tensor, int]:
        normal, target = batch.y == 0, self.target(prediction, batch)
        return self._pooled(self.loss(prediction[normal], target[normal]), target[normal])

    def _measured(self, prediction: Tensor, batch: Batch) -> Tensor:
        return self.scores(prediction, batch)

    def target(self, prediction: Tensor, batch: Batch) -> Tensor:
        """(b h k) what a prediction (b h k p) should have been; NaN behind the last frame."""
        change = motion(batch.x, batch.mask, math.isqrt(prediction.shape[2]))
        missing = prediction.shape[1] - change.shape[1]
        return F.pad(change, (0, 0, 0, missing), value=torch.nan).to(prediction.dtype)

    def scores(self, prediction: Tensor, batch: Batch) -> Tensor:
        """(b) the mean squared error of each clip."""
        error = middle(prediction.detach()) - self.target(prediction, batch)
        return error.square().flatten(1).nanmean(dim=1)
