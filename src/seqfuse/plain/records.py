"""Rows of text files: a table with a header, or JSON lines; plain or gzipped."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqfuse.plain.errors import InputError
from seqfuse.plain.lines import lines_of

RECORD_ENDINGS = tuple(f"{kind}{gz}" for kind in (".csv", ".tsv", ".jsonl") for gz in ("", ".gz"))
Row = tuple[int, dict[str, Any]]
"""Line it begins at, and its columns."""


def cell(path: Path, line: int, row: dict[str, Any], name: str, fix: str) -> Any:
    """One cell; raises InputError with the fix where the row has no such column."""
    if name in row and row[name] is not None:
        return row[name]
    known = ", ".join(str(one) for one in row if one)
    raise InputError(f"{path}, line {line}: no column '{name}' (it has: {known}): {fix}")


def rows_of(path: Path, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a table with a header, or of JSON lines.

    Args:
        path: of the file.
        delimiter: of the columns of a .csv.

    Raises:
        InputError: another ending, or a row that is none; names the line.
    """
    name = path.name.lower()
    if not name.endswith(RECORD_ENDINGS):
        raise InputError(f"{path}: the ending must be one of: {', '.join(RECORD_ENDINGS)}")
    if ".jsonl" in name[-9:]:
        yield from _json_lines(path)
    else:
        yield from _separated(path, "\t" if ".tsv" in name[-7:] else delimiter)


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in lines_of(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}, column {error.colno}: {error.msg}") from None
        except (RecursionError, ValueError) as error:  # brackets in brackets, or endless digits
            reason = str(error).split(":")[0]
            raise InputError(f"{path}, line {number} cannot be read: {reason}") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number} is no object: write {{...}}")
        yield number, _whole(row) if "\\u" in line else row


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """Half a character, which JSON can hold and no file can, becomes \ufffd."""
    text = json.dumps(row, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _separated(path: Path, delimiter: str) -> Iterator[Row]:
    reader = csv.reader((line for _, line in lines_of(path)), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise InputError(f"{path} is empty")
        before = reader.line_num
        for values in reader:
            line, before = before + 1, reader.line_num
            if not values:
                continue
            if len(values) != len(header):
                raise InputError(
                    f"{path}, line {line} has {len(values)} columns, the header {len(header)}: "
                    "put quotes around a text with the separator in it"
                )
            yield line, dict(zip(header, values, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None
