"""Vectors of words from a local file, as word2vec, GloVe and fastText write them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import lines_of
from seqfuse.runtime.pipelines.text import normal


def read(path: Path, words: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids (n) and vectors (n d) of the words that are known, whose ids are given; of words that
    count as the same, the first one's.

    A line of a text file holds a word and its numbers; a first line of two numbers is skipped.
    """
    vectors: dict[int, list[float]] = {}
    size = 0
    for number, line in lines_of(path):
        word, *values = line.rstrip().split(" ")
        if number == 1 and len(values) == 1:
            continue
        size = size or len(values)
        if len(values) != size:
            raise InputError(f"{path}, line {number}: {len(values)} numbers, before {size}")
        place = words.get(normal(word))
        if place is not None and place not in vectors:
            vectors[place] = _numbers(path, number, values)
    if not vectors:
        raise InputError(f"{path} has none of the {len(words)} training words")
    return np.array(list(vectors)), np.array(list(vectors.values()), dtype=np.float32)


def _numbers(path: Path, number: int, values: list[str]) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError as error:
        raise InputError(f"{path}, line {number}: {error}") from None
