"""Labels to class numbers, one per item or one per step: fitted once, then fixed."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

NO_LABEL = -1
"""The class number of a step that has none, such as padding."""
UNLABELLED = ""
"""The label of each item where labels are not read."""
ItemLabels = Sequence[str] | Sequence[Sequence[str]]
WRITTEN_FLOAT = re.compile(r"[+-]?\d+(\.\d*([eE][+-]?\d+)?|[eE][+-]?\d+)")


def texts_of(y: Sequence[Any] | np.ndarray, origin: str) -> Any:
    """The labels as text: a list of n, or of n lists with a label per step."""
    if isinstance(y, np.ndarray) and not y.ndim:
        raise InputError(f"{origin}: y is a single label, expected one for each series")
    if len(y) and isinstance(y[0], (list, tuple)):
        return [_row(np.asarray(item), origin, f"row {i}, step") for i, item in enumerate(y)]
    return _row(np.asarray(y), origin, "row")


def _row(y: np.ndarray, origin: str, where: str) -> list[str]:
    if y.ndim != 1:
        raise InputError(f"{origin}: y has shape {y.shape}, expected one label per series")
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


class Labels:
    """Class names, in order: numbers by value, then names by letter."""

    classes: list[str]
    per_step: bool
    """Whether each step of an item has a label."""
    by_length = False
    """Whether training batches are of items of about one length, so that little is padded."""

    def __init__(self) -> None:
        self.classes = []
        self.per_step = False

    def fit_labels(self, labels: ItemLabels) -> None:
        """Learns the classes from the training items."""
        self.per_step = bool(len(labels)) and not isinstance(labels[0], str)
        every = [one for item in labels for one in item] if self.per_step else labels
        self.classes = sorted(set(every), key=_by_number)  # type: ignore[arg-type]
        if len(self.classes) < 2 and self.classes != [UNLABELLED]:
            raise InputError(f"only one class, '{self.classes[0]}': a classifier needs two")

    def encode(
        self,
        labels: ItemLabels,
        lines: Sequence[Any] | None = None,
        names: Sequence[Any] | None = None,
    ) -> NDArray[np.int64]:
        """(n) class numbers; of labels per step (n t), `NO_LABEL` behind the last.

        Args:
            lines: of the file, for each label, in error messages.
            names: the user's own of the items; without either, rows are counted.
        """
        numbers = {name: i for i, name in enumerate(self.classes)}
        try:
            if not self.per_step:
                return np.array([numbers[label] for label in labels], dtype=np.int64)  # type: ignore[index]
            rows = [[numbers[one] for one in item] for item in labels]
        except KeyError:
            raise InputError(self._unseen(labels, lines, names)) from None
        found = np.full((len(rows), max(map(len, rows), default=0)), NO_LABEL, dtype=np.int64)
        for i, row in enumerate(rows):
            found[i, : len(row)] = row
        return found

    def _unseen(
        self, labels: ItemLabels, lines: Sequence[Any] | None, names: Sequence[Any] | None
    ) -> str:
        known = set(self.classes)
        items = [item if self.per_step else [item] for item in labels]
        row, step = next(
            (i, t) for i, item in enumerate(items) for t, one in enumerate(item) if one not in known
        )
        where = f"row {row}" if names is None else str(names[row])
        if lines is not None:
            where = f"line {lines[row][step] if self.per_step else lines[row]}"
        elif self.per_step:
            where += f", step {step}"
        return (
            f"{where} has label '{items[row][step]}', which training never saw "
            f"(known: {', '.join(self.classes[:12])}): remove the row or train on it"
        )

    def label_sizes(self) -> dict[str, Any]:
        """What a config may leave at `auto`."""
        return {"num_classes": len(self.classes), "classes": self.classes}

    def labels_state(self) -> dict[str, Any]:
        """What was fitted, as lists and strings."""
        return {"classes": self.classes, "per_step": self.per_step}

    def load_labels(self, state: dict[str, Any]) -> None:
        """Takes over what another one had fitted."""
        self.classes = list(state["classes"])
        self.per_step = bool(state.get("per_step", False))  # checkpoints of before have none


def _by_number(label: str) -> tuple[int, float, str]:
    """Sort key: numbers by value, before names by letter."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
