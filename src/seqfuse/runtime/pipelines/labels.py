"""Labels of items to the targets of a net: classes, numbers, or several labels.

Of each item a label is a text (a class), a list of one text for each of its steps, a tuple of
numbers (NaN where one is missing), or a tuple of the names of all labels that it has.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.pipelines.scaling import Standardisation
from seqfuse.runtime.read.numbers import numbers_in
from seqfuse.runtime.recordings import Recordings

NO_LABEL = -1
"""The class number of a step that has none, such as padding."""
UNLABELLED = ""
"""The label of each item where labels are not read."""
SEPARATOR = "|"
"""Between several labels in one cell."""
SEPARATORS = re.compile("[|;]")
"""Signs between several labels that are read."""
ItemLabels = Sequence[Any]
MANY = 20
"""Classes, all of them numbers, from which on numbers are probably meant."""
LABEL_TYPES = ("classes", "numbers", "several")
WRITTEN_FLOAT = re.compile(r"[+-]?\d+(\.\d*([eE][+-]?\d+)?|[eE][+-]?\d+)")


def labels_of(
    y: Sequence[Any] | NDArray[Any],
    origin: str,
    label_type: str = "classes",
    lines: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
) -> list[Any]:
    """The labels of n items, of one type.

    Args:
        y: of classes (n), or n lists of one for each step; of numbers (n) or (n k), as numbers or
            as they are written; of several labels an array (n k) of 0 and 1, or for each item a
            list of names, or the names in a text: `a|b`, `a;b`, or a JSON list.
        origin: begins an error message.
        label_type: one of `LABEL_TYPES`.
        lines: of the file, one for each item, in error messages; without them rows are counted.
        names: of the k columns of an array of several labels; without them, their numbers.
    """
    check_option(LABEL_TYPES, label_type=label_type)
    if isinstance(y, np.ndarray) and not y.ndim:
        raise InputError(f"{origin}: y is a single label, expected one for each series")

    def where(row: int) -> str:
        return f"{origin}: row {row}" if lines is None else f"{origin}, line {lines[row]}"

    if label_type == "numbers":
        return _numbers(y, origin, where)
    if label_type == "several":
        return _several(y, origin, where, names)
    if len(y) and isinstance(y[0], (list, tuple)):
        return [_row(np.asarray(item), origin, f"row {i}, step") for i, item in enumerate(y)]
    return _row(np.asarray(y), origin, "row")


def _row(y: np.ndarray, origin: str, where: str) -> list[str]:
    if y.ndim != 1:
        raise InputError(
            f"{origin}: y has shape {y.shape}, expected one label per series: for numbers type "
            "task=regression, for several labels task=multilabel"
        )
    labels = [label_text(label) for label in y.tolist()]
    if "nan" in labels:
        raise InputError(f"{origin}: {where} {labels.index('nan')} has no label (NaN)")
    return labels


def label_text(label: object) -> str:
    """A label as text; 1, 1.0 and '1.0' are one label, '007' and '7' are two."""
    if isinstance(label, bytes):
        label = label.decode()
    text = str(label).strip()
    if isinstance(label, float) or WRITTEN_FLOAT.fullmatch(text):
        number = float(text)
        return str(int(number)) if number.is_integer() else str(number)
    return text


def _numbers(
    y: Sequence[Any] | NDArray[Any], origin: str, where: Callable[[int], str]
) -> list[tuple[float, ...]]:
    """The k numbers of each item, NaN where one is missing."""
    if isinstance(y, np.ndarray):
        if y.ndim > 2:
            raise InputError(f"{origin}: y has shape {y.shape}, expected (series) or (series, k)")
        rows = y.reshape(len(y), math.prod(y.shape[1:]))
        count, cells = rows.shape[1], rows.ravel()
    else:
        items = [item if isinstance(item, (list, tuple)) else [item] for item in y]
        count = len(items[0]) if items else 0
        for row, item in enumerate(items):
            if len(item) != count:
                raise InputError(f"{where(row)} has {len(item)} numbers, the first item {count}")
        cells = [cell for item in items for cell in item]
    if not count:
        raise InputError(f"{origin}: y holds no number")
    fix = ": task=regression needs numbers; for classes type task=classification"
    values = numbers_in(cells, lambda i: f"{where(i // count)}, label", fix).reshape(-1, count)
    for row in np.flatnonzero(np.isnan(values).all(axis=1))[:1]:
        raise InputError(f"{where(int(row))} has no label (NaN): remove it")
    return [tuple(row) for row in values.tolist()]


def _several(
    y: Sequence[Any] | NDArray[Any],
    origin: str,
    where: Callable[[int], str],
    names: Sequence[str] | None,
) -> list[tuple[str, ...]]:
    """Names of the labels of each item, in order."""
    if isinstance(y, np.ndarray) and y.dtype.kind in "biuf":
        if y.ndim != 2:
            raise InputError(
                f"{origin}: y has shape {y.shape}, expected (series, labels) of 0 and 1: for one "
                "class per series type task=classification"
            )
        for row, column in np.argwhere((y != 0) & (y != 1))[:1]:
            raise InputError(f"{where(row)} has {y[row, column]} in column {column} of y, "
                             "expected 0 or 1")  # fmt: skip
        columns = np.array([str(i) for i in range(y.shape[1])] if names is None else names)
        return [tuple(sorted(columns[row == 1].tolist(), key=_by_number)) for row in y]
    labels = []
    for row, item in enumerate(y):
        try:
            written = {label_text(name) for name in _listed(item)} - {UNLABELLED}
        except (ValueError, RecursionError):
            raise InputError(
                f"{where(row)}: '{str(item)[:20]}' is no list of labels: write a|b, or a JSON list"
            ) from None
        labels.append(tuple(sorted(written, key=_by_number)))
    return labels


def _listed(item: Any) -> Iterable[Any]:
    """The labels of one item, however they are written."""
    if isinstance(item, (list, tuple, np.ndarray)):
        return item
    text = str(item).strip()
    return json.loads(text) if text.startswith("[") else SEPARATORS.split(text)


def names_in(labels: ItemLabels) -> list[Sequence[str]]:
    """All classes of each item: one, those of its steps, or several; none for numbers."""
    if kind_of(labels) is Numbers:
        return [()] * len(labels)
    return [[item] if isinstance(item, str) else item for item in labels]


def strata(labels: ItemLabels) -> list[str]:
    """(n) what folds hold evenly: of each item its class, or its set of labels; else all alike."""
    if labels and isinstance(labels[0], str):
        return list(labels)
    several = kind_of(labels) is Several
    return [SEPARATOR.join(item) if several else "" for item in labels]


Self = TypeVar("Self", bound="Labels")


class Labels:
    """The base: what was learnt of the labels of the training items."""

    label_type: str
    """One of `LABEL_TYPES`."""
    job: str
    """The job that predicts them (see `seqfuse.runtime.jobs.make`)."""
    classes: list[str]
    """Names of classes or labels, in order: numbers by value, then names by letter."""
    per_step = False
    """Whether each step of an item has a label."""

    def __init__(self) -> None:
        self.classes = []

    def fit(self: Self, items: Recordings) -> Self:
        """Learns from the training items."""
        raise NotImplementedError

    def encode(self, items: Recordings) -> NDArray[Any]:
        """Targets of a net."""
        raise NotImplementedError

    def sizes(self) -> dict[str, Any]:
        """Sizes that a config may leave at `auto`."""
        return {
            "label_type": self.label_type,
            "num_classes": len(self.classes),
            "classes": self.classes,
        }

    def counts(self, y: NDArray[Any]) -> dict[str, Any]:
        """Sizes that a config may leave at `auto`, counted in the targets of training items."""
        raise NotImplementedError

    def describe(self) -> str:
        """Sizes, for people."""
        raise NotImplementedError

    def notes(self) -> Iterator[str]:
        """Notes on what looks as if another type were meant, for people."""
        yield from ()

    def state_dict(self) -> dict[str, Any]:
        """The fitted state, as lists and strings."""
        return {"type": self.label_type, "classes": self.classes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what others had fitted."""
        self.classes = list(state["classes"])

    def _unseen(self, items: Recordings, rows: Sequence[Sequence[str]]) -> InputError:
        """The mistake that an item, or one of its steps, has a label that is not in `classes`."""
        row, step = next(
            (i, t)
            for i, names in enumerate(rows)
            for t, name in enumerate(names)
            if name not in self.classes
        )
        where = f"row {row}" if items.names is None else str(items.names[row])
        if items.lines is not None:
            where = f"line {items.lines[row][step] if self.per_step else items.lines[row]}"
        elif self.per_step:
            where += f", step {step}"
        return InputError(
            f"{where} has label '{rows[row][step]}', which training never saw "
            f"(known: {', '.join(self.classes[:12])}): remove the row or train on it"
        )


