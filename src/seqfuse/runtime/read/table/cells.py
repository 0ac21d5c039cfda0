"""Tables by column, as they are written: files of text, Parquet, and what lies in memory."""

import codecs
import csv
import io
import re
import zlib
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import open_binary
from seqfuse.runtime.read.numbers import numbers_in, with_points
from seqfuse.runtime.read.records import (
    NAMELESS,
    RECORD_ENDINGS,
    check_names,
    delimiter_of,
    most_frequent,
    rows_of,
)
from seqfuse.runtime.read.table.parquet import (
    ENDING,
    ParquetTable,
    RowNames,
    is_parquet,
    is_several,
    pyarrow,
)

TABLE_ENDINGS = (*RECORD_ENDINGS, ENDING)
LISTED = 12
"""Columns that a message names."""
DECIMALS = {";": ","}
"""Decimal sign by what separates columns: semicolons do where the comma is taken."""


class Cells(NamedTuple):
    """A table by column, as it is written."""

    columns: dict[str, Any]
    """Sequences, all as long as each other."""
    origin: str
    """Begins an error message."""
    numbers: Sequence[Any] | NDArray[Any]
    """Numbers of the rows; in a file of text, of the line at which each begins; of several files
    with the place in one of them."""
    unit: str = "line"
    """`line` or `row`."""
    decimal: str = ""
    """Decimal sign of numbers: `.` as in formats that are fixed; of others the cells decide, and
    where they leave it open `,` does, in files with `;` between columns."""

    def row(self, i: int | np.integer) -> str:
        """Name of a row in messages, such as `line 7`."""
        return f"{self.unit} {self.numbers[int(i)]}"

    def place(self, name: str, i: int | np.integer) -> str:
        """Name of a cell in messages."""
        return f"{self.origin}: {self.row(i)}, column '{name}'"

    def column(self, name: str) -> Any:
        """A column; raises InputError where there is none."""
        if name not in self.columns:
            listed = ", ".join(list(self.columns)[:LISTED])
            raise InputError(f"{self.origin} has no column '{name}' (it has: {listed})")
        return self.columns[name]

    def without(self, name: str) -> "Cells":
        return self._replace(columns={n: cells for n, cells in self.columns.items() if n != name})


def read_table(path: Path, texts: Collection[str] = ()) -> Cells:
    """The columns of a .csv, .tsv, .jsonl (plain or gzipped) or .parquet, or of Parquet files in a
    folder or of a pattern; `texts` are columns whose cells are kept as they are written."""
    if is_parquet(path):
        return _parquet(path)
    return _simple(path, texts) or read_cells(path)


