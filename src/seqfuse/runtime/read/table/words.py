"""Columns of words in a table: a column of 0 and 1 for each word."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.numbers import with_points
from seqfuse.runtime.read.records import are_numbers
from seqfuse.runtime.read.table.cells import Cells, is_empty

MAX_CATEGORIES = 50
"""Different words of a column that get a column each; more are names, or free text."""
WHOLE = re.compile(r"-?\d+\.0")


def words_in(columns: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Words of the columns of texts that became columns of numbers, such as `wind=NW`."""
    words = {
        name: [c[len(name) + 1 :] for c in columns if c.startswith(f"{name}=")] for name in names
    }
    return {name: known for name, known in words.items() if known}


def holds_words(cells: Cells, name: str) -> bool:
    """Whether the cells of a column are texts, none of them a number."""
    column = cells.columns[name]
    if isinstance(column, np.ndarray) and column.dtype.kind in "biufM":
        return False
    texts = list(dict.fromkeys(c for c in column if isinstance(c, str) and c.strip()))
    others = any(cell is not None and not isinstance(cell, str) for cell in column)
    if others or are_numbers(texts[:1]):
        return False
    try:
        texts = with_points(texts, str, cells.decimal == ",")
    except InputError:  # numbers that can be read in two ways
        return False
    return bool(texts) and not any(are_numbers([text]) for text in texts)


def coded(column: Sequence[Any]) -> tuple[NDArray[np.float64], dict[str, int]]:
    """(n) the codes of words, NaN where there is none, and the code of each word, in order."""
    texts = [None if is_empty(cell) else as_word(cell) for cell in column]
    words = {word: code for code, word in enumerate(sorted({t for t in texts if t is not None}))}
    return np.array([np.nan if t is None else words[t] for t in texts]), words


def as_word(cell: Any) -> str:
    """A cell as a word: 1.0 is 1, as tables with an empty cell hold whole numbers."""
    text = str(cell)
    return text.removesuffix(".0") if WHOLE.fullmatch(text) else text


def one_hot(places: NDArray[np.float64], values: Sequence[int]) -> NDArray[np.float64]:
    """(n v) 1 in the column of each place, NaN where there is none."""
    return np.where(np.isnan(places)[:, None], np.nan, places[:, None] == np.array(values))


def check_number(cells: Cells, name: str) -> None:
    """Raises InputError for more words than get a column each."""
    words = len({str(cell) for cell in cells.columns[name] if not is_empty(cell)})
    if words > MAX_CATEGORIES:
        raise InputError(
            f"{cells.origin}: column '{name}' has {words:,} different words, more than "
            f"{MAX_CATEGORIES}: leave it out, name it in data.categories, which takes the "
            f"{MAX_CATEGORIES} most frequent ones, or name those that count: "
            f"+data.words.{name}=[...]"
        )