class Classes(Labels):
    """One class for each item, or for each of its steps."""

    label_type = "classes"

    @property
    def job(self) -> str:  # type: ignore[override]
        return "tags" if self.per_step else "classes"

    def fit(self, items: Recordings) -> "Classes":
        self.per_step = items.per_step
        self.classes = _sorted(names_in(items.labels or ())) or [UNLABELLED]
        if len(self.classes) < 2 and self.classes != [UNLABELLED]:
            raise InputError(f"only one class, '{self.classes[0]}': a classifier needs two")
        if not self.per_step and 2 * len(self.classes) > len(items) and _fractions(self.classes):
            raise InputError(
                f"{len(items)} items have {len(self.classes)} different labels, numbers such as "
                f"{self.classes[0]}: type task=regression"
            )
        return self

    def encode(self, items: Recordings) -> NDArray[np.int64]:
        """(n) class numbers; of labels per step (n t), `NO_LABEL` behind the last."""
        numbers = {name: i for i, name in enumerate(self.classes)}
        labels: Any = items.labels
        try:
            if not self.per_step:
                return np.array([numbers[label] for label in labels], dtype=np.int64)
            rows = [[numbers[name] for name in item] for item in labels]
        except KeyError:
            raise self._unseen(items, names_in(labels)) from None
        y = np.full((len(rows), max(map(len, rows), default=0)), NO_LABEL, dtype=np.int64)
        for i, row in enumerate(rows):
            y[i, : len(row)] = row
        return y

    def counts(self, y: NDArray[np.int64]) -> dict[str, Any]:
        counts = np.bincount(y[y != NO_LABEL], minlength=len(self.classes))
        return {"class_counts": counts.tolist()}

    def describe(self) -> str:
        return "no labels" if self.classes == [UNLABELLED] else f"{len(self.classes)} classes"

    def notes(self) -> Iterator[str]:
        if len(self.classes) >= MANY and all(_by_number(name)[0] == 0 for name in self.classes):
            yield (
                f"labels are {len(self.classes)} different numbers, each a class of its own; if "
                "near ones are alike, type task=regression"
            )
        elif (name := _joined(self.classes, "|;,")) and not self.per_step:
            yield f"'{name}' is one class; if it is several labels, type task=multilabel"

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "per_step": self.per_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.per_step = bool(state["per_step"])


