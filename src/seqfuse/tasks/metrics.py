"""Metrics that torchmetrics does not have: of classes, tags, forecasts and anomaly scores."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MulticlassF1Score,
    MulticlassRecall,
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelHammingDistance,
)
from torchmetrics.utilities.data import dim_zero_cat

from seqfuse.nn.crf import decode
from seqfuse.nn.masking import lengths
from seqfuse.nn.shapes import positive
from seqfuse.nn.stems import motion
from seqfuse.runtime import naive
from seqfuse.runtime.pipelines.labels import NO_LABEL
from seqfuse.tasks.losses import check_bio, check_quantiles, middle

NAMED = 10
"""Classes, at most, of which each has metrics of its own."""


@runtime_checkable
class Undefinable(Protocol):
    """A metric without a value on some splits that are in order."""

    undefined: str
    """Why it has none there."""


class BatchMean:
    """The mean over items of a number that is known per batch, and by all ranks.

    torchmetrics' MeanMetric either drops NaN or (1.9, `nan_strategy="disable"`) the weights;
    a NaN loss has to be seen.
    """

    def __init__(self, total: Tensor | None = None, items: int = 0) -> None:
        self.total = torch.tensor(0.0) if total is None else total
        self.items = items

    def update(self, value: Tensor, items: int) -> None:
        self.total = self.total.to(value.device).add(value, alpha=items)
        self.items += items

    def compute(self) -> Tensor:
        return self.total / self.total.new_tensor(self.items)

    def state(self) -> dict[str, Tensor | int]:
        """Arguments of one that goes on where this one is."""
        return {"total": self.total.cpu(), "items": self.items}


class BalancedAccuracy(MulticlassRecall):
    """The mean over classes of the fraction found, over classes that occur.

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


class LogLoss(MeanMetric):
    """The mean negative log-likelihood of unnormalised scores, whatever the loss smooths."""

    higher_is_better = False

    def update(self, preds: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(F.cross_entropy(preds, target, reduction="none"))


class Brier(MeanMetric):
    """The mean squared distance of probabilities from the truth, summed over classes (Brier 1950).

    Of unnormalised scores; from 0 to 2.
    """

    higher_is_better = False

    def update(self, preds: Tensor, target: Tensor) -> None:  # type: ignore[override]
        truth = F.one_hot(target, preds.shape[-1])
        super().update((preds.softmax(dim=-1) - truth).square().sum(dim=-1))


class SetCoverage(Metric):
    """How often sets of classes hold the true one, and how many classes they have.

    `coverage_<level>` and `set_size_<level>`, and both of each class that occurs, such as
    `coverage_90_<class>`, where there are at most 10.

    Args:
        level: that coverage should have, from 0 to 1.
    """

    hits: Tensor
    sizes: Tensor
    count: Tensor

    def __init__(self, classes: Sequence[str], level: float):
        super().__init__()
        self.classes, self.percent = list(classes), f"{100 * level:g}"
        for name in ("hits", "sizes", "count"):
            zeros = torch.zeros(len(self.classes), dtype=torch.long)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, included: Tensor, target: Tensor) -> None:
        """Takes (b k) which classes are in, and (b) true classes."""
        places = torch.arange(len(target), device=target.device)
        self.hits.index_add_(0, target, included[places, target].long())
        self.sizes.index_add_(0, target, included.sum(dim=1))
        self.count.index_add_(0, target, torch.ones_like(target))

    def compute(self) -> dict[str, Tensor]:
        each = {"coverage": self.hits, "set_size": self.sizes}
        values = {f"{n}_{self.percent}": s.sum() / self.count.sum() for n, s in each.items()}
        if len(self.classes) <= NAMED:
            for k in self.count.nonzero().flatten().tolist():
                for name, total in each.items():
                    values[f"{name}_{self.percent}_{self.classes[k]}"] = total[k] / self.count[k]
        return values


