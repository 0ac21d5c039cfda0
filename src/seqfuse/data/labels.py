"""Labels as people write them: one per item, or one per step of it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqfuse.runtime.errors import InputError

WRITTEN_FLOAT = re.compile(r"[+-]?\d+(\.\d*([eE][+-]?\d+)?|[eE][+-]?\d+)")
Texts = list[str] | list[list[str]]


def texts_of(y: Sequence[Any] | np.ndarray, origin: str) -> Any:
    """The labels as text: a list of n, or of n lists with a label per step.

    Raises:
        InputError: they are neither, or one is missing.
    """
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


def check_steps(y: Texts, lengths: np.ndarray, origin: str) -> None:
    """Raises InputError where labels of steps are not as many as the steps."""
    for row, (item, steps) in enumerate(zip(y, lengths.tolist(), strict=True)):
        if isinstance(item, list) and len(item) != steps:
            raise InputError(f"{origin}: row {row} has {steps} steps but {len(item)} labels")


def as_text(y: Texts) -> str:
    """All labels in one text, an item per line."""
    return "\n".join(item if isinstance(item, str) else "\t".join(item) for item in y)


def label_text(label: object) -> str:
    """A label as text; 1, 1.0 and '1.0' are one label, '007' and '7' are two."""
    if isinstance(label, bytes):
        label = label.decode()
    text = str(label).strip()
    if isinstance(label, float) or WRITTEN_FLOAT.fullmatch(text):
        number = float(text)
        return str(int(number)) if number.is_integer() else str(number)
    return text