class Several(Labels):
    """Any number of labels for each item."""

    label_type, job = "several", "labels"

    def fit(self, items: Recordings) -> "Several":
        self.classes = _sorted(items.labels or ())
        if not self.classes:
            raise InputError("no item has a label: nothing can be learnt")
        return self

    def encode(self, items: Recordings) -> NDArray[np.int64]:
        numbers = {name: i for i, name in enumerate(self.classes)}
        labels: Any = items.labels
        y = np.zeros((len(labels), len(self.classes)), dtype=np.int64)
        try:
            for row, names in zip(y, labels, strict=True):
                row[[numbers[name] for name in names]] = 1
        except KeyError:
            raise self._unseen(items, labels) from None
        return y

    def counts(self, y: NDArray[np.int64]) -> dict[str, Any]:
        return {"class_counts": y.sum(axis=0).tolist()}

    def describe(self) -> str:
        return f"{len(self.classes)} labels, any number of them for each item"

    def notes(self) -> Iterator[str]:
        if name := _joined(self.classes, ","):
            yield f"'{name}' is one label; if it is several, put {SEPARATOR} between them"


def _matrix(items: Recordings) -> NDArray[np.float64]:
    if len(sizes := sorted({len(label) for label in items.labels or ()})) > 1:
        raise InputError(f"{items.origin}: items have {sizes} numbers: give each as many")
    return np.array(items.labels, dtype=np.float64)


