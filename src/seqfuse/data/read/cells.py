"""Tables with a time stamp per row, as plain or gzipped text."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.cells import Cells, numbers_of, read_cells
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.stamps import Stamps, shown, stamps_of


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


def table(path: Path, header: Sequence[str], separator: str) -> tuple[Cells, Stamps, NDArray[Any]]:
    """The cells of a file, its time stamps (t,) and its numbers (t c) float64, in their order.

    Raises:
        InputError: other columns than `header`, no row, a row of another length, or a cell
            that is no time stamp or no number; names line and column.
    """
    cells = read_cells(path, separator)
    if list(cells.columns) != list(header):
        raise InputError(
            f"{path}, line 1: columns are '{separator.join(cells.columns)}', "
            f"expected '{separator.join(header)}'"
        )
    values = np.stack([numbers_of(cells, name) for name in header[1:]], axis=1)
    for row, column in np.argwhere(np.isnan(values))[:1]:
        raise InputError(f"{path}: {cells.row(row)}, column '{header[column + 1]}' is empty: fill "
                         "the cell or remove the row")  # fmt: skip
    return cells, stamps_of(cells, header[:1]), values


def check_increasing(cells: Cells, time: Stamps) -> None:
    """Raises InputError where a row is not later than the one above; names its line."""
    for row in np.flatnonzero(np.diff(time) <= np.timedelta64(0, "s"))[:1] + 1:
        raise InputError(
            f"{cells.origin}: {cells.row(row)}: {shown(time[row])} is not later than the line "
            "above: sort the rows and remove repeated ones"
        )
