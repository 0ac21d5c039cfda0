"""Calibration on held-out data: conformal intervals, temperature, a bias, thresholds.

A calibrator is cleared, updated with the predictions and targets of batches, and fitted, at each
validation; a temperature of classes once, when training has ended (`tasks.calibrate`). Its
state lies in the checkpoint, and it maps predictions to predictions.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from seqfuse.nn import collectives, crf
from seqfuse.nn.crf import Scores
from seqfuse.nn.shapes import Batch, positive
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs import sets
from seqfuse.runtime.jobs.softmax import softmax
from seqfuse.runtime.pipelines.labels import NO_LABEL
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.scores.alarms import RATES
from seqfuse.runtime.scores.likelihood import Residuals
from seqfuse.tasks.losses import check_bio, check_quantiles
from seqfuse.tasks.measures import Scored, Scorer

if TYPE_CHECKING:
    from torchmetrics import Metric

    from seqfuse.data.monitored import Monitored

LOWEST, HIGHEST = 0.02, 50.0
"""Bounds of a temperature."""
MOST = 10_000
"""Scores of calibration items that are kept."""
LEAST_VARIANCE = 1e-4
"""The least variance of an encoding in any direction, relative to the mean over all."""


class Conformal(nn.Module):
    """Split-conformal bands (Romano et al. 2019) around each pair of quantiles.

    For each target, and each step of a horizon, a band is widened, or narrowed, by the same
    amount in scaled units: the one that would have made it hold its fraction of the calibration
    targets. Windows overlap and the world moves on, so coverage of forecasts is only roughly what
    was promised; that on the test split is reported beside it.

    Args:
        quantiles: of the prediction, in order, around 0.5.
        shape: of the targets of an item, such as horizon and channels.
    """

    margins: Tensor

    def __init__(self, quantiles: Sequence[float], shape: Sequence[int]):
        super().__init__()
        check_quantiles(quantiles)
        self.quantiles = list(quantiles)
        self.levels = [1 - 2 * q for q in quantiles if q < 0.5]
        self.register_buffer("margins", torch.zeros(len(self.levels), *shape))
        self._scores: list[Tensor] = []

    def forward(self, prediction: Float[Tensor, "b *s p"]) -> Float[Tensor, "b *s p"]:
        """Moves the ends of each band; the median stays, and wider bands hold narrower ones."""
        if not self.levels:
            return prediction
        low, centre, high = self._ends(prediction)
        margins = self.margins.movedim(0, -1).to(prediction)
        # From the narrowest band outwards, step by step: ONNX has no running minimum.
        lows, highs = [centre], [centre]
        for i in range(len(self.levels) - 1, -1, -1):
            lows.append(torch.minimum(lows[-1], (low - margins)[..., i : i + 1]))
            highs.append(torch.maximum(highs[-1], (high + margins)[..., i : i + 1]))
        return torch.cat([*lows[:0:-1], *highs], dim=-1)

    def update(self, prediction: Float[Tensor, "b *s p"], y: Float[Tensor, "b *s"]) -> None:
        """Scores targets by how far they are outside (above 0) or inside (below 0) each band."""
        low, _, high = self._ends(prediction.detach())
        target = y.unsqueeze(-1)
        self._scores.append(torch.maximum(low - target, target - high).cpu())

    def clear(self) -> None:
        self._scores = []

    def fit(self) -> None:
        """Sets the margins from the scores, if there are any."""
        scores = [part for parts in collectives.gather(self._scores) for part in parts]
        self.clear()
        if not scores:
            return
        each_level = torch.cat(scores).unbind(dim=-1)
        margins = [_margin(*pair) for pair in zip(each_level, self.levels, strict=True)]
        self.margins.copy_(torch.stack(margins))

    def _ends(self, prediction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lower ends, median, and upper ends from the outermost band inwards."""
        n = len(self.levels)
        return prediction[..., :n], prediction[..., n : n + 1], prediction[..., n + 1 :].flip(-1)