def read_cells(path: Path, delimiter: str | None = None) -> Cells:
    """The columns of a .csv (with this delimiter), .tsv or .jsonl, cell by cell."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    lines, rows = [], []
    decimal = "." if delimiter else DECIMALS.get(delimiter_of(path), "")
    for line, row in rows_of(path, delimiter):
        lines.append(line)
        rows.append(row)
    if not rows:
        raise InputError(f"{path} has no rows")
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    return Cells(columns, str(path), lines, decimal=decimal)


def _parquet(path: Path) -> Cells:
    table = ParquetTable(path)
    parts = [table.read(i) for i, rows in enumerate(table.groups) if sum(rows)]
    if not parts:
        raise InputError(f"{path} has no rows")
    whole = pyarrow(path).concat_tables(parts)
    cells = rows_in_memory(
        {name: _plain(whole[name].to_numpy()) for name in whole.column_names}, str(path)
    )
    return cells._replace(numbers=RowNames(table)) if is_several(path) else cells


def as_cells(table: Any) -> Cells:
    """A table in memory, such as a dict of columns, or a data frame."""
    try:
        columns = {str(name): _in_memory(table[name]) for name in table}
        check_names([str(name) for name in table])
    except (TypeError, KeyError, IndexError):
        wanted = "an array, or a table such as a dict of columns"
        raise InputError(f"x is {type(table).__name__}, expected {wanted}") from None
    except InputError as error:
        raise InputError(f"the table{error}") from None
    sizes = {name: len(cells) for name, cells in columns.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {size}" for name, size in list(sizes.items())[:LISTED])
        raise InputError(f"the columns of the table have unequal numbers of rows ({listed})")
    return rows_in_memory(columns, "the table")


def _in_memory(column: Any) -> Any:
    """A column: an array of numbers or stamps as it is, any other as a list of cells."""
    return _plain(np.asarray(column)) if hasattr(column, "dtype") else list(column)


def _plain(column: NDArray[Any]) -> Any:
    """Objects with None in the place of what a library writes for a missing one."""
    if column.dtype.kind != "O":
        return column
    return [None if str(c) in MISSING and not isinstance(c, str) else c for c in column]


MISSING = ("<NA>", "NaT", "nan")


def rows_in_memory(columns: dict[str, Any], origin: str) -> Cells:
    """Columns without lines: rows are counted from 2, as if below a header."""
    size = max(map(len, columns.values()), default=0)
    return Cells(columns, origin, range(2, size + 2), "row")


def groups_of(cells: Cells, name: str) -> list[str]:
    """(n) the series that each row belongs to; raises InputError where none is named."""
    column = cells.column(name)
    for i, cell in enumerate(column):
        if is_empty(cell):
            raise InputError(f"{cells.place(name, i)} is empty: name its series")
    return [str(cell) for cell in column]


def is_empty(cell: Any) -> bool:
    """Whether nothing stands in a cell of text."""
    return cell is None or cell != cell or (isinstance(cell, str) and not cell.strip())


def numbers_of(cells: Cells, name: str, fix: str = "") -> NDArray[np.float64]:
    """A column of numbers, NaN where it is empty; `fix` ends the message about a word."""
    column, where = cells.column(name), partial(cells.place, name)
    if isinstance(column, list) and cells.decimal != ".":
        column = with_points(column, where, cells.decimal == ",")
    return numbers_in(column, where, fix)


def _simple(path: Path, texts: Collection[str]) -> Cells | None:
    """A file of text by pandas, which is several times faster, but has a mind of its own.

    None where the two might differ: where there are quotes, empty lines, rows of unequal
    lengths, odd names of columns, another encoding or numbers of more than 63 bits; and where
    there is no pandas.
    """
    ending = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    content = _content(path) if ending in ("csv", "tsv") else b""
    start = content.find(b"\n") + 1
    if not start or not _is_simple(content):
        return None
    header = content[: start - 1].decode()
    separator = "\t" if ending == "tsv" else most_frequent(header)
    names = [name.strip() for name in header.split(separator)]
    lines = content.count(b"\n", start) + 1
    separators = content.count(separator.encode(), start)
    nameless = names[0] in NAMELESS or "" in names
    if separators != (len(names) - 1) * lines or nameless or len(set(names)) < len(names):
        return None
    try:
        import pandas as pd

        frame = pd.read_csv(
            io.BytesIO(memoryview(content)[start:]),
            sep=separator,
            names=names,
            quoting=csv.QUOTE_NONE,
            keep_default_na=False,
            na_values={name: _MISSING for name in names if name not in texts},
            dtype={name: str for name in texts if name in names},
            low_memory=False,
        )
    except (ImportError, ValueError, OverflowError):  # ParserError is a ValueError
        return None
    mixed = any(map(pd.api.types.is_object_dtype, frame.dtypes))
    large = (frame.select_dtypes("float").abs() >= 2.0**63).any(axis=None)
    if not isinstance(frame.index, pd.RangeIndex) or len(frame) != lines or mixed or large:
        return None
    columns = {name: _plain(frame[name].to_numpy()) for name in names}
    return Cells(columns, str(path), np.arange(2, lines + 2), decimal=DECIMALS.get(separator, ""))


_MISSING = ["", "?", "NA", "N/A", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None"]
"""Common words for a missing cell, some of `MISSING_WORDS`."""


def _content(path: Path) -> bytes:
    """Content of a file, without the ends of its last lines; empty for a file that is broken."""
    try:
        with open_binary(path) as file:
            return file.read().removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error):
        return b""


def _is_simple(content: bytes) -> bool:
    """Whether lines are rows, and what is between two separators is a cell."""
    if b'"' in content or b"\0" in content or content[:1].isspace():
        return False
    if content.count(b"\r") != content.count(b"\r\n") or BLANK.search(content):
        return False
    if not content[content.rfind(b"\n") :].strip(b",;\t\r\n "):  # a last row without anything in it
        return False
    try:
        return content.isascii() or bool(content.decode())
    except UnicodeDecodeError:
        return False


BLANK = re.compile(rb"\n[ \t\f\v]*\r?(?:\n|$)")
"""An empty line."""
