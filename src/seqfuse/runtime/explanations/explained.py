"""Explanations of single items: as arrays, as rows for people, and in one line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations.cases import Case
from seqfuse.runtime.explanations.methods import METHODS, Attribution, check_method
from seqfuse.runtime.writer import Columns

CLIPS = "scores of clips are not explained: a value that is left out would be an anomaly itself"
RECONSTRUCTED = (
    "errors of a reconstruction are not explained, as each value is put together from itself; "
    "seqfuse-predict alarms=<file> names the channels that drove each alarm"
)
WINDOWS = 64
"""Windows that are explained at a time."""


class Source(NamedTuple):
    """Attributions to one source of an item, without padding."""

    name: str
    """Empty where there is one source."""
    channels: Sequence[str]
    """Names; of steps as a whole the one is nameless."""
    values: NDArray[np.float64]
    """(t g)"""
    present: NDArray[np.bool_]
    """(t g) whether there is a value."""
    signal: NDArray[Any]
    """(t ...) what the net got."""
    groups: NDArray[np.int64]
    """(...) the channel of each number of a step of the signal."""


class Explanation(NamedTuple):
    """Attributions to one item."""

    columns: Mapping[str, Any]
    """Names of the item, such as `id`."""
    steps: Mapping[str, Sequence[Any]]
    """Names of its steps for people."""
    target: str
    """Name of the score that is explained."""
    kind: str
    """What the name is one of, such as a class; empty where it speaks for itself."""
    unit: str
    score: float
    """The score that is explained."""
    baseline: float
    """The score without any value."""
    gap: float | None
    """How far the sum of integrated gradients is from the difference of both."""
    sources: Sequence[Source]
    label: str
    """Kind of the attributions, with their unit."""

    def table(self) -> Columns:
        """Rows for people: a row for each step and channel."""
        parts = [self._rows(source) for source in self.sources]
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        count = len(rows["attribution"])
        return {**{name: np.repeat(each, count) for name, each in self.columns.items()}, **rows}

    @property
    def what(self) -> str:
        """The score's name for people, with its kind."""
        return f"{self.kind} {self.target}".lstrip()

    def line(self) -> str:
        top = {name: column[0] for name, column in self.summary().items() if name[:4] == "top_"}
        most = top.pop("top_attribution", 0.0)
        names = ", ".join(f"{name} {each}" for name, each in self.columns.items())
        place = ", ".join(f"{name[4:]} {each}" for name, each in top.items())
        return (
            f"{names}: {self.what}, {self.score:.4g} {self.unit} (without any value "
            f"{self.baseline:.4g}); "
            f"most by {place}: {most:+.3g}"
        )

    def _rows(self, source: Source) -> Columns:
        step, channel = np.nonzero(source.present)
        numbers = {"step": np.arange(1, len(source.present) + 1)}
        columns: Columns = {}
        if source.name or len(self.sources) > 1:
            columns["source"] = np.repeat(source.name, len(step))
        else:
            numbers |= {name: np.asarray(column) for name, column in self.steps.items()}
        columns |= {name: column[step] for name, column in numbers.items()}
        if list(source.channels) != [""]:
            columns["channel"] = np.array(source.channels)[channel]
        return {**columns, "attribution": source.values[step, channel]}

    def summary(self) -> Columns:
        """One row: what is explained, and the step and the channel that contribute most."""
        columns: Columns = {name: [each] for name, each in self.columns.items()}
        columns |= {
            "explained": [self.target],
            "unit": [self.unit],
            "score": [self.score],
            "baseline": [self.baseline],
            "sum": [float(sum(source.values.sum() for source in self.sources))],
        }
        columns |= {} if self.gap is None else {"gap": [self.gap]}
        table = self.table()
        if not len(table["attribution"]):
            return columns
        top = int(np.abs(table["attribution"]).argmax())
        names = [n for n in table if n not in (*self.columns, "attribution")]
        columns |= {f"top_{name}": [table[name][top]] for name in names}
        return {**columns, "top_attribution": [table["attribution"][top]]}


def explanations(
    engine: Engine, cases: Iterable[Case], method: str, segment: int | None = None
) -> Iterator[Explanation]:
    """Explanations of all items of some batches, by one of `METHODS`."""
    for case, attribution in attributions(engine, cases, method, segment):
        yield from of_batch(case, attribution)


def attributions(
    engine: Engine, cases: Iterable[Case], method: str, segment: int | None = None
) -> Iterator[tuple[Case, Attribution]]:
    """Batches with attributions to them, by one of `METHODS`."""
    check_method(method, segment)
    for case in cases:
        yield case, METHODS[method](engine, case, segment)


def of_batch(case: Case, attribution: Attribution) -> Iterator[Explanation]:
    """Explanations of the items of a batch."""
    for row in range(case.size):
        yield _of_item(case, attribution, row)


def _of_item(case: Case, attribution: Attribution, row: int) -> Explanation:
    inputs = {each.source: each for each in case.inputs}
    sources = []
    for part in attribution.parts:
        real = part.present[row].any(axis=1)
        if real.shape == case.mask[row].shape:
            real |= case.mask[row]  # a step without any value is one, too
        each = inputs.get(part.source, case.inputs[0])
        signal = case.feeds[each.feed][row]
        sources.append(
            Source(
                part.source,
                part.channels,
                part.values[row][real],
                part.present[row][real],
                signal[real] if len(signal) == len(real) else signal,
                each.groups,
            )
        )
    return Explanation(
        {name: column[row] for name, column in case.columns.items()},
        case.steps[row],
        case.score.names[row],
        case.score.kind,
        case.score.unit,
        float(attribution.score[row]),
        float(attribution.baseline[row]),
        None if attribution.gap is None else float(attribution.gap[row]),
        sources,
        attribution.unit or f"attribution, {case.score.unit}",
    )


def columns(
    engine: Engine, cases: Iterable[Case], method: str, segment: int | None = None
) -> Columns:
    """Rows for people of all items: a row for each step and channel."""
    tables = [each.table() for each in explanations(engine, cases, method, segment)]
    if not tables:
        raise InputError("there is nothing to explain")
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def arrays(
    engine: Engine, cases: Iterable[Case], method: str, segment: int | None = None
) -> list[Any]:
    """Attributions of each item: (t g), (t) where steps are one; of several sources by name."""
    per_item = []
    for explanation in explanations(engine, cases, method, segment):
        each = {
            source.name: source.values[:, 0] if list(source.channels) == [""] else source.values
            for source in explanation.sources
        }
        per_item.append(each.get("", each))
    return per_item
