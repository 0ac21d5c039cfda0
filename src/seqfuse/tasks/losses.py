"""Losses: a prediction and its target to a scalar, a mean over the batch."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn import crf
from seqfuse.nn.shapes import fraction
from seqfuse.predicting.ensemble import Average, ClassAverage, LabelAverage, NumberAverage
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import NO_LABEL


@runtime_checkable
class Pooled(Protocol):
    """A loss that is no mean over series: parts of a batch weigh what it is a mean over."""

    def items(self, y: Tensor) -> Tensor:
        """Weight of a part with these targets."""
        ...


@runtime_checkable
class Averaging(Protocol):
    """A loss whose predictions can be averaged over the members of an ensemble."""

    average: Average


class CrossEntropy(nn.Module):
    """Cross-entropy over classes.

    Args:
        label_smoothing: fraction of each target spread evenly over all classes
            (Szegedy et al. 2016).
        class_weights: `none`, `balanced` (n / (k · n of the class), King & Zeng 2001)
            or one number per class.
        class_counts: training series of each class; `balanced` needs them.
    """

    weight: Tensor | None
    average = ClassAverage()

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: str | Sequence[float] = "none",
        class_counts: Sequence[int] = (),
    ):
        super().__init__()
        fraction(label_smoothing=label_smoothing)
        self.label_smoothing = label_smoothing
        self.num_classes = len(class_counts or ())
        # The weights follow from the config: a checkpoint need not hold them.
        self.register_buffer("weight", _weights(class_weights, class_counts), persistent=False)

    def forward(self, prediction: Float[Tensor, "b k"], y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        if self.num_classes and prediction.shape[1:] != (self.num_classes,):
            raise InputError(
                f"the head gives scores of shape {tuple(prediction.shape)}, but the data have "
                f"{self.num_classes} classes: it takes num_classes: ${{data.num_classes}} in its "
                f"YAML, and gives ({len(y)}, {self.num_classes})"
            )
        return F.cross_entropy(prediction, y, self.weight, label_smoothing=self.label_smoothing)

    def items(self, y: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        weights = torch.ones(len(y), device=y.device) if self.weight is None else self.weight[y]
        return weights.sum()


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of unnormalised scores, the mean over labels."""

    average = LabelAverage()

    def forward(self, prediction: Float[Tensor, "b k"], y: Int[Tensor, "b k"]) -> Float[Tensor, ""]:
        if prediction.shape != y.shape:
            raise InputError(
                "task=multilabel is for several labels per item, the data has other targets: type "
                "task=classification for one class per item"
            )
        return F.binary_cross_entropy_with_logits(prediction, y.to(prediction.dtype))


class TagLoss(nn.Module):
    """The negative log-likelihood of tags, of single steps or of a CRF (`nn.crf`).

    The mean over labelled steps. Labels of a sequence have no gaps: steps without one come last.
    """

    average = ClassAverage()

    def forward(self, prediction: crf.Scores, y: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
        labelled = y != NO_LABEL
        return -crf.log_likelihood(prediction, y, labelled).sum() / self.items(y).clamp(min=1)

    def items(self, y: Int[Tensor, "b t"]) -> Float[Tensor, ""]:
        return (y != NO_LABEL).sum().float()


class ObservedLoss(nn.Module):
    """A mean over observed targets."""

    average = NumberAverage()

    def items(self, y: Float[Tensor, "b *s"]) -> Float[Tensor, ""]:
        return (~y.isnan()).sum().to(y.dtype)


class Pinball(ObservedLoss):
    """Pinball loss (Koenker & Bassett 1978), the mean over quantiles and observed targets.

    Args:
        quantiles: above 0 and below 1, in order.
        median_weight: weight of the median, where each other quantile has 1.
    """

    levels: Tensor
    weights: Tensor

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9), median_weight: float = 1.0):
        super().__init__()
        check_quantiles(quantiles)
        if median_weight <= 0:
            raise ValueError(f"median_weight={median_weight} must be above 0")
        weights = torch.ones(len(quantiles))
        weights[len(quantiles) // 2] = median_weight
        self.register_buffer("levels", torch.tensor(quantiles), persistent=False)
        self.register_buffer("weights", weights / weights.sum(), persistent=False)

    def forward(
        self, prediction: Float[Tensor, "b *s p"], y: Float[Tensor, "b *s"]
    ) -> Float[Tensor, ""]:
        error, observed = _errors(prediction, y)
        loss = torch.maximum(self.levels * error, (self.levels - 1) * error)
        return mean_over(loss @ self.weights, observed)


class AbsoluteError(ObservedLoss):
    """The mean absolute error of the middle output, over observed targets."""

    def forward(
        self, prediction: Float[Tensor, "b *s p"], y: Float[Tensor, "b *s"]
    ) -> Float[Tensor, ""]:
        error, observed = _errors(middle(prediction).unsqueeze(-1), y)
        return mean_over(error.squeeze(-1).abs(), observed)


class SquaredError(ObservedLoss):
    """The mean squared error of the middle output, over observed targets."""

    def forward(
        self, prediction: Float[Tensor, "b *s p"], y: Float[Tensor, "b *s"]
    ) -> Float[Tensor, ""]:
        error, observed = _errors(middle(prediction).unsqueeze(-1), y)
        return mean_over(error.squeeze(-1).square(), observed)


def weigh(prediction: Float[Tensor, "b *s"], weight: Float[Tensor, " b"]) -> Tensor:
    """The prediction, whose gradient is multiplied by the weight of each item.

    So is its part in any loss that is a sum over items; what is logged stays the plain loss.
    """
    prediction = prediction.clone()
    rows = weight.reshape(-1, *(1,) * (prediction.dim() - 1))
    prediction.register_hook(lambda gradient: gradient * rows)
    return prediction


def middle(prediction: Float[Tensor, "*b p"]) -> Float[Tensor, "*b"]:
    """The output in the middle: the median, where the others are quantiles."""
    return prediction[..., prediction.shape[-1] // 2]


def mean_over(loss: Tensor, counts: Tensor) -> Tensor:
    """The mean of a loss where `counts`, of the same shape, is true; 0 if that is nowhere."""
    return (loss * counts).sum() / counts.sum().clamp(min=1)


def check_quantiles(quantiles: Sequence[float]) -> None:
    """Raises ValueError unless they rise from above 0 to below 1 around 0.5."""
    if list(quantiles) != sorted({q for q in quantiles if 0 < q < 1}):
        raise ValueError(f"quantiles={list(quantiles)} must rise, above 0 and below 1")
    if len(quantiles) % 2 == 0 or quantiles[len(quantiles) // 2] != 0.5:
        raise ValueError(f"quantiles={list(quantiles)} must have 0.5 in the middle")


def check_bio(classes: Sequence[str]) -> None:
    """Raises InputError unless the tags are `O`, `B-<type>` and `I-<type>`."""
    strange = [name for name in classes if name != "O" and name[:2] not in ("B-", "I-")]
    if strange:
        raise InputError(
            f"the tag '{strange[0]}' is not O, B-<type> or I-<type>: for other tags than BIO type "
            "task=tagging"
        )


def _errors(prediction: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(b ... p) errors, 0 where the target (b ...) is missing, and where it is not."""
    observed = ~y.isnan()
    return (y.nan_to_num().unsqueeze(-1) - prediction) * observed.unsqueeze(-1), observed


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
