"""Tables with a time stamp per row, as plain or gzipped text."""

import csv
import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from seqfuse.plain.errors import InputError


def find(root: Path, name: str, source: str) -> Path:
    """The file `name` or `name.gz` in `root`, or in its folder `data` as in a clone.

    Args:
        root: folder of a data set.
        name: with folders below `root`.
        source: a sentence that says where the data can be had.

    Raises:
        InputError: there is no such folder or file.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: set root to the data's own; {source}")
    for folder in (root, root / "data"):
        for ending in ("", ".gz"):
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    raise InputError(f"{root} has neither {name} nor {name}.gz: set root or fetch it; {source}")


def text(path: Path) -> str:
    """What a file says, unpacked if it ends in `.gz`.

    Raises:
        InputError: it is truncated, not gzip, not text, or cannot be opened.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or not gzip ({error}): fetch it again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def table(path: Path, header: Sequence[str], separator: str) -> tuple[np.ndarray, np.ndarray]:
    """Time stamps (t,) datetime64[s] and numbers (t c) float64, in the order of the rows.

    Raises:
        InputError: other columns than `header`, no row, a row of another length, or a cell
            that is no time stamp or no finite number; names line and column, from 1.
    """
    first, *rows = list(csv.reader(text(path).splitlines(), delimiter=separator)) or [[]]
    if first != list(header):
        raise InputError(
            f"{path}, line 1: columns are '{separator.join(first)}', "
            f"expected '{separator.join(header)}'"
        )
    if not rows:
        raise InputError(f"{path} has no row below its header: fetch it again")
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {i + 2} has {len(row)} columns, line 1 has {len(header)}: "
                "the file may be truncated, fetch it again"
            )
    return _times(path, rows, header), _numbers(path, rows, header)


def check_increasing(path: Path, time: np.ndarray) -> None:
    """Sees to it that each row is later than the one above.

    Raises:
        InputError: one is not; names its line.
    """
    wrong = np.flatnonzero(np.diff(time) <= np.timedelta64(0, "s"))
    if len(wrong):
        row = int(wrong[0]) + 1
        stamp = str(time[row]).replace("T", " ")
        raise InputError(
            f"{path}, line {row + 2}, column 1: {stamp} is not later than the line above: "
            "sort the rows and remove repeated ones"
        )


def _times(path: Path, rows: list[list[str]], header: Sequence[str]) -> np.ndarray:
    try:
        time = np.array([row[0] for row in rows], dtype="datetime64[s]")
        if not np.isnat(time).any():
            return time
    except ValueError:
        pass
    raise _bad_cell(path, [row[:1] for row in rows], header, "a time stamp", _is_time)


def _numbers(path: Path, rows: list[list[str]], header: Sequence[str]) -> np.ndarray:
    cells = [row[1:] for row in rows]
    try:
        values = np.array(cells, dtype=np.float64)
        if np.isfinite(values).all():
            return values
    except ValueError:
        pass
    raise _bad_cell(path, cells, header, "a finite number", _is_number, first_column=1)


def _bad_cell(
    path: Path,
    rows: list[list[str]],
    header: Sequence[str],
    expected: str,
    is_good: Callable[[str], bool],
    first_column: int = 0,
) -> InputError:
    for i, row in enumerate(rows):
        for j, cell in enumerate(row, start=first_column):
            if not is_good(cell):
                return InputError(
                    f"{path}, line {i + 2}, column {j + 1} ({header[j]}): "
                    f"'{cell[:20]}' is not {expected}: correct the cell or remove the row"
                )
    return InputError(f"{path}: a cell is not {expected}")


def _is_time(cell: str) -> bool:
    try:
        return not np.isnat(np.datetime64(cell, "s"))
    except ValueError:
        return False


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
