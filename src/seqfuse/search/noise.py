"""Which setting was best, and whether that is more than what seeds or data sets differ by."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from seqfuse.runtime.shown import markdown_table

Numbers = NDArray[np.float64]
NAMED = 3
"""Settings that a sentence names; a table has all of them."""
LEVEL = 0.05
FEWEST_SETS = 6
"""Data sets of a verdict, at least: even five wins of five leave 2 · 0.5⁵, above `LEVEL`."""
EXACT = 13
"""Data sets up to which all 2ⁿ signs are counted; of more, the normal approximation serves."""


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
    """Mean difference of the other to the best, both by seed, its interval, and the p-value of
    none."""
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
    """Each setting, by seed, against the first, which is the best."""
    return _differences(names[1:], [(values[0], other) for other in values[1:]])


def _differences(names: Sequence[str], pairs: Sequence[tuple[Any, Any]]) -> list[Difference]:
    """Each second of two against the first, corrected for the number of pairs."""
    rows = [against(*pair) for pair in pairs]
    corrected = _holm([p for *_, p in rows])
    parts = zip(names, rows, corrected, strict=True)
    return [Difference(name, *row[:3], p) for name, row, p in parts]


class Comparison(NamedTuple):
    """A setting against a reference over data sets, each by its mean over seeds."""

    setting: str
    differences: pd.Series
    """The metric less that of the reference, by data set."""
    wins: int
    ties: int
    losses: int
    low: float
    high: float
    """Interval of 95 % confidence of the mean difference, by bootstrap over data sets (BCa)."""
    p: float
    """That of Wilcoxon's signed-rank test, corrected for the number of settings (Holm 1979)."""
    is_better: bool
    """Whether the ranks of wins outweigh those of losses."""

    @property
    def is_noise(self) -> bool:
        """Whether data sets that favour neither could make this difference."""
        return not self.p < LEVEL


def over_sets(
    names: Sequence[str], values: Sequence[pd.Series], mode: str = "max"
) -> list[Comparison]:
    """Each setting against the first, over data sets (Demšar 2006).

    Values are by data set and seed; what only one of two settings has is left out. `max` or `min`
    is best.
    """
    differences = []
    for name, other in zip(names[1:], values[1:], strict=True):
        pairs = pd.concat([values[0], other], axis=1, keys=["first", "other"], join="inner")
        means: Any = pairs.dropna().groupby(level=0).mean()
        # Rounded, as 0.9 - 0.8 and 0.8 - 0.7 are ties.
        differences.append((name, (means["other"] - means["first"]).round(12)))
    corrected = _holm([_signed_rank(difference) for _, difference in differences])
    comparisons = []
    for (name, difference), p in zip(differences, corrected, strict=True):
        better = difference if mode == "max" else -difference
        counts = (int((better > 0).sum()), int((better == 0).sum()), int((better < 0).sum()))
        is_better = bool((np.sign(better) * better.abs().rank()).sum() > 0)
        span = _bootstrap(difference)
        comparisons.append(Comparison(name, difference, *counts, *span, p, is_better))
    return comparisons


def by_set(first: pd.Series, other: pd.Series) -> list[Difference]:
    """The other setting against the first on each data set, corrected for the number of sets.

    Both are by data set and seed.
    """
    names = sorted({*first.index.get_level_values(0)} & {*other.index.get_level_values(0)})
    return _differences(names, [(first[name], other[name]) for name in names])


def _signed_rank(differences: pd.Series) -> float:
    """p-value of no difference; ranks of ties are shared by both sides. NaN of too few sets."""
    values = differences.to_numpy(float)
    if len(values) < FEWEST_SETS:
        return math.nan
    method: Any = stats.PermutationMethod() if len(values) <= EXACT else "asymptotic"
    tested: Any = stats.wilcoxon(values, zero_method="zsplit", method=method)
    return float(tested.pvalue)


def _bootstrap(differences: pd.Series) -> tuple[float, float]:
    """Interval of the mean (Efron 1987)."""
    values = differences.to_numpy(float)
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    always: dict[str, Any] = {"random_state": 0}  # `rng` only since scipy 1.15
    drawn: Any = stats.bootstrap((values,), np.mean, confidence_level=1 - LEVEL, **always)
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def verdict_over_sets(
    metric: str, names: Sequence[str], values: Sequence[pd.Series], mode: str = "max"
) -> str:
    """The answer over data sets in Markdown: a sentence for each setting, and a table.

    Arguments as of `over_sets`.
    """
    sentences, lines = [], []
    for row in over_sets(names, values, mode):
        mean = row.differences.mean()
        if math.isnan(row.p):
            answer = f"too few to tell from noise, at least {FEWEST_SETS} are needed"
        elif row.is_noise:
            answer = "within noise"
        else:
            answer = f"more than noise, and {'better' if row.is_better else 'worse'}"
        sets = f"{metric} over {len(row.differences)} data sets"
        sentences.append(f"`{row.setting}` against `{names[0]}`, {sets}: {answer}.")
        counts = f"{row.wins}, {row.ties}, {row.losses}"
        p = "" if math.isnan(row.p) else _number(row.p)
        lines.append((row.setting, counts, f"{mean:+.4f}", _interval(row), p))
    top = (f"against {names[0]}", "wins, ties, losses", "difference", "95 % interval", "p (Holm)")
    return "\n".join(sentences) + f"\n\n{markdown_table(top, lines)}"


def _holm(values: Sequence[float]) -> list[float]:
    """p-values for that many comparisons; NaN stays NaN and does not count."""
    order = sorted((i for i, p in enumerate(values) if not math.isnan(p)), key=lambda i: values[i])
    corrected, largest = list(values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * values[i]))
        corrected[i] = largest
    return corrected


class Verdict(NamedTuple):
    """Whether a setting is best, and the answer in Markdown: a sentence, and a row per setting."""

    is_best: bool
    """Whether every other setting is worse by more than seeds differ by."""
    text: str


def verdict(metric: str, names: Sequence[str], values: Sequence[pd.Series]) -> Verdict:
    """Whether the setting that comes first, in order of means over seeds, is the best."""
    rows = differences(names, values)
    first = values[0]
    spread = f" ± {first.std(ddof=1):.4f}" if len(first) > 1 else ""
    head = f"`{names[0]}` comes first by {metric}: {first.mean():.4f}{spread} (n={len(first)})."
    if all(math.isnan(row.p) for row in rows):
        text = f"{head} One run each says nothing of noise: add seed=0,1,2,3,4 to the sweep."
        return Verdict(False, text)
    close = [f"`{row.setting}`" for row in rows if row.is_noise]
    if not close:
        answer = "It is the best: every other setting is worse by more than seeds differ by."
    elif len(close) == len(rows):
        answer = "That may be noise: no other setting differs by more than seeds do."
    else:
        more = f" and {len(close) - NAMED:,} more" if len(close) > NAMED else ""
        answer = f"It may be noise that it is better than {', '.join(close[:NAMED])}{more}."
    top = ("against", "difference", "95 % interval, alone", "p (Holm)")
    lines = [(row.setting, f"{row.mean:+.4f}", _interval(row), _number(row.p)) for row in rows]
    return Verdict(not close, f"{head} {answer}\n\n{markdown_table(top, lines)}")


def _interval(row: Difference | Comparison) -> str:
    return "" if math.isnan(row.low) else f"{row.low:+.4f} to {row.high:+.4f}"


def _number(p: float) -> str:
    return "one run" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
