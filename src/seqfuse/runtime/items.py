"""Items of a file to predict, and rows of predictions to a file."""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqfuse.runtime.array_items import ARRAY_ENDINGS, ID, array_items
from seqfuse.runtime.clips import ClipPipeline
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import write
from seqfuse.runtime.formats import SERIES_ENDINGS, series_in
from seqfuse.runtime.numbers import numbers_in
from seqfuse.runtime.records import RECORD_ENDINGS, are_numbers, cell, rows_of
from seqfuse.runtime.sentences import SENTENCE_ENDINGS, sentences
from seqfuse.runtime.shown import cell_text
from seqfuse.runtime.sources import SourcesPipeline
from seqfuse.runtime.text import TextPipeline, tokenise

WHOLE_ID = "set it in every row or in none"
Columns = dict[str, Any]
"""Of a table: sequences, all as long as each other."""


class Items(NamedTuple):
    """What a file holds."""

    x: Any
    ids: Sequence[Any] | None
    """The user's own names of them."""
    steps: Columns
    """What the user calls the steps of each item; by column."""


def items_of(path: Path, pipeline: Any, facts: Mapping[str, Any]) -> Items:
    """Series of an .npz, .npy, .ts, .tsv, .arff, .csv or .jsonl, texts or sentences, clips.

    A .csv or .jsonl of series has a row for each step and a column for each channel; a column
    `id` tells series apart.

    Raises:
        InputError: there is no such file, or it is broken; names row and column.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    if isinstance(pipeline, TextPipeline):
        return _sentences(path) if pipeline.per_step else _texts(path, facts["text"])
    if path.suffix in ARRAY_ENDINGS:
        x, ids = array_items(path, pipeline, facts["layout"])
        return Items(x, ids, {})
    if isinstance(pipeline, (ClipPipeline, SourcesPipeline)):
        raise InputError(f"{path}: the ending must be .npz")
    if path.name.lower().endswith(SERIES_ENDINGS):
        return Items([series for _, series, _ in series_in(path, labelled=False)], None, {})
    return _series_rows(path)


def _texts(path: Path, column: str) -> Items:
    found = list(rows_of(path))
    texts = []
    for line, row in found:
        value = cell(path, line, row, column, f"rename the column to '{column}'")
        words = [str(word) for word in value] if isinstance(value, list) else tokenise(str(value))
        if not words:
            raise InputError(f"{path}, line {line}: column '{column}' is empty: fill or drop it")
        texts.append(words)
    has_ids = bool(found) and ID in found[0][1]
    return Items(
        texts, [cell(path, line, row, ID, WHOLE_ID) for line, row in found] if has_ids else None, {}
    )


def _sentences(path: Path) -> Items:
    if not path.name.lower().endswith(SENTENCE_ENDINGS):
        raise InputError(f"{path}: the ending must be one of: {', '.join(SENTENCE_ENDINGS)}")
    words = [one.words for one in sentences(path)]
    return Items(words, None, {"token": words})


def _series_rows(path: Path) -> Items:
    if not path.name.lower().endswith(RECORD_ENDINGS):
        rows = [one for one in RECORD_ENDINGS if one not in SERIES_ENDINGS]
        endings = ", ".join((*ARRAY_ENDINGS, *SERIES_ENDINGS, *rows))
        raise InputError(f"{path}: the ending must be one of: {endings}")
    series: dict[str, list[Any]] = {}
    keys: list[str] = []
    last = None
    for line, row in rows_of(path):
        keys = keys or _columns(path, row)
        _check_keys(path, line, row, keys)
        name = str(row.get(ID, ""))
        if name != last and name in series:
            raise InputError(f"{path}, line {line}: series '{name}' goes on behind another one")
        last = name
        names = [key for key in keys if key != ID]
        cells = [row[key] for key in names]
        values = numbers_in(cells, partial(_cell_name, path, line, names))
        series.setdefault(name, []).append(values.tolist())
    return Items(list(series.values()), list(series) if ID in keys else None, {})


def _cell_name(path: Path, line: int, names: Sequence[str], i: int) -> str:
    return f"{path}, line {line}, column '{names[i]}'"


def _columns(path: Path, row: dict[str, Any]) -> list[str]:
    """Names of the columns, whose order holds for all rows.

    Raises:
        InputError: what stands in their place is the first step.
    """
    names = [name for name in row if name]
    if ".jsonl" not in path.name.lower()[-9:] and are_numbers(names):
        raise InputError(f"{path}: the first line holds numbers: add a line of column names")
    return list(row)


def _check_keys(path: Path, line: int, row: dict[str, Any], keys: list[str]) -> None:
    if row.keys() != set(keys):
        raise InputError(
            f"{path}, line {line} has the columns {', '.join(list(row)[:12])}, the first row "
            f"{', '.join(keys[:12])}: give every row the same, with null where a value is missing"
        )


def write_rows(path: Path, blocks: Iterator[Columns]) -> int:
    """Writes rows as .csv or .jsonl, whole or not at all; returns how many.

    Raises:
        InputError: another ending, or a folder that is not there.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise InputError(f"{path}: the output must end in .csv or .jsonl")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}: make it")
    lines: list[str] = []
    header: list[str] = []
    for block in blocks:
        rows = list(zip(*(map(_text, column) for column in block.values()), strict=True))
        if kind == ".csv":
            lines += [] if header else [_csv_line(block)]
            lines += map(_csv_line, rows)
        else:
            lines += [json.dumps(dict(zip(block, row, strict=True))) for row in rows]
        header = list(block)
    write(path, "".join(f"{line}\n" for line in lines))
    return len(lines) - (kind == ".csv")


class _Line(list):
    """Takes what a csv writer writes."""

    write = list.append


def _csv_line(cells: Any) -> str:
    line = _Line()
    texts = [cell_text(one) if isinstance(one, str) else one for one in cells]
    csv.writer(line).writerow(["" if one is None else one for one in texts])
    return line[0].removesuffix("\r\n")  # its own end, which puts quotes around those of cells


def _text(value: Any) -> Any:
    """What a cell of output says; None where nothing is known."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value).replace("T", " ")
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def in_blocks(count: int, size: int) -> Iterator[np.ndarray]:
    """Numbers of items, some at a time."""
    for first in itertools.count(0, size):
        if first >= count:
            return
        yield np.arange(first, min(first + size, count))
