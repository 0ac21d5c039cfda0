"""Losses: functions of a prediction and its target."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn.checks import fraction


class CrossEntropy(nn.Module):
    """Cross-entropy over classes.

    Args:
        label_smoothing: share of each target spread evenly over all classes
            (Szegedy et al. 2016).
        class_weights: `none`, `balanced` (n / (k · n of the class), King & Zeng 2001)
            or one number per class.
        class_counts: training series of each class; `balanced` needs them.

    Raises:
        ValueError: a knob is out of range.
    """

    weight: Tensor | None

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: str | Sequence[float] = "none",
        class_counts: Sequence[int] = (),
    ):
        super().__init__()
        fraction(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing
        # The weights follow from the config: a checkpoint need not hold them.
        self.register_buffer("weight", _weights(class_weights, class_counts), persistent=False)

    def forward(self, prediction: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        return F.cross_entropy(prediction, y, self.weight, label_smoothing=self.label_smoothing)


def _weights(class_weights: str | Sequence[float], counts: Sequence[int]) -> Tensor | None:
    if isinstance(class_weights, str):
        if class_weights == "none":
            return None
        if class_weights != "balanced":
            raise ValueError(f"class_weights={class_weights} must be none, balanced or a list")
        return sum(counts) / (len(counts) * torch.tensor(counts, dtype=torch.float32).clamp(min=1))
    if len(class_weights) != len(counts) or min(class_weights) <= 0:
        raise ValueError(f"class_weights={list(class_weights)} needs one number above 0 per class")
    return torch.tensor(class_weights, dtype=torch.float32)