class Numbers(Labels):
    """Numbers of each item, scaled to mean 0 and standard deviation 1 over the training items."""

    label_type, job = "numbers", "numbers"

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        """Names of the k numbers."""
        self.standardisation = Standardisation.none(0)

    def fit(self, items: Recordings) -> "Numbers":
        y = _matrix(items)
        names = [f"y{i}" for i in range(y.shape[1])] if y.shape[1] > 1 else ["y"]
        self.targets = list(items.targets) or names
        for i in np.flatnonzero(np.isnan(y).all(axis=0))[:1]:
            raise InputError(f"target '{self.targets[i]}' has no value in the training rows")
        self.standardisation = Standardisation.of(y)
        return self

    def encode(self, items: Recordings) -> NDArray[np.float32]:
        """(n k) scaled numbers, NaN where one is missing."""
        y = _matrix(items)
        if y.shape[1] != len(self.targets):
            raise InputError(
                f"there are {y.shape[1]} numbers for each item, in training {len(self.targets)}"
            )
        if items.targets and list(items.targets) != self.targets:
            raise InputError(
                f"{items.origin}: the numbers are {', '.join(items.targets)}, in training "
                f"{', '.join(self.targets)}: bring them into that order"
            )
        return self.standardisation.apply(y).astype(np.float32)

    def undo(self, prediction: NDArray[Any]) -> NDArray[np.float64]:
        """Predictions (n k p) in the user's units."""
        return self.standardisation.undo(prediction, outputs=True)

    def sizes(self) -> dict[str, Any]:
        return {
            "label_type": self.label_type,
            "num_targets": len(self.targets),
            "target_names": self.targets,
            "target_std": self.standardisation.std.tolist(),
        }

    def counts(self, y: NDArray[Any]) -> dict[str, Any]:
        return {}

    def describe(self) -> str:
        targets = len(self.targets)
        return f"{targets} numbers for each item" if targets > 1 else "a number for each item"

    def state_dict(self) -> dict[str, Any]:
        return {
            "type": self.label_type,
            "targets": self.targets,
            "standardisation": self.standardisation.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.targets = list(state["targets"])
        self.standardisation = Standardisation.from_state(state["standardisation"])


KINDS: dict[str, type[Labels]] = {kind.label_type: kind for kind in (Classes, Numbers, Several)}


def kind_of(labels: ItemLabels) -> type[Labels]:
    """The class of `Labels` for these labels."""
    if not len(labels) or not isinstance(labels[0], tuple):
        return Classes
    return Numbers if any(isinstance(value, float) for value in labels[0]) else Several


class Labelled:
    """The base of the pipelines of items: their labels."""

    by_length = False
    """Whether training batches are of items of about one length, so that little is padded."""

    def __init__(self) -> None:
        self.labels: Labels = Classes()

    def baseline(self, items: Recordings) -> NDArray[Any]:
        """(n ...) what stands for none of the values of items that are explained."""
        raise InputError(f"items of {type(self).__name__} are not explained: it has no baseline")

    def groups(self, items: Recordings) -> tuple[NDArray[np.int64], list[str]]:
        """The channel that each number of a step belongs to, and names of the channels."""
        raise InputError(f"items of {type(self).__name__} are not explained: it has no groups")

    def fit_labels(self, items: Recordings) -> None:
        self.labels = kind_of(items.labels or ())().fit(items)

    def notes(self, items: Recordings) -> Iterator[str]:
        """Notes on what is made of the training split, for people."""
        yield from self.labels.notes()

    def load_labels(self, state: dict[str, Any]) -> None:
        self.labels = KINDS[state["labels"]["type"]]()
        self.labels.load_state_dict(state["labels"])


def _fractions(names: Sequence[str]) -> bool:
    """Whether all names are numbers, and most of them no whole ones."""
    try:
        return sum(not float(name).is_integer() for name in names) > len(names) / 2
    except ValueError:
        return False


def _joined(names: Sequence[str], separators: str) -> str:
    """The first name that others make up, with a separator between them; or nothing."""
    known = set(names)
    for name in names:
        for separator in separators:
            parts = [part.strip() for part in name.split(separator)]
            if len(parts) > 1 and known.issuperset(parts):
                return name
    return ""


def _sorted(items: Iterable[Sequence[str]]) -> list[str]:
    return sorted({name for item in items for name in item}, key=_by_number)


def _by_number(label: str) -> tuple[int, float, str]:
    """Sort key: numbers by value, before names by letter."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
