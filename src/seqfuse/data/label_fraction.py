"""A fraction of the labelled items, as if the others had no labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import ItemLabels, names_in


def check_fraction(fraction: float) -> None:
    """Raises InputError unless the fraction is above 0 and at most 1."""
    if not 0 < fraction <= 1:
        raise InputError(f"data.label_fraction={fraction} must be above 0 and at most 1")


def draw(labels: ItemLabels, fraction: float, seed: int) -> NDArray[np.int64]:
    """Positions of items, drawn at random: the fraction of each class, at least one of each.

    Where each step has a label, or an item several: the fraction of the items, and more until no
    class is missing. Of numbers: the fraction of the items.

    Args:
        fraction: of the items to keep.
        seed: of the draw; a larger fraction of the same seed holds the smaller one's items.

    Returns:
        in rising order.
    """
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    if len(labels) and isinstance(labels[0], str):
        wanted = {name: _count(list(labels).count(name), fraction) for name in set(labels)}  # type: ignore[arg-type]
        chosen = _by_class(labels, order, wanted)  # type: ignore[arg-type]
    else:
        chosen = order[: _count(len(order), fraction)]
        chosen += _missing(names_in(labels), order, chosen)
    return np.sort(np.array(chosen, dtype=np.int64))


def _count(items: int, fraction: float) -> int:
    return max(1, round(fraction * items))


def _by_class(labels: Sequence[str], order: list[int], wanted: dict[str, int]) -> list[int]:
    chosen, left = [], dict(wanted)
    for i in order:
        if left[labels[i]]:
            left[labels[i]] -= 1
            chosen.append(i)
    return chosen


def _missing(labels: Sequence[Sequence[str]], order: list[int], chosen: list[int]) -> list[int]:
    """The next items that bring a class that no item before them has."""
    covered = {label for i in chosen for label in labels[i]}
    more = []
    for i in order[len(chosen) :]:
        if set(labels[i]) - covered:
            covered |= set(labels[i])
            more.append(i)
    return more
