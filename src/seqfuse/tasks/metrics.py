"""Metrics that torchmetrics does not have."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassCalibrationError, MulticlassRecall
from torchmetrics.utilities.data import dim_zero_cat

from seqfuse.nn.frames import motion

ONE_CLASS = "the split has items of one class alone, or one without a score"
"""Why there is no area under a ROC curve."""


class BatchMean(Metric):
    """The mean over items of a number that is known per batch.

    torchmetrics' MeanMetric either drops NaN or (1.9, `nan_strategy="disable"`) the weights;
    a NaN loss has to be seen.
    """

    total: Tensor
    items: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("items", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, value: Tensor, items: int) -> None:
        self.total.add_(value, alpha=items)
        self.items.add_(items)

    def compute(self) -> Tensor:
        return self.total / self.items

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._update_count = 1  # else torchmetrics takes a restored state for an empty one


class BalancedAccuracy(MulticlassRecall):
    """The mean over classes of the share found, over classes that occur.

    torchmetrics' own macro recall counts a class that is predicted but never occurs as
    0; here, as in scikit-learn, it does not count.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average=None)

    def compute(self) -> Tensor:
        hits, misses = self.tp.float(), self.fn.float()  # type: ignore[union-attr]
        occurs = hits + misses > 0
        return (hits / (hits + misses).clamp(min=1))[occurs].mean()


class CalibrationError(MulticlassCalibrationError):
    """Expected calibration error (Guo et al. 2017) of unnormalised scores.

    torchmetrics guesses, batch by batch, whether it was given scores or probabilities.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.softmax(dim=-1), target)


class Auroc(Metric):
    """Area under the ROC curve of unnormalised scores: the mean over classes, each against
    the rest, of which both sides occur; NaN if there is none.
    """

    undefined = ONE_CLASS

    def __init__(self) -> None:
        super().__init__()
        self.add_state("probabilities", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.probabilities.append(preds.detach().softmax(dim=-1))  # type: ignore[union-attr, operator]
        self.truth.append(target)  # type: ignore[union-attr, operator]

    def compute(self) -> Tensor:
        probabilities = dim_zero_cat(self.probabilities)  # type: ignore[arg-type]
        truth = dim_zero_cat(self.truth)  # type: ignore[arg-type]
        areas = [auroc(column, truth == k) for k, column in enumerate(probabilities.unbind(dim=1))]
        return torch.stack(areas).nanmean()


def auroc(score: Tensor, positive: Tensor) -> Tensor:
    """How often a positive has the greater score than a negative; ties count half.

    Args:
        score: (n).
        positive: (n) boolean.

    Returns:
        0 to 1; NaN where one side is empty or a score is none.
    """
    if score.isnan().any():
        return score.new_tensor(torch.nan)
    ahead = score[positive].unsqueeze(1) - score[~positive].unsqueeze(0)
    return (ahead.sign() + 1).mean() / 2


class ScoreAuroc(Metric):
    """Area under the ROC curve of anomaly scores; class 0 is normal. NaN if one side is empty."""

    undefined = ONE_CLASS

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.scores.append(preds.detach())  # type: ignore[union-attr, operator]
        self.truth.append(target)  # type: ignore[union-attr, operator]

    def compute(self) -> Tensor:
        truth = dim_zero_cat(self.truth)  # type: ignore[arg-type]
        return auroc(dim_zero_cat(self.scores), truth > 0)  # type: ignore[arg-type]


class MotionAuroc(ScoreAuroc):
    """The same of a baseline without a net: how much the brightness changes, frame by frame."""

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        super().update(motion(x, mask, 1).flatten(1).nanmean(dim=1), target)
