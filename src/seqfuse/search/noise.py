"""Which setting of a sweep was best, and whether that is more than what seeds differ by."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Numbers = NDArray[np.float64]
LEVEL = 0.05


class Difference(NamedTuple):
    """A setting against the best one."""

    setting: str
    mean: float
    """Difference of the metric from that of the best; paired by seed where seeds are the same."""
    low: float
    high: float
    """Interval of 95 % confidence by Student's t; NaN where neither was repeated."""
    p: float
    """That of no difference, corrected for the number of settings (Holm 1979)."""

    @property
    def is_noise(self) -> bool:
        """Whether seeds alone could make this difference."""
        return not self.p < LEVEL


def against(best: pd.Series, other: pd.Series) -> tuple[float, float, float, float]:
    """Mean difference of the other to the best, its interval, and the p-value of none.

    Args:
        best: the metric, by seed.
        other: the same of another setting.
    """
    seeds = best.index.intersection(other.index)
    difference = float(other.mean() - best.mean())
    if len(seeds) > 1 and len(seeds) == len(best) == len(other):
        pairs = np.asarray(other[seeds] - best[seeds], float)
        error, freedom = pairs.std(ddof=1) / math.sqrt(len(pairs)), len(pairs) - 1.0
    elif min(len(best), len(other)) > 1:  # Welch 1947
        parts = [each.var(ddof=1) / len(each) for each in (best, other)]
        error = math.sqrt(sum(parts))
        spread = sum(part**2 / (len(e) - 1) for part, e in zip(parts, (best, other), strict=True))
        freedom = sum(parts) ** 2 / spread if spread else math.inf
    else:
        return difference, math.nan, math.nan, math.nan
    if not error:
        return difference, difference, difference, 0.0 if difference else 1.0
    reach = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    p = 2 * float(stats.t.sf(abs(difference) / error, freedom))
    return difference, difference - reach, difference + reach, p


def differences(names: Sequence[str], values: Sequence[pd.Series]) -> list[Difference]:
    """Each setting against the first, which is the best.

    Args:
        names: of settings.
        values: the metric of each setting, by seed.
    """
    rows = [against(values[0], other) for other in values[1:]]
    corrected = _holm([p for *_, p in rows])
    parts = zip(names[1:], rows, corrected, strict=True)
    return [Difference(name, *row[:3], p) for name, row, p in parts]


def _holm(values: Sequence[float]) -> list[float]:
    """p-values for that many comparisons; NaN stays NaN and does not count."""
    order = sorted((i for i, p in enumerate(values) if not math.isnan(p)), key=lambda i: values[i])
    corrected, largest = list(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[i]))
        corrected[i] = largest
    return corrected


def verdict(metric: str, names: Sequence[str], values: Sequence[pd.Series]) -> str:
    """The answer in Markdown: a sentence, and a row per setting.

    Args:
        metric: that decides.
        names: of settings, the best first.
        values: the metric of each, by seed.
    """
    rows = differences(names, values)
    best = values[0]
    spread = f" ± {best.std(ddof=1):.4f}" if len(best) > 1 else ""
    head = f"`{names[0]}` has the best {metric}: {best.mean():.4f}{spread} (n={len(best)})."
    if all(math.isnan(row.p) for row in rows):
        return f"{head} One run each says nothing of noise: add seed=0,1,2,3,4 to the sweep."
    close = [f"`{row.setting}`" for row in rows if row.is_noise]
    if not close:
        answer = "Seeds alone do not explain that: every other setting is worse by more."
    elif len(close) == len(rows):
        answer = "That may be noise: no other setting differs by more than seeds do."
    else:
        answer = f"It may be noise that it is better than {', '.join(close)}."
    lines = [
        f"| {row.setting} | {row.mean:+.4f} | {_interval(row)} | {_number(row.p)} |" for row in rows
    ]
    top = "| against | difference | 95 % interval, alone | p (Holm) |"
    return f"{head} {answer}\n\n" + "\n".join([top, "|---|---|---|---|", *lines])


def _interval(row: Difference) -> str:
    return "" if math.isnan(row.low) else f"{row.low:+.4f} to {row.high:+.4f}"


def _number(p: float) -> str:
    return "one run" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