class PointConformal(Conformal):
    """Split-conformal bands of one width around a point (Lei et al. 2018).

    Before margins were fitted there is no band, but the point alone.
    """

    def __init__(self, quantiles: Sequence[float], shape: Sequence[int]):
        super().__init__(quantiles, shape)
        self.margins.fill_(torch.nan)

    @property
    def fitted(self) -> bool:
        """Whether a validation part has set the margins; of a target it never saw there is none."""
        return not bool(self.margins.isnan().all())

    def metadata(self) -> dict[str, Any]:
        """Quantiles, once there are bands."""
        return {"quantiles": self.quantiles} if self.fitted else {}

    def fit(self) -> None:
        """Sets the margins from the scores, if there are any; NaN where no target was observed."""
        scores = [part for parts in collectives.gather(self._scores) for part in parts]
        super().fit()
        if scores:
            unseen = torch.cat(scores).isnan().all(dim=0).movedim(-1, 0)
            self.margins.masked_fill_(unseen.to(self.margins.device), torch.nan)

    def forward(self, prediction: Float[Tensor, "b *s 1"]) -> Float[Tensor, "b *s p"]:
        return super().forward(self._spread(prediction)) if self.fitted else prediction

    def update(self, prediction: Float[Tensor, "b *s 1"], y: Float[Tensor, "b *s"]) -> None:
        """Scores targets by how far they are from the point."""
        super().update(self._spread(prediction), y)

    def _spread(self, prediction: Tensor) -> Tensor:
        return prediction.expand(*prediction.shape[:-1], len(self.quantiles))


def _margin(scores: Float[Tensor, "n *s"], level: float) -> Float[Tensor, "*s"]:
    """The score of rank (n + 1)·level, rounded up, among the n that are there."""
    count = (~scores.isnan()).sum(dim=0)
    rank = ((count + 1) * level).ceil().long().clamp(min=1).minimum(count.clamp(min=1))
    if bool((count == len(scores)).all()):  # several times as fast as all of them in order
        columns = scores.reshape(len(scores), -1).T.contiguous()
        return columns.kthvalue(int(rank.max()), dim=1).values.reshape(scores.shape[1:])
    ordered = scores.sort(dim=0).values  # NaN comes last
    return ordered.gather(0, rank.unsqueeze(0) - 1).squeeze(0).nan_to_num(0.0)


