"""Labels to class numbers, one per item or one per step: fitted once, then fixed."""

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


class Labels:
    """Class names, in order: numbers by value, then names by letter."""

    classes: list[str]
    per_step: bool
    """Whether each step of an item has a label."""

    def __init__(self) -> None:
        self.classes = []
        self.per_step = False

    def fit_labels(self, labels: ItemLabels) -> None:
        """Learns the classes from the training items.

        Raises:
            InputError: there is only one class.
        """
        self.per_step = bool(len(labels)) and not isinstance(labels[0], str)
        every = [one for item in labels for one in item] if self.per_step else labels
        self.classes = sorted(set(every), key=_by_number)  # type: ignore[arg-type]
        if len(self.classes) < 2 and self.classes != [UNLABELLED]:
            raise InputError(f"only one class, '{self.classes[0]}': a classifier needs two")

    def encode(self, labels: ItemLabels, lines: Sequence[Any] | None = None) -> NDArray[np.int64]:
        """(n) class numbers; of labels per step (n t), `NO_LABEL` behind the last.

        Args:
            labels: of n items.
            lines: of the file, for each label; without them, rows are counted.

        Raises:
            InputError: a label that training never saw.
        """
        numbers = {name: i for i, name in enumerate(self.classes)}
        try:
            if not self.per_step:
                return np.array([numbers[label] for label in labels], dtype=np.int64)  # type: ignore[index]
            rows = [[numbers[one] for one in item] for item in labels]
        except KeyError:
            raise InputError(self._unseen(labels, lines)) from None
        found = np.full((len(rows), max(map(len, rows), default=0)), NO_LABEL, dtype=np.int64)
        for i, row in enumerate(rows):
            found[i, : len(row)] = row
        return found

    def _unseen(self, labels: ItemLabels, lines: Sequence[Any] | None) -> str:
        known = set(self.classes)
        items = [item if self.per_step else [item] for item in labels]
        row, step = next(
            (i, t) for i, item in enumerate(items) for t, one in enumerate(item) if one not in known
        )
        if lines is not None:
            where = f"line {lines[row][step] if self.per_step else lines[row]}"
        else:
            where = f"row {row}, step {step}" if self.per_step else f"row {row}"
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