class ScoreAuroc(Metric):
    """Area under the ROC curve of anomaly scores; class 0 is normal. NaN if one side is empty."""

    undefined = "the split has items of one class alone, or one without a score"
    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.scores.append(preds.detach())  # type: ignore[union-attr, operator]
        self.truth.append(target)  # type: ignore[union-attr, operator]

    def compute(self) -> Tensor:
        scores, truth = dim_zero_cat(self.scores), dim_zero_cat(self.truth)  # type: ignore[arg-type]
        return self._area(scores, truth)

    def _area(self, scores: Tensor, truth: Tensor) -> Tensor:
        return auroc(scores, truth > 0)


class Auroc(ScoreAuroc):
    """Area under the ROC curve of unnormalised scores: the mean over classes, each against
    the rest, of which both sides occur; NaN if there is none.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.softmax(dim=-1), target)

    def _area(self, scores: Tensor, truth: Tensor) -> Tensor:
        areas = [auroc(column, truth == k) for k, column in enumerate(scores.unbind(dim=1))]
        return torch.stack(areas).nanmean()


class MotionAuroc(ScoreAuroc):
    """`ScoreAuroc` of a baseline without a net: how much the brightness changes per frame."""

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:  # type: ignore[override]
        super().update(motion(x, mask, 1).flatten(1).nanmean(dim=1), target)


def auroc(score: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve, ties counting half; NaN where one side is empty or a score NaN."""
    if score.isnan().any() or positive.all() or not positive.any():
        return score.new_tensor(torch.nan)
    from sklearn.metrics import roc_auc_score  # slow

    area = roc_auc_score(positive.cpu().numpy(), score.float().cpu().numpy())
    return torch.tensor(area, dtype=torch.float32, device=score.device)


class _OfLabels(Metric):
    """Takes a label for predicted where its score is above 0, whatever range scores have."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update((preds > 0).long(), target)


class LabelF1(_OfLabels, MultilabelF1Score):
    """torchmetrics' F1 of labels, of unnormalised scores."""


class SubsetAccuracy(_OfLabels, MultilabelExactMatch):
    """torchmetrics' fraction of items with all labels right, of unnormalised scores."""


class HammingLoss(_OfLabels, MultilabelHammingDistance):
    """torchmetrics' fraction of labels that are wrong, of unnormalised scores."""


class _OfSteps(Metric):
    """Counts the steps that have a label, by the best tags."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        mask = target != NO_LABEL
        super().update(decode(preds, mask)[mask], target[mask])


class TokenAccuracy(_OfSteps, MulticlassAccuracy):
    """torchmetrics' accuracy, of tags."""


class TokenF1(_OfSteps, MulticlassF1Score):
    """torchmetrics' F1, of tags."""