class Scaling(nn.Module):
    """Scores divided by one number, so that probabilities are as high as they are right.

    (Guo et al. 2017.) The number is that of the highest likelihood of the labels, which are
    smoothed as in `nn.bank.ridge.temperature`, but for a CRF.
    """

    temperature: Tensor
    num_items: Tensor
    """That it was fitted to, series or labelled steps; 0 before."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("temperature", torch.tensor(1.0))
        self.register_buffer("num_items", torch.tensor(0))

    @property
    def is_fitted(self) -> bool:
        return bool(self.num_items)

    def set(self, temperature: float, num_items: int) -> None:
        """Takes a temperature, and to how many items it was fitted."""
        self.temperature.fill_(temperature)
        self.num_items.fill_(num_items)

    def scaled(self, scores: Tensor) -> Tensor:
        """Scores whose probabilities are calibrated."""
        return scores / self.temperature.to(scores)

    def rows(self, scores: Tensor, y: Tensor) -> tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]:
        """Scores of classes, and the true ones, that calibration is measured by."""
        raise NotImplementedError

    def metadata(self) -> dict[str, Any]:
        raise NotImplementedError

    def test_sets(self) -> sets.Sets | None:
        """Sets of classes that are measured on the test split; None without any."""
        return None

    def metrics(self) -> "dict[str, Metric]":
        """Metrics of probabilities, by name; they take the rows of `rows`."""
        from seqfuse.tasks.metrics import Brier, CalibrationError, LogLoss  # slow: torchmetrics

        return {
            "calibration_error": CalibrationError(self.num_classes, n_bins=10),
            "log_loss": LogLoss(),
            "brier": Brier(),
        }


def _least(loss: Callable[[float], float]) -> float:
    """The temperature with the least loss."""
    from scipy.optimize import minimize_scalar  # slow

    best = minimize_scalar(
        lambda power: loss(float(np.exp(power))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
    )
    return float(np.exp(best.x))


class Temperature(Scaling):
    """A temperature of classes: of items (b k), or of their steps: single ones (b t k), a CRF
    (b t k k).

    Dividing changes no class, and no best path of a CRF.

    Of items that are held out, scores are kept for conformal sets (`runtime.jobs.sets`), too.

    Args:
        level: of the sets whose coverage and size are measured on the test split.
    """

    scores: Tensor
    """(n) of the true class of each calibration item; no steps are among them."""
    truths: Tensor
    """(n) the number of that class."""

    def __init__(self, classes: Sequence[str], level: float = 0.9):
        super().__init__(len(classes))
        sets.check_level(level)
        self.classes, self.level = list(classes), level
        self.register_buffer("scores", torch.zeros(0))
        self.register_buffer("truths", torch.zeros(0, dtype=torch.long))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """As many scores as a checkpoint has."""
        for name in ("scores", "truths"):
            own = getattr(self, name)
            given = state_dict.setdefault(f"{prefix}{name}", own)
            setattr(self, name, own.new_empty(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, prediction: Tensor) -> Tensor:
        return self.scaled(prediction)

    def fit(self, predictions: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        """Sets the temperature by batches of predictions and labels, where any has a label."""
        count = sum(int((y != NO_LABEL).sum()) for y in labels)
        if not count:
            return
        self.set(self.likeliest(predictions, labels), count)
        if predictions[0].dim() == 2:
            scores = torch.cat(list(predictions)).to(self.temperature) / self.temperature
            y = torch.cat(list(labels))
            kept = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:MOST]
            truths = y[kept].cpu()
            each = sets.scores(softmax(scores[kept].numpy(force=True)))
            each = torch.from_numpy(each).gather(1, truths.unsqueeze(1)).squeeze(1)
            self.scores, self.truths = each.to(self.scores), truths.to(self.truths)

    def metadata(self) -> dict[str, Any]:
        """Rule of the sets of classes, as plain data; empty where there is none."""
        if not len(self.scores):
            return {}
        return {"conformal": {"scores": self.scores.tolist(), "classes": self.truths.tolist()}}

    def test_sets(self) -> sets.Sets | None:
        """Sets of the level that is measured; None where too few items were held out for it."""
        try:
            return sets.Sets(self.metadata(), self.num_classes, self.level)
        except InputError:
            return None

    def likeliest(self, predictions: Sequence[Tensor], labels: Sequence[Tensor]) -> float:
        """The temperature of the highest likelihood of labels, of which there is at least one."""
        labelled = [y != NO_LABEL for y in labels]
        count = int(sum(mask.sum() for mask in labelled))
        loss = self._path_loss if predictions[0].dim() == 4 else self._loss
        return _least(lambda value: loss(predictions, labels, labelled, value) / count)

    @staticmethod
    def _loss(
        predictions: Sequence[Tensor],
        labels: Sequence[Tensor],
        labelled: Sequence[Tensor],
        temperature: float,
    ) -> float:
        scores = torch.cat([each[mask] for each, mask in zip(predictions, labelled, strict=True)])
        y = torch.cat([each[mask] for each, mask in zip(labels, labelled, strict=True)])
        smoothing = 1 / (len(y) + 2)
        scores = scores.double() / temperature
        return float(F.cross_entropy(scores, y, label_smoothing=smoothing, reduction="sum"))

    @staticmethod
    def _path_loss(
        predictions: Sequence[Tensor],
        labels: Sequence[Tensor],
        labelled: Sequence[Tensor],
        temperature: float,
    ) -> float:
        batches = zip(predictions, labels, labelled, strict=True)
        each = [crf.log_likelihood(scores / temperature, y, mask) for scores, y, mask in batches]
        return -float(torch.cat(each).sum(dtype=torch.float64))

    def rows(self, scores: Tensor, y: Tensor) -> tuple[Float[Tensor, "n k"], Int[Tensor, " n"]]:
        """Scores, of a CRF logarithms of marginals, and labels: of items, or of labelled steps."""
        mask = y != NO_LABEL
        if scores.dim() == 4:
            marginals = crf.marginals(scores, mask)
            scores = marginals.clamp(min=torch.finfo(marginals.dtype).tiny).log()
        return scores[mask], y[mask]


def between(
    join: Callable[[Tensor, Tensor], Tensor],
    net: Float[Tensor, "n k"],
    left_out: Float[Tensor, "n k"],
    y: Int[Tensor, " n"],
    calibrator: Temperature,
) -> float:
    """A temperature by the training rows, for a net with a bank and without held-out items.

    What the bank says of a row by a fit to all others is honest; what the net says of it is not,
    though it is no surer, on average (`Bank.soften`). So the temperature is the geometric mean of
    two: of a net that knows the classes as it does, and of one that makes the mistakes of the bank.
    Measured by `tests.benchmarks.calibration`. `join` makes one prediction of scores of the net and
    of the bank, and the calibrator finds each of the two.
    """
    guesses, rows = left_out.argmax(dim=1), torch.arange(len(y))
    mistaken = net.clone()
    mistaken[rows, y], mistaken[rows, guesses] = net[rows, guesses], net[rows, y]
    both = [calibrator.likeliest([join(scores, left_out)], [y]) for scores in (net, mistaken)]
    return (both[0] * both[1]) ** 0.5


ALIKE = 1e-6
"""Least variance of encodings, relative to the mean of their squares; below it distances would be
those of rounding, of a net that has collapsed."""
MOST_DIFFERENCES = 2**24
"""Numbers that are held at once to find the nearest class."""


class Familiarity(nn.Module):
    """Distance of an item's encoding, which the head reads, from the training items.

    It is the Mahalanobis distance from the mean of the nearest class (Lee et al. 2018), relative to
    the root of the dimensions. Classes share a covariance, which is shrunk (Ledoit & Wolf 2004);
    items without classes have one mean. Distances of new items are held against those of items that
    are held out, or, where there are fewer than `ENOUGH`, of the training items, each as if it had
    been left out of mean and covariance. As a net knows those by heart, each also stands there in a
    form that is new to the net, if there is one, and the longer of both distances counts.

    Args:
        max_items: training items that it is fitted to, and held-out ones, at most.
    """

    centre: Tensor
    """(p) mean of the training encodings."""
    whitening: Tensor
    """(p p) makes distances of differences."""
    means: Tensor
    """(k p) of classes, whitened."""
    distances: Tensor
    """(n) in ascending order."""

    def __init__(self, max_items: int = 2000):
        super().__init__()
        positive(max_items=max_items)
        self.max_items = max_items
        for name, rank in (("centre", 1), ("whitening", 2), ("means", 2), ("distances", 1)):
            self.register_buffer(name, torch.zeros((0,) * rank))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """As many dimensions, classes and items as a checkpoint has."""
        for name in self._buffers:
            own = getattr(self, name)
            given = state_dict.setdefault(f"{prefix}{name}", own)
            setattr(self, name, own.new_empty(given.shape))
        width = len(self.centre)
        if self.whitening.shape != (width, width) or self.means.shape[1:] != (width,):
            raise ValueError("its distances are of different dimensions")
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def is_fitted(self) -> bool:
        return len(self.distances) > 0

    def forward(self, encoding: Float[Tensor, "b q d"]) -> Float[Tensor, " b"]:
        with torch.autocast(encoding.device.type, enabled=False):
            given = encoding.flatten(1).to(self.centre)
            if not torch.onnx.is_in_onnx_export() and given.shape[1] != len(self.centre):
                raise InputError(
                    f"distances are of {len(self.centre)} features, and the net has "
                    f"{given.shape[1]}: train it again"
                )
            # A convolution, as those stay as they are in an export of 8 bits.
            scaled = F.conv1d((given - self.centre).unsqueeze(2), self.whitening.T.unsqueeze(2))
            scaled = scaled.squeeze(2)
            # In parts, as differences from a thousand classes are many; a graph has but one.
            size = max(1, MOST_DIFFERENCES // max(self.means.numel(), 1))
            parts = [scaled] if torch.onnx.is_in_onnx_export() else scaled.split(size)
            squares = [(part.unsqueeze(1) - self.means).square().mean(dim=2) for part in parts]
            return torch.cat(squares).amin(dim=1).sqrt()

    def fit(
        self,
        encodings: Float[Tensor, "n p"],
        y: Tensor,
        held_out: Float[Tensor, "m p"] | None = None,
        changed: Float[Tensor, "n p"] | None = None,
    ) -> None:
        """Takes encodings of training items, if there are two or more, and not all alike.

        Targets `y` may be no classes; `changed` are training items in a form that is new to the
        net.
        """
        from sklearn.covariance import ledoit_wolf  # slow

        if len(encodings) < 2 or not encodings.isfinite().all():
            return
        has_classes = y.dim() == 1 and not y.is_floating_point()
        given = encodings.double().numpy(force=True)
        classes = y.numpy(force=True) if has_classes else np.zeros(len(given), dtype=np.int64)
        names, classes, counts = np.unique(classes, return_inverse=True, return_counts=True)
        means = np.stack([given[classes == k].mean(axis=0) for k in range(len(names))])
        covariance, shrinkage = ledoit_wolf(given - means[classes], assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        if values.mean() <= ALIKE * np.square(given).mean():
            return
        width = len(values)
        values = np.maximum(values, values.mean() * LEAST_VARIANCE)
        whitening, centre = vectors / np.sqrt(values), given.mean(axis=0)
        known = {
            "centre": centre,
            "whitening": whitening,
            "means": (means - centre) @ whitening,
        }
        for name, each in known.items():
            setattr(self, name, torch.from_numpy(each).to(self.distances))
        if held_out is not None and len(held_out) >= ENOUGH:
            distances = self(held_out.unsqueeze(1).to(self.distances))
        else:
            scaled = (given - centre) @ whitening
            each = (np.square(scaled - mean).sum(axis=1) for mean in known["means"])
            squares = np.stack([*each], axis=1)
            rows, size = np.arange(len(given)), counts[classes]
            grown = size / np.maximum(size - 1, 1)
            own = squares[rows, classes]
            # Sherman & Morrison: the inverse without the item.
            left = np.maximum(1 - (1 - shrinkage) / len(given) * grown * own, 1e-6)
            squares[rows, classes] = np.where(size > 1, grown**2 * own / left, np.inf)
            distances = torch.from_numpy(np.sqrt(squares.min(axis=1) / width)).to(self.centre)
            if changed is not None:
                distances = distances.maximum(self(changed.unsqueeze(1).to(self.centre)))
            distances = distances[distances.isfinite()]
        self.distances = distances.to(self.centre).sort().values

    def metadata(self) -> dict[str, Any]:
        return {"distances": self.distances.tolist()} if self.is_fitted else {}


class EntityBias(nn.Module):
    """Takes from the score of `O` what gives the best entity F1 on the validation split.

    Rare entities are named too seldom by a net that is trained to be right about most words.
    The bias is one number, chosen on the validation split that early stopping looks at, too:
    what is measured there is measured after it was chosen, and so a little too good.

    Args:
        classes: names of the tags, `O` among them.
        biases: to choose from; 0 changes nothing.
    """

    bias: Tensor

    def __init__(
        self,
        classes: Sequence[str],
        biases: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
    ):
        super().__init__()
        check_bio(classes)
        self.classes, self.biases = list(classes), list(biases)
        self.outside = self.classes.index("O") if "O" in classes else 0
        self.register_buffer("bias", torch.tensor(0.0))
        self.clear()

    def forward(self, prediction: Scores) -> Scores:
        """The scores with the bias taken from those of `O`."""
        return self._less(prediction, self.bias.to(prediction))

    def _less(self, prediction: Tensor, bias: Tensor | float) -> Tensor:
        is_outside = torch.arange(prediction.shape[-1], device=prediction.device) == self.outside
        return prediction - bias * is_outside

    def clear(self) -> None:
        self._counts: list[Any] = []

    def update(self, prediction: Scores, y: Tensor) -> None:
        """Counts the entities that each bias finds."""
        for bias, metric in zip(self.biases, self._metrics(), strict=True):
            metric.update(self._less(prediction.detach(), bias).cpu(), y.cpu())

    def fit(self) -> None:
        """Chooses the bias; the smallest of equal ones."""
        each = [torch.stack([m.right, m.predicted + m.true]) for m in self._metrics()]
        counts = torch.stack(each)
        right, both = torch.stack(collectives.gather(counts)).sum(dim=0).unbind(dim=1)
        self.bias.fill_(self.biases[int((2 * right / both.clamp(min=1)).argmax())])

    def _metrics(self) -> list[Any]:
        from seqfuse.tasks.metrics import EntityF1  # slow: torchmetrics

        self._counts = self._counts or [EntityF1(self.classes) for _ in self.biases]
        return self._counts


class LabelThresholds(Scaling):
    """Takes from the score of each label what gives it the best F1 on the validation split.

    A label is predicted where its score is above 0, so also one that is rarer than a half. As
    with `EntityBias`, what is measured on that split is a little too good. Labels that do not
    occur there keep their scores.

    Probabilities are those of scores, before that is taken, divided by one temperature for all
    labels, which is fitted to the same split; it changes no label.
    """

    thresholds: Tensor

    def __init__(self, num_labels: int):
        super().__init__(2)
        self.register_buffer("thresholds", torch.zeros(num_labels))
        self.clear()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Without a temperature, of an older checkpoint."""
        state_dict.setdefault(f"{prefix}temperature", torch.tensor(1.0))
        state_dict.setdefault(f"{prefix}num_items", torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, prediction: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return prediction - self.thresholds.to(prediction)

    def clear(self) -> None:
        self._batches: list[tuple[Tensor, Tensor]] = []

    def update(self, prediction: Float[Tensor, "b k"], y: Int[Tensor, "b k"]) -> None:
        self._batches.append((prediction.detach().float().cpu(), y.cpu()))

    def fit(self) -> None:
        """Chooses the thresholds, between two scores, the highest of equal ones; and the
        temperature."""
        batches = [batch for rank in collectives.gather(self._batches) for batch in rank]
        self.clear()
        if batches:
            scores, labels = (torch.cat(part) for part in zip(*batches, strict=True))
            values = [_best_threshold(*pair) for pair in zip(scores.T, labels.T, strict=True)]
            self.thresholds.copy_(torch.stack(values))
            self.set(self.likeliest(scores, labels), len(scores))

    @staticmethod
    def likeliest(scores: Float[Tensor, "n k"], labels: Int[Tensor, "n k"]) -> float:
        """The temperature of the highest likelihood of labels."""
        smoothing = 1 / (len(labels) + 2)
        targets, scores = (1 - smoothing) * labels.double() + smoothing / 2, scores.double()
        return _least(
            lambda value: float(F.binary_cross_entropy_with_logits(scores / value, targets))
        )

    def rows(
        self, scores: Float[Tensor, "b k"], y: Int[Tensor, "b k"]
    ) -> tuple[Float[Tensor, "n two"], Int[Tensor, " n"]]:
        """A row for each label of each item: not to have it, or to have it."""
        flat = scores.flatten()
        return torch.stack([torch.zeros_like(flat), flat], dim=1), y.flatten()

    def metadata(self) -> dict[str, Any]:
        """Thresholds, which predictions lack, and the temperature of probabilities."""
        if not self.is_fitted:
            return {}
        scale = {"thresholds": self.thresholds.tolist(), "temperature": float(self.temperature)}
        return {"label_scale": scale}


def _best_threshold(scores: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    if not labels.any():
        return torch.tensor(0.0)
    ordered, order = scores.sort(descending=True)
    hits, size = labels[order].cumsum(dim=0), torch.arange(1, len(scores) + 1)
    f1 = 2 * hits / (size + labels.sum())
    below = torch.cat([ordered[1:], ordered[-1:] - 1])
    return ((ordered + below) / 2)[f1.masked_fill(ordered == below, -1).argmax()]


Floats = NDArray[np.float64]
PEAKS = 5
"""Peaks that fit end to end into a window, of an average over such windows: one of two to three
standard deviations lasts about a fifth of it (Aldous 1989)."""
ENOUGH = 100
"""Fewest independent scores that a threshold rests on; the tail holds ten of them."""
TAIL, MIN_TAIL, MAX_TAIL = 0.1, 5, 20
"""The tail is the highest tenth, or from so many to so many independent values."""


def threshold(held_out: Floats, training: Floats, span: int, quantile: float) -> float:
    """The score from 0 to 1 that a fraction of 1 - `quantile` of new normal steps reaches.

    Neighbouring steps have much the same score: `span` of them, which a score looks at, count as
    five independent ones. Where the held-out ones (n) are worth less than a hundred, training steps
    (m) make up the difference: so few may all be calm by chance. NaN is left out, and returned if
    there is no score.
    """
    scores, spare = held_out[~np.isnan(held_out)], training[~np.isnan(training)]
    if not len(scores) + len(spare):
        return float("nan")
    weight = PEAKS / span
    lent = min(max(ENOUGH - weight * len(scores), 0.0), weight * len(spare))
    weights = np.full(len(scores), weight), np.full(len(spare), lent / max(len(spare), 1))
    both = np.minimum(np.concatenate([scores, spare]), 1 - 1e-12)
    # A score is x / (x + 1) of an error x, and it is errors that have exponential tails.
    error = tail_quantile(both / (1 - both), np.concatenate(weights), quantile)
    return error / (error + 1)


def tail_quantile(values: Floats, weights: Floats, quantile: float) -> float:
    """A quantile that may lie beyond all values (n), which stand for so many independent ones (n):
    peaks over a threshold.

    Excesses of the k highest values over the next one are taken to be exponential (Pickands 1975,
    Davison and Smith 1990; of anomaly scores Siffer et al. 2017). As only k of them tell their
    mean, a new one follows a generalised Pareto distribution of shape 1 / k: the fewer there are,
    the further out the quantile. Of very many values it is one of them.
    """
    order = np.argsort(values)
    ordered, weights = values[order], weights[order]
    heaped, rate = np.cumsum(weights), 1 - quantile
    size = heaped[-1]
    k = max(min(max(TAIL * size, MIN_TAIL), MAX_TAIL, size / 2), rate * size)
    first = min(int(np.searchsorted(heaped, size - k)), len(values) - 1)
    excesses, rest = ordered[first + 1 :] - ordered[first], weights[first + 1 :]
    mean = np.average(excesses, weights=rest) if rest.any() else 0.0
    expected = (k + 1) / (size + 1)  # of new values, how many exceed this one
    return float(ordered[first] + k * mean * ((expected / rate) ** (1 / k) - 1))


class Errors:
    """Residuals of windows, with predictions or without, gathered batch by batch until all are
    there."""

    def __init__(self, predictions: bool = False) -> None:
        self._keep = predictions
        self._parts: list[Residuals] = []

    def add(self, prediction: Tensor, batch: Batch) -> None:
        forecast = prediction.detach().float().cpu().numpy()  # numpy knows no bfloat16
        index, y = batch.index.cpu().numpy(), batch.y.cpu().numpy()
        self._parts.append(Residuals.of(index, forecast, y, self._keep))

    def score(self, recordings: Sequence[Recording], scorer: Scorer) -> list[Scored]:
        """Scores of recordings, whose rows the windows count one after the other.

        NaN at steps of no window.
        """
        return [
            Scored(
                recording,
                scorer.of_windows(recording.values, recording.num_train, residuals, recording.name),
            )
            for recording, residuals in zip(recordings, self.by_recording(recordings), strict=True)
        ]

    def by_recording(self, recordings: Sequence[Recording]) -> list[Residuals]:
        """Residuals of each recording, in the order of time, on all ranks."""
        edges = np.cumsum([0, *(len(recording.values) for recording in recordings)]).tolist()
        every = Residuals.joined([p for rank in collectives.gather(self._parts) for p in rank])
        return [every.within(*edge) for edge in itertools.pairwise(edges)]


class Threshold(nn.Module):
    """The score that normal steps reach at a rate of 1 - quantile; predictions stay as they are.

    The validation part of each recording is scored as a test part is, as if the training part
    ended before it: net, components and scale have not seen it. Its scores set the threshold
    (`threshold`); labels do not count. Few scores tell little of a rare event: the
    quantile is then extrapolated. Where validation parts are shorter than twenty times what a
    score looks at, training parts make up the difference, by components fitted without them.

    Args:
        quantile: fraction of the scores of normal steps that are below it.
    """

    value: Tensor
    of_rates: Tensor
    """The thresholds of other quantiles, 1 - `RATES`."""

    def __init__(self, scorer: Scorer, quantile: float = 0.999):
        super().__init__()
        if not 0 < quantile < 1:
            raise ValueError(f"quantile={quantile} must be above 0 and below 1")
        self.scorer, self.quantile = scorer, quantile
        self.register_buffer("value", torch.tensor(torch.nan))
        self.register_buffer("of_rates", torch.full((len(RATES),), torch.nan))
        self.clear()

    def forward(self, prediction: Tensor) -> Tensor:
        return prediction

    @property
    def score(self) -> float:
        """The lowest score of an anomaly."""
        value = float(self.value)
        if np.isnan(value):
            raise InputError(
                "no validation has set the threshold of anomalies: type "
                "trainer.check_val_every_n_epoch=1 trainer.limit_val_batches=1.0"
            )
        return value

    def metadata(self) -> dict[str, Any]:
        from seqfuse.runtime.jobs.anomalies import SCORERS  # which imports all jobs

        scorer: Any = self.scorer
        if type(scorer) in SCORERS.values():
            options = {name: getattr(scorer, name) for name in scorer.options}
            scorer = {"kind": type(scorer).__name__, **options}
        return {
            "scorer": scorer,
            "threshold": self.score,
            "thresholds": self.of_rates.tolist(),
        }

    def clear(self) -> None:
        self.errors = Errors(self.scorer.reads_predictions)

    def fit(self, splits: "Monitored", errors: Errors | None = None) -> None:
        """Sets the threshold from the errors of windows in training and validation parts."""
        recordings = splits.recordings()
        windows = (errors or self.errors).by_recording(recordings)
        self.clear()
        parts = zip(recordings, windows, strict=True)
        scores = [
            self._scores(recording, splits.cut(recording), windows) for recording, windows in parts
        ]
        training, held_out = (np.concatenate(parts) for parts in zip(*scores, strict=True))
        span = self.scorer.span(splits.horizon)
        self.value.fill_(threshold(held_out, training, span, self.quantile))
        others = [threshold(held_out, training, span, float(1 - rate)) for rate in RATES]
        self.of_rates.copy_(torch.as_tensor(np.maximum.accumulate(others)))

    def _scores(self, recording: Recording, cut: int, residuals: Residuals) -> list[np.ndarray]:
        """Scores of the training steps of a recording, and of those held out behind them."""
        starts, horizon = residuals.starts, residuals.errors.shape[1]
        if cut < self.scorer.least(horizon):
            cut = recording.num_train  # too few steps are left: none is held out
        ends = starts + horizon
        chosen = (ends <= cut) | (starts >= cut) & (ends <= recording.num_train)
        errors, predictions = residuals.errors[chosen], residuals.predictions[chosen]
        kept = Residuals(starts[chosen], errors, predictions)
        values = recording.values[: recording.num_train]
        return np.split(self.scorer.of_windows(values, cut, kept, recording.name), [cut])
