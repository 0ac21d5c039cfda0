"""Methods of explanation: integrated gradients, occlusion, attention."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import MAX_ITEMS, MAX_VALUES, MIN_CHANNELS, in_blocks
from seqfuse.runtime.engine import Engine, Feeds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Case, Input

SEGMENTS = 64
"""Segments of an item that are occluded, at most, if their size is left to `auto`."""
MAX_ERROR = 5e-6
"""Error of a stretch of a path that is not halved any more, of scores above 1 relative to them."""
STRETCHES = 8
"""Stretches of the path from the baseline to begin with."""
ROUNDS = 26
"""Times that they are halved, at most."""
MAX_STRETCHES = 512
"""Stretches of an item above which they are not halved: rounding errors would be."""
MIN_SPREAD = 1e-6
"""Differences of attention weights that are none."""
Slope = Callable[[NDArray[Any]], NDArray[np.floating]]


@runtime_checkable
class Differentiable(Protocol):
    """An engine that has gradients."""

    def along(
        self, feeds: Feeds, baselines: Feeds, places: NDArray[np.floating], slope: Slope
    ) -> tuple[NDArray[Any], Mapping[str, NDArray[Any]]]:
        """Predictions between baselines (place 0) and feeds (place 1), and how fast scores grow.

        Args:
            feeds: a batch of b items.
            baselines: where paths begin, for the same names of values.
            places: (b) on each path.
            slope: derivative of the score by the prediction.

        Returns:
            predictions (b ...) of what has gradients, and for each name the part of the score's
            growth along the path that each number has: (b t ...), of words (b t).
        """
        ...


class Part(NamedTuple):
    """Attributions to the values of one source, of a batch."""

    source: str
    channels: Sequence[str]
    """Names; of steps as a whole the one is nameless."""
    values: NDArray[np.float64]
    """(b t g) 0 at masked steps."""
    present: NDArray[np.bool_]
    """(b t g)"""


class Attribution(NamedTuple):
    """Attributions of a batch."""

    parts: Sequence[Part]
    score: NDArray[np.float64]
    """(b) what is explained."""
    baseline: NDArray[np.float64]
    """(b) the same without any value."""
    gap: NDArray[np.float64] | None = None
    """(b) how far the sum of integrated gradients is from the difference of both."""
    unit: str | None = None
    """Unit of the attributions, where it is not that of the score."""


Method = Callable[[Engine, Case, int | None], Attribution]


def integrated_gradients(engine: Engine, case: Case, segment: int | None = None) -> Attribution:
    """Integrated gradients (Sundararajan et al. 2017) on the straight path from the baseline.

    Stretches of the path are halved until the gradient in the middle of each accounts for the
    difference of the scores at its ends. So their sum is the score less that of the baseline also
    where nearly all of it is gained in a short stretch, as behind a normalisation.
    """
    if not isinstance(engine, Differentiable):
        raise InputError("method=gradients: an exported folder has none: type method=occlusion")
    stretches = _stretches(engine, case)
    first, last = stretches.at_low[::STRETCHES], stretches.at_high[STRETCHES - 1 :: STRETCHES]
    tolerance = MAX_ERROR * np.maximum(1, np.maximum(np.abs(first), np.abs(last)))
    totals = {each.feed: np.zeros(each.present.shape) for each in case.inputs}
    sums = np.zeros(case.size)
    for left in range(ROUNDS, -1, -1):
        rows, width = stretches.rows, stretches.high - stretches.low
        few = np.bincount(rows, minlength=case.size)[rows] <= MAX_STRETCHES
        halved = np.zeros(len(rows), dtype=bool)
        at_middle = np.zeros(len(rows))
        for part in in_blocks(len(rows), _limit(case)):
            middle = stretches.middle[part]
            at_middle[part], growth = _along(engine, case, rows[part], middle)
            gained = sum(each.reshape(len(part), -1).sum(axis=1) for each in growth.values())
            gained = gained * width[part]
            errors = np.abs(gained - (stretches.at_high - stretches.at_low)[part])
            halved[part] = (errors > tolerance[rows[part]]) & few[part] & (left > 0)
            done = ~halved[part]
            for name, each in growth.items():
                added = each * width[part][:, None, None]
                np.add.at(totals[name], rows[part][done], added[done])
            np.add.at(sums, rows[part][done], gained[done])
        stretches = stretches.halves(halved, at_middle)
        if not len(stretches.rows):
            break
    parts = [
        Part(each.source, each.channels, totals[each.feed] * each.present, each.present)
        for each in case.inputs
    ]
    return Attribution(parts, last, first, sums - (last - first))


class Stretches(NamedTuple):
    """Stretches of the paths of items, from place 0, the baseline, to place 1."""

    rows: NDArray[np.int64]
    """(s) numbers of the items."""
    low: NDArray[np.float64]
    """(s) places where they begin."""
    high: NDArray[np.float64]
    """(s) places where they end."""
    at_low: NDArray[np.float64]
    """(s) scores where they begin."""
    at_high: NDArray[np.float64]
    """(s) scores where they end."""

    @property
    def middle(self) -> NDArray[np.float64]:
        """(s) places in the middle."""
        return (self.low + self.high) / 2

    def halves(self, chosen: NDArray[np.bool_], at_middle: NDArray[np.float64]) -> "Stretches":
        """Both halves of each that is chosen, whose score in the middle is known."""

        def pairs(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack([left[chosen], right[chosen]]).ravel()

        return Stretches(
            np.repeat(self.rows[chosen], 2),
            pairs(self.low, self.middle),
            pairs(self.middle, self.high),
            pairs(self.at_low, at_middle),
            pairs(at_middle, self.at_high),
        )


def _stretches(engine: Differentiable, case: Case) -> Stretches:
    """Stretches of equal length, `STRETCHES` of each item, in the order of items."""
    places = np.linspace(0, 1, STRETCHES + 1)
    every = np.arange(case.size)
    ends, _ = _along(engine, case, np.repeat(every, 2), np.tile([0.0, 1.0], case.size))
    inner, _ = _along(
        engine, case, np.repeat(every, STRETCHES - 1), np.tile(places[1:-1], case.size)
    )
    scores = np.column_stack([ends[::2], inner.reshape(case.size, -1), ends[1::2]])
    low, high = np.tile(places[:-1], case.size), np.tile(places[1:], case.size)
    rows = np.repeat(every, STRETCHES)
    return Stretches(rows, low, high, scores[:, :-1].ravel(), scores[:, 1:].ravel())


def _along(
    engine: Differentiable, case: Case, rows: NDArray[np.int64], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Scores on the paths of items, and for each input how fast they grow by channel (n t g)."""
    values, growth = [], []
    for part in in_blocks(len(rows), _limit(case)):
        chosen = rows[part]

        def slope(prediction: NDArray[Any], chosen: NDArray[np.int64] = chosen) -> Any:
            return case.score.slope(prediction, chosen)

        feeds = {name: array[chosen] for name, array in case.feeds.items()}
        baselines = {each.feed: each.baseline[chosen] for each in case.inputs}
        prediction, grown = engine.along(feeds, baselines, places[part], slope)
        values.append(case.score.value(prediction, chosen))
        growth.append({
            each.feed: each.pooled(grown[each.feed], feeds[each.feed]) for each in case.inputs
        })  # fmt: skip
    joined = {name: np.concatenate([each[name] for each in growth]) for name in growth[0]}
    return np.concatenate(values), joined