class EntityF1(Metric):
    """F1 of whole spans, micro-averaged over types; conlleval's reading of BIO tags.

    A span is right where its type and both of its ends are (Tjong Kim Sang & De Meulder 2003).

    Args:
        classes: names of the tags; of each type there is a B- or an I-.
    """

    higher_is_better = True
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
        for tags, truth, real in zip(decode(preds, mask), target, mask, strict=True):
            predicted, true = (
                set(spans([self.classes[i] for i in row[real].tolist()])) for row in (tags, truth)
            )
            self.right += len(predicted & true)
            self.predicted += len(predicted)
            self.true += len(true)

    def compute(self) -> Tensor:
        return 2 * self.right / (self.predicted + self.true).clamp(min=1)


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first and last step of each span of BIO tags, read as conlleval does.

    A B- begins a span; so does an I- behind an O or behind another type.
    """
    ended: list[tuple[str, int, int]] = []
    first, kind = 0, ""  # of the open span; no kind is none
    for i, tag in enumerate([*tags, "O"]):
        if kind and (tag == "O" or tag.startswith("B-") or tag[1:] != kind):
            ended.append((kind[1:], first, i - 1))
            kind = ""
        if tag != "O" and not kind:
            first, kind = i, tag[1:]
    return ended


class ObservedMean(Metric):
    """The mean over observed targets of a number known for each.

    Metrics of numbers take a prediction (b ... p), whose outputs p are quantiles in order, and a
    target (b ...), NaN where nothing was observed: forecasts (b h k p), numbers of items (b k p).
    """

    total: Tensor
    items: Tensor
    std: Tensor
    """(k) what an error of 1 is in the user's units; 1 where errors stay scaled."""

    def __init__(self, std: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("total", zero, dist_reduce_fx="sum")
        self.add_state("items", zero.clone(), dist_reduce_fx="sum")
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def add(self, values: Tensor, observed: Tensor) -> None:
        """Values and whether they count, of one shape."""
        self.total += values.where(observed, 0.0).sum(dtype=torch.float64)
        self.items += observed.sum()

    def compute(self) -> Tensor:
        return (self.total / self.items).float()


class PointError(ObservedMean):
    """Mean of |error|^power of the middle output: 1 is MAE, 2 is MSE.

    Standard deviations of the targets give errors in the user's units.
    """

    def __init__(self, power: int = 1, std: Sequence[float] = (1.0,)):
        super().__init__(std)
        self.power = power

    def update(self, preds: Tensor, target: Tensor) -> None:
        error = (middle(preds) - target) * self.std
        self.add(error.abs() ** self.power, ~target.isnan())


class RootMeanSquaredError(PointError):
    """The root of the mean squared error of the middle output."""

    def __init__(self, std: Sequence[float] = (1.0,)) -> None:
        super().__init__(power=2, std=std)

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class R2(Metric):
    """Coefficient of determination of the middle output, the mean over targets.

    torchmetrics' own sums squares in single precision and knows no missing target.
    """

    undefined = "a target has the same value wherever it was observed"
    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "total", "square", "residual"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        observed, y = ~target.isnan(), target.nan_to_num().double()
        residual = (middle(preds).double() - y).square().where(observed, 0.0)
        self.count = self.count + observed.sum(dim=0)
        self.total = self.total + y.sum(dim=0)
        self.square = self.square + y.square().sum(dim=0)
        self.residual = self.residual + residual.sum(dim=0)

    def compute(self) -> Tensor:
        return self.of_targets().mean().float()

    def of_targets(self) -> Tensor:
        """(k) of each target, NaN where it has one value alone."""
        spread = self.square - self.total**2 / self.count
        # Of one value alone, rounding leaves a little.
        return (1 - self.residual / spread).where(spread > 1e-12 * self.square, torch.nan)


class EachTarget(R2):
    """MSE, MAE and R2 of each of several targets, such as `mae_<name>`; of one target nothing.

    What a split does not define is left out: of a target that was not observed there, or (R2) has
    one value alone. Standard deviations give errors in the user's units.
    """

    undefined = ""
    std: Tensor

    def __init__(self, names: Sequence[str], std: Sequence[float]):
        super().__init__()
        self.names = list(names)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.add_state("absolute", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds, target)
        error = (middle(preds) - target).double().abs()
        self.absolute = self.absolute + error.nan_to_num().sum(dim=0)

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        if len(self.names) < 2:
            return {}
        each = {
            "mse": self.residual / self.count * self.std**2,
            "mae": self.absolute / self.count * self.std,
            "r2": self.of_targets(),
        }
        values = {
            f"{kind}_{name}": value.float()
            for kind, row in each.items()
            for name, value in zip(self.names, row, strict=True)
        }
        return {name: value for name, value in values.items() if value.isfinite()}


class ScaledError(ObservedMean):
    """MASE (Hyndman & Koehler 2006): MAE over that of a seasonal-naive forecast in training."""

    scale: Tensor

    def __init__(self, naive_errors: Sequence[float]):
        super().__init__()
        self.register_buffer("scale", torch.tensor(naive_errors), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add((middle(preds) - target).abs() / self.scale, ~target.isnan())


class NaiveError(ObservedMean):
    """Mean of |error|^power of a baseline: the value one season before, repeated; of a season of
    one step the last value."""

    def __init__(self, season: int = 1, power: int = 1):
        super().__init__()
        positive(season=season)
        self.season = season
        self.power = power

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:
        h, k = target.shape[1:]
        each = lengths(mask)
        for steps in each.unique().tolist():  # few: of most batches one
            rows, kind = each == steps, self._kind(steps, h)
            last, slope = torch.from_numpy(kind.steps), torch.from_numpy(kind.slope)
            past, y = x[rows, :steps, :k], target[rows]
            forecast = naive.follow(past, (last.to(x.device), slope.to(past)))
            self.add((forecast - y).abs() ** self.power, ~y.isnan())

    def _kind(self, past: int, horizon: int) -> naive.Naive:
        return naive.repeated(past, horizon, self.season)


class MeanError(ObservedMean):
    """Mean of |error|^power of a baseline: the mean of the training rows, to which 0 is scaled.

    Of returns that is a random walk with drift.
    """

    def __init__(self, power: int = 1):
        super().__init__()
        self.power = power

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.add(target.abs() ** self.power, ~target.isnan())


class DriftError(NaiveError):
    """`NaiveError` of the line through the first and the last value of the look-back."""

    def __init__(self, power: int = 1):
        super().__init__(power=power)

    def _kind(self, past: int, horizon: int) -> naive.Naive:
        return naive.drift(past, horizon)


class InterpolationError(ObservedMean):
    """Mean of |error|^power of a baseline: linear interpolation between the values around a gap.

    The input of an imputation begins with it; behind its columns are as many that are 1 where a
    value is seen. What is seen is no gap, and does not count.
    """

    def __init__(self, num_columns: int, power: int = 1):
        super().__init__()
        self.num_columns, self.power = num_columns, power

    def update(self, preds: Tensor, target: Tensor, x: Tensor, mask: Tensor) -> None:
        k = target.shape[2]
        seen = x[..., self.num_columns : self.num_columns + k] > 0
        self.add((x[..., :k] - target).abs() ** self.power, ~target.isnan() & ~seen)


class Crps(ObservedMean):
    """Continuous ranked probability score from quantiles: twice the mean pinball loss.

    (Gneiting & Raftery 2007.) Of one quantile, the median, it is the MAE.
    """

    levels: Tensor

    def __init__(self, quantiles: Sequence[float], std: Sequence[float] = (1.0,)):
        super().__init__(std)
        check_quantiles(quantiles)
        self.register_buffer("levels", torch.tensor(quantiles), persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        error = target.unsqueeze(-1) - preds
        loss = torch.maximum(self.levels * error, (self.levels - 1) * error)
        self.add(2 * loss.mean(dim=-1) * self.std, ~target.isnan())


class Coverage(ObservedMean):
    """Fraction of targets within the central band that should hold `level` of them."""

    undefined = "the band is not calibrated, as there was no validation part"

    def __init__(self, quantiles: Sequence[float], level: float = 0.8):
        super().__init__()
        self.low, self.high = band(quantiles, level)

    def update(self, preds: Tensor, target: Tensor) -> None:
        if preds.shape[-1] <= self.high:  # a point, without a band
            return
        inside = (target >= preds[..., self.low]) & (target <= preds[..., self.high])
        self.add(inside.to(preds.dtype), ~target.isnan())


def band(quantiles: Sequence[float], level: float) -> tuple[int, int]:
    """Positions of the quantiles around the central band of that level."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    places = [i for end in ends for i, q in enumerate(quantiles) if abs(q - end) < 1e-6]
    if len(places) != 2:
        raise ValueError(f"a band of {level} needs the quantiles {ends[0]:.4g} and {ends[1]:.4g}")
    return places[0], places[1]
