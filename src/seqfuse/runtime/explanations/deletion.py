"""Deletion and insertion tests (Petsiuk et al. 2018): is an explanation to be believed?

Steps are put at the baseline, the most important first; the less is left of the prediction, the
better their order was found. Insertion begins at the baseline and puts them back.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.engine import Engine
from seqfuse.runtime.explanations.cases import Case
from seqfuse.runtime.explanations.methods import METHODS, Attribution, occluded

POINTS = 11
"""Points of a curve: 0, a tenth, ... all of the steps."""
QUICK, ORDERS = 6, 2
"""Points of a curve, and orders by chance, of a quick verdict."""
ITEMS = 32
"""Items that a quick verdict takes, at most."""
SURE = 1.645
"""Standard errors above 0 of a difference that is not by chance: one-sided, at 5 %."""


def importance(case: Case, attribution: Attribution) -> NDArray[np.float64]:
    """(b t) of steps: the sum over channels; of numbers, which may go up or down, its size."""
    sums = attribution.parts[0].values.sum(axis=2)
    return sums if case.score.signed else np.abs(sums)


def at_random(case: Case, generator: np.random.Generator) -> NDArray[np.float64]:
    """(b t) an order by chance."""
    return generator.uniform(size=case.mask.shape)


def area(
    engine: Engine,
    case: Case,
    order: NDArray[np.float64],
    points: int = POINTS,
    inserts: bool = False,
) -> NDArray[np.float64]:
    """(b) the area under the deletion curve of each item, by the trapezoidal rule.

    It is of classes the mean probability that is left, of numbers their mean change, with a minus.

    Args:
        case: items of one source.
        order: (b t) how important each step is said to be.
        points: of a curve.
        inserts: whether the most important steps are put back first instead.
    """
    [each] = case.inputs
    rows, real = np.arange(case.size), case.mask
    # The place of each real step in the order, from 0 on; masked steps come last.
    places = np.argsort(np.where(real, -order, np.inf), axis=1, kind="stable")
    place = np.argsort(places, axis=1, kind="stable")
    whole = case.score.value(case.prediction, rows)
    curve = []
    for fraction in np.linspace(0, 1, points):
        first = place < np.round(fraction * real.sum(axis=1, keepdims=True))
        hidden = ((~first if inserts else first) & real)[:, :, None] & each.present
        scores = occluded(engine, case, rows, {each.feed: hidden})
        curve.append(case.score.kept(scores, whole))
    return (np.sum(curve, axis=0) - (curve[0] + curve[-1]) / 2) / (points - 1)


class Verdict(NamedTuple):
    """Areas under deletion curves, of a method against orders by chance."""

    area: float
    chance: float
    is_better: bool
    """Whether the area is smaller, and not by chance."""
    items: int

    def line(self, method: str) -> str:
        how = "better than chance" if self.is_better else "no better than chance"
        return (
            f"deletion test on {self.items} items: {method} finds the steps that count {how} "
            f"(area {self.area:.3g}, random orders {self.chance:.3g})"
        )


def verdict(engine: Engine, cases: Iterable[Case], method: str) -> Verdict | None:
    """A quick deletion test of the attributions of a method (see `judged`)."""
    cases = list(cases)
    if not all(map(_is_of_one_source, cases)):
        return None
    return judged(engine, ((case, METHODS[method](engine, case, None)) for case in cases))


def _is_of_one_source(case: Case) -> bool:
    """Whether the steps of a batch are those of its only source."""
    return [each.present.shape[1] for each in case.inputs] == [case.mask.shape[1]]


def judged(engine: Engine, explained: Iterable[tuple[Case, Attribution]]) -> Verdict | None:
    """A quick deletion test of batches with attributions; None of several sources, also where all
    but one are missing, or of fewer than two items."""
    generator, own, chance = np.random.default_rng(0), [], []
    for case, attribution in explained:
        if not _is_of_one_source(case):
            return None
        order = importance(case, attribution)
        own.append(area(engine, case, order, QUICK))
        random = [area(engine, case, at_random(case, generator), QUICK) for _ in range(ORDERS)]
        chance.append(np.mean(random, axis=0))
    if sum(map(len, own)) < 2:
        return None
    left, right = np.concatenate(own), np.concatenate(chance)
    gained = right - left
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    is_better = bool(gained.mean() > SURE * error)
    return Verdict(float(left.mean()), float(right.mean()), is_better, len(left))