def occlusion(engine: Engine, case: Case, segment: int | None = None) -> Attribution:
    """The score less that with a segment of a channel occluded, shared evenly by its steps.

    It takes nothing but predictions (Zeiler & Fergus 2014), and as many as there are segments, of
    which an item has no more than `SEGMENTS` if their size is not given.
    """
    every = np.arange(case.size)
    score = case.score.value(case.prediction, every)
    parts = []
    for each in case.inputs:
        values = np.zeros(each.present.shape)
        places = list(_segments(each, segment))
        for block in in_blocks(len(places), _limit(case)):
            chosen = [places[i] for i in block]
            rows = np.array([row for row, _, _ in chosen])
            hidden = np.zeros((len(chosen), *each.present.shape[1:]), dtype=bool)
            for number, (_, steps, channel) in enumerate(chosen):
                hidden[number, steps, channel] = True
            without = occluded(engine, case, rows, {each.feed: hidden})
            lost = score[rows] - without
            for (row, steps, channel), difference in zip(chosen, lost, strict=True):
                values[row, steps, channel] = difference / len(steps)
        parts.append(Part(each.source, each.channels, values, each.present))
    return Attribution(parts, score, without_all(engine, case))


def _segments(each: Input, size: int | None) -> Iterator[tuple[int, NDArray[np.int64], int]]:
    """Item, steps and channel of each segment."""
    for row in range(len(each.present)):
        for channel in range(each.present.shape[2]):
            steps = np.flatnonzero(each.present[row, :, channel])
            length = size or -(-len(steps) // SEGMENTS)
            for first in range(0, len(steps), max(length, 1)):
                yield row, steps[first : first + length], channel


def occluded(
    engine: Engine, case: Case, rows: NDArray[np.int64], hidden: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """(n) scores of items, by their numbers, with the baseline in place of some values: by feed,
    hidden channels (n t g)."""
    feeds = {name: array[rows] for name, array in case.feeds.items()}
    for each in case.inputs:
        if each.feed in hidden:
            feeds[each.feed] = each.without(feeds[each.feed], rows, hidden[each.feed])
    return case.score.value(engine(feeds)[0], rows)


def without_all(engine: Engine, case: Case) -> NDArray[np.float64]:
    """(b) scores of the baselines."""
    every = np.arange(case.size)
    return occluded(engine, case, every, {each.feed: each.present for each in case.inputs})


def attention(engine: Engine, case: Case, segment: int | None = None) -> Attribution:
    """Attention weights by step, which sum to 1: where the net looked, whatever it saw there."""
    mask = case.mask
    weights = (case.queries[:, :, None] * case.weights).sum(axis=1).astype(np.float64)
    if not _looks(case):
        raise InputError(
            "method=attention: this net has none, or looks at every step alike: type "
            "method=occlusion or method=gradients"
        )
    before = case.stride * np.arange(weights.shape[1])
    sizes = (mask.sum(axis=1, keepdims=True) - before).clip(1, case.stride)  # of a last one fewer
    weights = np.repeat(weights / sizes, case.stride, axis=1)
    short = max(0, mask.shape[1] - weights.shape[1])
    weights = np.pad(weights, [(0, 0), (0, short)])[:, : mask.shape[1]] * mask
    part = Part("", [""], weights[..., None], mask[..., None])
    score = case.score.value(case.prediction, np.arange(case.size))
    return Attribution([part], score, without_all(engine, case), unit="attention weight")


def _looks(case: Case) -> bool:
    """Whether any query looks at some real steps more than at others, and not at its own alone."""
    queries, steps = case.weights.shape[1:]
    if steps == 1:
        return True
    if queries == steps and not (case.weights * (1 - np.eye(steps))).any():
        return False
    pooled = -(-case.mask.sum(axis=1) // case.stride)
    real = (np.arange(steps) < pooled[:, None])[:, None]
    high = case.weights.max(axis=2, initial=0, where=real)
    low = case.weights.min(axis=2, initial=1, where=real)
    return bool(((high - low)[case.queries > 0] > MIN_SPREAD).any())


def _limit(case: Case) -> int:
    """Items of a batch, as many as suit the memory."""
    steps = max(each.present.shape[1] for each in case.inputs)
    return max(1, min(MAX_ITEMS, MAX_VALUES // max(case.width, steps * MIN_CHANNELS)))


def check_method(method: str, segment: int | None) -> None:
    """Raises InputError unless there is such a method, and it has segments if some are given."""
    if method not in METHODS:
        raise InputError(f"method={method} must be one of: {', '.join(METHODS)}")
    if segment is not None and (type(segment) is not int or segment < 1):
        raise InputError(f"segment={segment} must be null or a whole number from 1")
    if segment is not None and method != "occlusion":
        raise InputError(f"segment={segment} is for method=occlusion: leave it out")


METHODS: dict[str, Method] = {
    "gradients": integrated_gradients,
    "occlusion": occlusion,
    "attention": attention,
}
