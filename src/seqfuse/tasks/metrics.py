"""Metrics that torchmetrics does not have: of classes, of tags, of forecasts, of clips."""

from collections.abc import Sequence
from typing import Any

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassRecall,
)
from torchmetrics.utilities.data import dim_zero_cat

from seqfuse.nn.crf import decode
from seqfuse.nn.stems import motion
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import NO_LABEL
from seqfuse.tasks.losses import check_quantiles, middle

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
        self.register_load_state_dict_post_hook(_add_nothing)

    def update(self, value: Tensor, items: int) -> None:
        self.total.add_(value, alpha=items)
        self.items.add_(items)

    def compute(self) -> Tensor:
        return self.total / self.items


def _add_nothing(mean: BatchMean, _: Any) -> None:
    """Lets torchmetrics know that a restored state is no empty one."""
    mean.update(torch.zeros(()), 0)


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


class TokenAccuracy(MulticlassAccuracy):
    """The share of labelled steps whose best tag is right."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="micro")

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(*_labelled(preds, target))


class TokenMacroF1(MulticlassF1Score):
    """The mean over tags of F1 of labelled steps."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes=num_classes, average="macro")

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(*_labelled(preds, target))


class EntityF1(Metric):
    """F1 of whole spans, micro-averaged over types, by seqeval's reading of BIO tags.

    A span is right where its type and both of its ends are (Tjong Kim Sang & De Meulder 2003).

    Args:
        classes: names of the tags; of each type there is a B- or an I-.

    Raises:
        InputError: the names are no BIO tags.
    """

    right: Tensor
    predicted: Tensor
    true: Tensor

    def __init__(self, classes: Sequence[str]):
        super().__init__()
        check_bio(classes)
        self.classes = list(classes)
        for name in ("right", "predicted", "true"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        mask = target != NO_LABEL
        found = decode(preds, mask)
        for tags, truth, real in zip(found, target, mask, strict=True):
            ours, theirs = self._spans(tags[real]), self._spans(truth[real])
            self.right += len(ours & theirs)
            self.predicted += len(ours)
            self.true += len(theirs)

    def _spans(self, tags: Tensor) -> set[tuple[str, int, int]]:
        return set(get_entities([self.classes[i] for i in tags.tolist()]))

    def compute(self) -> Tensor:
        return 2 * self.right / (self.predicted + self.true).clamp(min=1)


def check_bio(classes: Sequence[str]) -> None:
    """Raises InputError unless the tags are `O`, `B-<type>` and `I-<type>`."""
    strange = [name for name in classes if name != "O" and name[:2] not in ("B-", "I-")]
    if strange:
        raise InputError(
            f"the tag '{strange[0]}' is not O, B-<type> or I-<type>: for other tags than BIO type "
            "task=tagging"
        )


def _labelled(preds: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    mask = target != NO_LABEL
    return decode(preds, mask)[mask], target[mask]


class ObservedMean(Metric):
    """The mean over observed targets of a number known for each."""

    total: Tensor
    items: Tensor

    def __init__(self) -> None:
        super().__init__()
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("total", zero, dist_reduce_fx="sum")
        self.add_state("items", zero.clone(), dist_reduce_fx="sum")

    def add(self, values: Tensor, observed: Tensor) -> None:
        """Values and whether they count, of one shape."""
        self.total += values.where(observed, 0.0).sum(dtype=torch.float64)
        self.items += observed.sum()

    def compute(self) -> Tensor:
        return (self.total / self.items).float()


class PointError(ObservedMean):
    """Mean of |error|^power of the middle output: 1 is MAE, 2 is MSE."""

    def __init__(self, power: int = 1):
        super().__init__()
        self.power = power

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add((middle(preds) - target).abs() ** self.power, ~target.isnan())


class ScaledError(ObservedMean):
    """MASE (Hyndman & Koehler 2006): MAE over that of a seasonal-naive forecast in training.

    Args:
        naive_errors: MAE on the training split of each target, one season ahead.
    """

    scale: Tensor

    def __init__(self, naive_errors: Sequence[float]):
        super().__init__()
        self.register_buffer("scale", torch.tensor(naive_errors), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add((middle(preds) - target).abs() / self.scale, ~target.isnan())


class NaiveError(ObservedMean):
    """Mean of |error|^power of a baseline: the value one season before, repeated.

    Args:
        season: steps; 1 repeats the last value, 0 the mean of the training rows, which are
            scaled to mean 0. (For returns that is a random walk with drift.)
        power: 1 is MAE, 2 is MSE.
    """

    def __init__(self, season: int = 1, power: int = 1):
        super().__init__()
        if season < 0:
            raise ValueError(f"season={season} must be at least 0")
        self.season = season
        self.power = power

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:
        h, k = target.shape[1:]
        if not self.season:
            return self.add(target.abs() ** self.power, ~target.isnan())
        past = int(mask[0].sum())
        season = min(self.season, past)
        steps = past - season + torch.arange(h, device=x.device) % season
        return self.add((x[:, steps, :k] - target).abs() ** self.power, ~target.isnan())


class Crps(ObservedMean):
    """Continuous ranked probability score from quantiles: twice the mean pinball loss.

    (Gneiting & Raftery 2007.) Of one quantile, the median, it is the MAE.
    """

    levels: Tensor

    def __init__(self, quantiles: Sequence[float]):
        super().__init__()
        check_quantiles(quantiles)
        self.register_buffer("levels", torch.tensor(quantiles), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        error = target.unsqueeze(-1) - preds
        loss = torch.maximum(self.levels * error, (self.levels - 1) * error)
        self.add(2 * loss.mean(dim=-1), ~target.isnan())


class Coverage(ObservedMean):
    """Share of targets within the central band that should hold `level` of them."""

    def __init__(self, quantiles: Sequence[float], level: float = 0.8):
        super().__init__()
        self.low, self.high = band(quantiles, level)

    def update(self, preds: Tensor, target: Tensor) -> None:
        inside = (target >= preds[..., self.low]) & (target <= preds[..., self.high])
        self.add(inside.to(preds.dtype), ~target.isnan())


def band(quantiles: Sequence[float], level: float) -> tuple[int, int]:
    """Positions of the quantiles around the central band of that level.

    Raises:
        ValueError: they are not among the quantiles.
    """
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = [i for end in ends for i, q in enumerate(quantiles) if abs(q - end) < 1e-6]
    if len(found) != 2:
        raise ValueError(f"a band of {level} needs the quantiles {ends[0]:.4g} and {ends[1]:.4g}")
    return found[0], found[1]
