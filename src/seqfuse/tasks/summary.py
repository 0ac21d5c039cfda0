"""Rows of classes, how far an accuracy can be trusted, and what forecasts are worth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from seqfuse.runtime.errors import InputError

if TYPE_CHECKING:
    from seqfuse.data.module import DataModule
    from seqfuse.runtime.jobs.sets import Sets

SHOWN = 10
"""Classes that are named one by one; of more, the range."""
FEW = 5
"""Rows below which a class is named as small."""


def of_classes(data: "DataModule") -> str:
    """Rows per class of the training items, and classes with few; empty for other jobs."""
    splits = data.splits
    sizes = splits.sizes()
    counts, classes = sizes.get("class_counts", ()), sizes.get("classes", ())
    if len(counts) < 2 or data.tensors("train").y.ndim > 1:
        return ""
    lines = [f"classes     {_rows(classes, counts)}"]
    if not splits.has_validation:
        lines.append("            none is held out (data.num_folds=5 holds out a fifth)")
    if small := _small(classes, counts):
        lines.append(f"note        {small}")
    return "\n".join(lines)


def _rows(classes: Sequence[str], counts: Sequence[int]) -> str:
    if len(set(counts)) == 1:
        return f"{counts[0]:,} rows of each of {len(counts)}"
    if len(counts) <= SHOWN:
        each = (f"{name}: {n:,}" for name, n in zip(classes, counts, strict=True))
        return "rows of " + ", ".join(each)
    return f"{min(counts):,} to {max(counts):,} rows of each of {len(counts)}"


def _small(classes: Sequence[str], counts: Sequence[int]) -> str:
    few = [(name, n) for name, n in zip(classes, counts, strict=True) if n < FEW]
    if not few:
        return ""
    named = ", ".join(f"{name} ({n})" for name, n in few[:SHOWN])
    more = f" and {len(few) - SHOWN:,} more" if len(few) > SHOWN else ""
    return f"fewer than {FEW} rows to learn from: {named}{more}"


def num_judged(data: "DataModule", split: str, counts: Sequence[int] | None) -> int | None:
    """Items of a split that its accuracy is a fraction of; None where they have no class each."""
    items = data.tensors(split)
    has_classes = counts is not None and items.y.ndim == 1 and not items.y.is_floating_point()
    return len(items) if has_classes else None


def of_accuracy(
    accuracy: float, data: "DataModule", split: str, counts: Sequence[int] | None
) -> tuple[str, str]:
    """How sure an accuracy is, with the largest class beside it; and a warning, or nothing.

    `counts` are training items of each class, which a checkpoint knows without their file; None
    where items have no class each.
    """
    if counts is None:
        return "", ""
    if num_judged(data, split, counts) is None:
        return _of_steps(data, split, counts), ""
    items = data.tensors(split)
    largest = counts.index(max(counts))
    share = float((items.y == largest).double().mean())
    low, high = interval(accuracy, len(items))
    name = data.splits.pipeline.labels.classes[largest]
    unit = data.splits.rows(split)[0].unit  # opens no other split
    line = (
        f"{split}/accuracy is {low:.3f} to {high:.3f} with 95 % confidence ({len(items):,} "
        f"{unit}); always {name}, the largest class in training: {share:.3f}"
    )
    if round(accuracy * len(items)) > int((items.y == largest).sum()):
        return line, ""
    scaling = " or data.scaling=series" if unit == "series" else ""
    return line, (
        f"{split}/accuracy {accuracy:.3f} is no better than always saying {name} ({share:.3f}): "
        f"try find_lr=true, more steps (trainer.max_steps){scaling}, and check that labels belong "
        "to their rows"
    )


def _of_steps(data: "DataModule", split: str, counts: Sequence[int]) -> str:
    """Steps that an accuracy is a fraction of, and that of the most frequent class; empty where
    steps have no class each."""
    y = data.tensors(split).y
    if y.ndim != 2 or y.is_floating_point() or not data.splits.pipeline.labels.per_step:
        return ""
    real, largest = y >= 0, counts.index(max(counts))
    share = float((y[real] == largest).double().mean())
    name, unit = data.splits.pipeline.labels.classes[largest], data.splits.rows(split)[0].unit
    return (
        f"{split}/accuracy is of {int(real.sum()):,} steps in {len(y):,} {unit}; always {name}, "
        f"the most frequent class in training: {share:.3f}"
    )


def of_numbers(metrics: Mapping[str, float], split: str) -> tuple[str, str]:
    """How far numbers are foretold, or a warning where the mean is as good; or nothing."""
    r2 = metrics.get(f"{split}/r2")
    if r2 is None or r2 != r2:
        return "", ""
    if r2 > 0:
        return (
            f"{split}/r2 {r2:.3f}: {100 * r2:.0f} % of the squared differences from the mean are "
            "explained; always saying the mean: 0 %"
        ), ""
    return "", (
        f"{split}/r2 {r2:.3f} is no better than always saying the mean: try more steps "
        "(trainer.max_steps) or find_lr=true, and check that numbers belong to their rows"
    )


def of_labels(metrics: Mapping[str, float], data: "DataModule", split: str) -> str:
    """Wrong labels, in words, beside the fewest that one answer per label for all items has."""
    y, wrong = data.tensors(split).y, metrics.get(f"{split}/hamming", float("nan"))
    if y.ndim != 2 or not len(y) or wrong != wrong:
        return ""
    share = y.double().mean(dim=0)
    fixed = float(share.minimum(1 - share).mean())
    whole, unit = metrics.get(f"{split}/subset_accuracy"), data.splits.rows(split)[0].unit
    right = "" if whole is None else f"; all labels are right for {100 * whole:.1f} % of {unit}"
    return (
        f"{100 * wrong:.1f} % of {y.numel():,} labels, absent or present, of {len(y):,} {unit} are "
        f"wrong; the more frequent answer for each label, always: {100 * fixed:.1f} %{right}"
    )


def of_anomalies(metrics: Mapping[str, float], split: str, quantile: float) -> str:
    """Flagged steps, in words, beside the false alarms that a threshold promises."""
    share = {name: metrics.get(f"{split}/{name}") for name in ("recall", "precision")}
    known = {name: value for name, value in share.items() if value is not None and value == value}
    words = {
        "recall": "of anomalous steps are flagged",
        "precision": "of flagged ones are anomalous",
    }
    said = [f"{100 * value:.0f} % {words[name]}" for name, value in known.items()]
    alarms = metrics.get(f"{split}/false_alarms", float("nan"))
    return ", ".join(
        [
            *said,
            f"{100 * alarms:.2g} % of normal ones are flagged, where task.quantile={quantile:g} "
            f"promises {100 * (1 - quantile):.2g} % of such as in validation; other thresholds: "
            "seqfuse-predict threshold=, quantile= or budget=",
        ]
    )


def of_calibration(metrics: Mapping[str, float], temperature: float, items: int) -> str:
    """A temperature, the number of items that it was fitted to, and the calibration error before
    and after it; empty where none is measured. Metrics are `<split>/<name>` of one split, as of all
    functions below."""
    for name, before in metrics.items():
        if name.endswith("/calibration_error_uncalibrated"):
            after = name.removesuffix("_uncalibrated")
            return (
                f"scores are divided by {temperature:.3f}, fitted to {items:,} items: {after} "
                f"{before:.3f} before, {metrics[after]:.3f} after"
            )
    return ""


def of_sets(metrics: Mapping[str, float], sets: "Sets | None") -> tuple[str, str]:
    """How far coverage of sets of classes can be trusted, and advice on their level; or nothing."""
    name = "" if sets is None else f"test/coverage_{100 * sets.level:g}"
    if sets is None or name not in metrics:
        return "", ""
    error = (sets.level * (1 - sets.level) / sets.count) ** 0.5
    line = (
        f"{name} is {metrics[name]:.3f}; {sets.count:,} calibration items let one run be off by "
        f"{error:.3f} (standard error)"
    )
    return line, sets.note()


def of_forecasts(
    metrics: Mapping[str, float], season: int, look_back: int, skipped: int = 0
) -> tuple[str, str]:
    """Compares forecasts with naive ones: a line, or a warning where they are no better.

    Both are empty where the metrics are not those of forecasts.

    Args:
        season: steps of a season.
        look_back: steps that a forecast sees.
        skipped: steps of a season that the training rows do not hold; 0: there is none.
    """
    from seqfuse.runtime.naive import season_within, seasonal_name, worth  # slow: numpy

    season = season_within(season, look_back)
    names = {"last value": "last_value", seasonal_name(season): "seasonal", "drift": "drift"}
    if season == 1:
        names.pop(seasonal_name(season))  # it is the last value
    errors = _errors(metrics, names)
    if not errors:
        return "", ""
    line, is_better = worth(errors)
    if skipped:
        line += f" (no seasonal one: {skipped} steps are more than the rows to train on)"
    if is_better:
        return line, ""
    return "", (
        f"{line}: train for longer (trainer.max_epochs), try another data.look_back, or give what "
        "else is known (data.covariates, data.known)"
    )


def of_imputations(metrics: Mapping[str, float]) -> tuple[str, str]:
    """Compares imputed values with simple ones: a line, or a warning where they are no better."""
    from seqfuse.runtime.naive import worth  # slow: numpy

    names = {"linear interpolation": "interpolation", "the mean of training": "mean"}
    line, is_better = worth(_errors(metrics, names), "simple imputations")
    fix = "train for longer (trainer.max_epochs), or try another data.look_back"
    return (line, "") if is_better else ("", f"{line}: {fix}")


def _errors(
    metrics: Mapping[str, float], names: Mapping[str, str]
) -> dict[str, tuple[float, dict[str, float]]]:
    """MAE and MSE of the net, and of baselines, by the names that people know them by, the keys."""
    errors = {}
    for split in {name.partition("/")[0] for name in metrics}:
        for error in ("mae", "mse"):
            naive = {kind: metrics.get(f"{split}/{name}_{error}") for kind, name in names.items()}
            known = {kind: value for kind, value in naive.items() if value is not None}
            if known and f"{split}/{error}" in metrics:
                errors[f"{split}/{error}"] = (metrics[f"{split}/{error}"], known)
    return errors


def interval(accuracy: float, items: int) -> tuple[float, float]:
    """Wilson's interval of 95 % confidence for a fraction of so many items (Wilson 1927)."""
    from scipy.stats import binomtest  # slow

    if not 0 <= accuracy <= 1 or items < 1:
        raise InputError(f"an accuracy of {accuracy} on {items} items has no interval")
    bounds = binomtest(round(accuracy * items), items).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
