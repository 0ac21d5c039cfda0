"""Rows of text files: a table with a header, or JSON lines; plain or gzipped."""

import csv
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import check_ending, lines_of
from seqfuse.runtime.read.numbers import WHOLE_NUMBER, number

RECORD_ENDINGS = tuple(f"{kind}{gz}" for kind in (".csv", ".tsv", ".jsonl") for gz in ("", ".gz"))
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "")
"""Cells of a column that says whether a row has a label."""
LONGEST_NAME = 60
"""Characters of a column's name, above which it is taken for a value."""
Row = tuple[int, dict[str, Any]]
"""Line it begins at, and its columns."""


def cell(path: Path, line: int, row: dict[str, Any], name: str, fix: str) -> Any:
    """One cell; raises InputError with the fix where the row has no such column."""
    if name in row:
        if row[name] is None:
            raise InputError(f"{path}, line {line}: column '{name}' is empty: fill or drop it")
        return row[name]
    names = [str(cell) for cell in row if cell]
    if sentence := next((text for text in names if len(text) > LONGEST_NAME), ""):
        raise InputError(
            f"{path}: the first line is read as names of columns, and one is called "
            f"'{sentence[:LONGEST_NAME]}...': put a line of names above it, such as {name},..."
        )
    listed = ", ".join(names)
    raise InputError(f"{path}, line {line}: no column '{name}' (it has: {listed}): {fix}")


def label_in(
    path: Path, line: int, row: dict[str, Any], name: str | Sequence[str], label_type: str
) -> Any:
    """The label of a row, stripped; a list where there may be several, or numbers.

    Of several columns: the names of those with a 1, or their numbers.
    """
    if not isinstance(name, str):
        return _labels_in(path, line, row, name, label_type)
    label = cell(path, line, row, name, "type data.label=<column>")
    if isinstance(label, list):
        if label_type == "classes":
            raise InputError(
                f"{path}, line {line}: column '{name}' holds a list: for several labels type "
                "task=multilabel, for numbers task=regression"
            )
        return label
    label = str(label).strip()
    if not label and label_type != "several":
        raise InputError(f"{path}, line {line}: column '{name}' is empty: fill or drop it")
    return label


def _labels_in(
    path: Path, line: int, row: dict[str, Any], names: Sequence[str], label_type: str
) -> list[Any]:
    if label_type == "classes":
        raise InputError(
            f"data.label=[{','.join(names)}] are several columns: for numbers type "
            "task=regression, for labels of 0 and 1 task=multilabel"
        )
    fix = "type data.label=[<columns>]"
    cells = [
        "" if row.get(name, "") is None else cell(path, line, row, name, fix) for name in names
    ]
    if label_type == "numbers":
        return cells
    held = []
    for name, value in zip(names, cells, strict=True):
        if (text := str(value).strip().lower()) in YES:
            held.append(name)
        elif text not in NO:
            raise InputError(
                f"{path}, line {line}, column '{name}': {str(value)[:20]} must be 0 or 1"
            )
    return held


def rows_of(path: Path, delimiter: str | None = None) -> Iterator[Row]:
    """Rows of a table with a header, or of JSON lines.

    Columns and rows without anything in them, at the end, are left out: spreadsheets write them.
    The delimiter is that of `delimiter_of`, if none is given.
    """
    check_ending(path, RECORD_ENDINGS)
    if ".jsonl" in path.name.lower()[-9:]:
        yield from _json_lines(path)
    else:
        yield from _separated(path, delimiter or delimiter_of(path))


def delimiter_of(path: Path) -> str:
    """The tab of a .tsv; of a .csv the comma, or semicolon or tab, by its header."""
    if ".tsv" in path.name.lower()[-7:]:
        return "\t"
    return most_frequent(next((line for _, line in lines_of(path) if line.strip()), ""))


def most_frequent(header: str) -> str:
    """The comma, or the semicolon or tab, where a header has it more often outside quotes."""
    return max(",;\t", key=QUOTED.sub("", header).count)


QUOTED = re.compile(r'"[^"]*"')


def _json_lines(path: Path) -> Iterator[Row]:
    for i, line in lines_of(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip(), object_pairs_hook=_once)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {i}, column {error.colno}: {error.msg}") from None
        except InputError as error:
            raise InputError(f"{path}, line {i}{error}") from None
        except (RecursionError, ValueError) as error:  # brackets in brackets, or endless digits
            reason = str(error).split(":")[0]
            raise InputError(f"{path}, line {i} cannot be read: {reason}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {i} is no object: write {{...}}")
        yield i, _whole(row) if "\\u" in line else row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        check_names([name for name, _ in pairs])
    return row


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """Half a character, which JSON can hold and no file can, becomes \ufffd."""
    text = json.dumps(row, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _separated(path: Path, delimiter: str) -> Iterator[Row]:
    reader = csv.reader((line for _, line in lines_of(path)), delimiter=delimiter, strict=True)
    header: list[str] = []
    has_index = None
    before = 0
    blank: list[Row] = []
    try:
        for values in reader:
            line, before = before + 1, reader.line_num
            if not values or (len(values) == 1 and values[0].isspace()):
                continue
            if not header:
                is_nameless = len(values) > 1 and values[0].strip() in NAMELESS
                header = _header(path, line, [INDEX, *values[1:]] if is_nameless else values)
                has_index = None if is_nameless else False
                continue
            if has_index is None and len(values) > 1:  # row numbers say nothing
                has_index = WHOLE_NUMBER.fullmatch(values[0].strip()) is not None
                header = header[has_index:]
            values = values[1:] if has_index else values
            surplus = values[len(header) :]
            if len(values) < len(header) or any(map(str.strip, surplus)):
                raise InputError(
                    f"{path}, line {line} has {len(values)} columns, the header {len(header)}: "
                    "put quotes around a text with the separator in it"
                )
            row = line, dict(zip(header, values, strict=False))
            if len(header) > 1 and not any(map(str.strip, values)):
                blank.append(row)
                continue
            yield from itertools.chain(blank, [row])
            blank.clear()
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
    if not header:
        raise InputError(f"{path} is empty")


NAMELESS = ("", "Unnamed: 0")
"""Names of a first column that frames of pandas are written with, of their index."""
INDEX = "index"
"""Name of that column, unless it numbers the rows, and is left out."""


def _header(path: Path, line: int, values: list[str]) -> list[str]:
    names = [name.strip() for name in values]
    while len(names) > 1 and not names[-1] and not are_numbers([n for n in names if n]):
        names.pop()
    try:
        check_names(names)
    except InputError as error:
        raise InputError(f"{path}, line {line}{error}") from None
    return names


def check_names(names: Sequence[str]) -> None:
    """Raises InputError where a column has no name, or that of another; names its place."""
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if not name:
            if are_numbers([word for word in names if word]):
                raise InputError(": the first line holds numbers: add a line of column names")
            raise InputError(f": column {i + 1} has no name: give it one, or leave it out")
        if first.setdefault(name, i) < i:
            raise InputError(
                f": columns {first[name] + 1} and {i + 1} have one name, '{name}': rename one"
            )


def are_numbers(names: Sequence[str]) -> bool:
    """Whether words are numbers, as a first row has them, and names of columns seldom are."""
    try:
        return bool(np.isfinite([number(name) for name in names]).any())
    except (ValueError, OverflowError):
        return False
