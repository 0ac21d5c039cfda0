"""Metrics that torchmetrics does not have."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassRecall


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
        return (hits / (hits + misses).clamp(min=1))[occurs].mean() if occurs.any() else torch.tensor(0.0)
