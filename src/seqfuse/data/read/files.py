"""Tables of CSV, TSV, JSON lines (plain or gzipped) and Parquet files."""

import codecs
import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from seqfuse.data.read.clock import LINE
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.records import check_names, read_cells


class TableFile:
    """A file of a table, downloaded where it is missing and has a public address.

    Args:
        file: from `root` or from here; without its `.gz` too.
        root: folder that a relative name starts from, and that a download goes to.
        url: where the plain file can be had.
        sha256: of the plain file.

    Raises:
        InputError: no file is named. (It is looked for when it is read: predictions of a
            checkpoint need none.)
    """

    def __init__(
        self, file: str | None, root: str = ".", url: str | None = None, sha256: str | None = None
    ):
        if not file:
            raise InputError("data.file is empty: name your CSV or Parquet file")
        self.file, self.root, self.url, self.sha256 = file, Path(root), url, sha256

    def path(self) -> Path:
        """Where the file is, once it is there.

        Raises:
            InputError: it is not there and cannot be downloaded.
        """
        for name in (self.file, self.file.removesuffix(".gz")):
            for path in (self.root / name, Path(name)):
                if path.is_file():
                    return path
        if not self.url:
            raise InputError(
                f"{self.file} is not there, nor in {self.root}: check its name in data.* and "
                "paths.data"
            )
        return self._download(self.url, self.root / self.file.removesuffix(".gz"))

    def _download(self, url: str, path: Path) -> Path:
        import pooch  # slow, and seldom needed

        options = {"fname": path.name, "path": path.parent, "progressbar": True}
        try:
            return Path(pooch.retrieve(url, f"sha256:{self.sha256}", **options))
        except (OSError, ValueError) as error:  # no network, or another file than it should be
            reason = str(error).splitlines()[0][:120]
            raise InputError(
                f"{path.name} is not in {path.parent}, and could not be downloaded from {url} "
                f"({reason}): fetch it and put it there, or set paths.data"
            ) from None


def load_frame(path: Path, words: Collection[str] = ()) -> pd.DataFrame:
    """A .csv, .tsv, .jsonl or Parquet file; of text, `LINE` holds the lines of the rows.

    Args:
        path: of the file, plain or gzipped.
        words: columns of text, whose cells are kept as they are written.

    Raises:
        InputError: it is missing, empty, truncated, in another encoding, or no table.
    """
    if path.suffix.lower() == ".parquet":
        frame = _parquet(path)
    else:
        frame = _simple(path, words)
        if frame is None:
            frame = _by_cells(path)
    if not len(frame):
        raise InputError(f"{path} has no rows")
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    try:
        check_names(pq.read_schema(path).names)
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except InputError as error:
        raise InputError(f"{path}{error}") from None
    except (OSError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is truncated or no table: {reason}") from None


def _by_cells(path: Path) -> pd.DataFrame:
    """A file of text, cell by cell as a shipped folder reads it, too."""
    cells = read_cells(path)
    return pd.DataFrame({**cells.columns, LINE: cells.numbers}, dtype=object)


def _simple(path: Path, words: Collection[str]) -> pd.DataFrame | None:
    """The same by pandas, which is several times faster, but has a mind of its own.

    None where the two might differ: where there are quotes, empty lines, rows of unequal
    lengths, odd names of columns, another encoding or numbers of more than 63 bits.
    """
    ending = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    separator = {"csv": ",", "tsv": "\t"}.get(ending)
    content = _content(path) if separator else b""
    start = content.find(b"\n") + 1
    if separator is None or not start or not _is_simple(content):
        return None
    names = [name.strip() for name in content[: start - 1].decode().split(separator)]
    lines = content.count(b"\n", start) + 1
    separators = content.count(separator.encode(), start)
    if separators != (len(names) - 1) * lines or "" in names or len(set(names)) < len(names):
        return None
    missing = {name: _MISSING for name in names if name not in words}
    try:
        with warnings.catch_warnings(action="ignore", category=pd.errors.DtypeWarning):
            frame = pd.read_csv(
                io.BytesIO(memoryview(content)[start:]),
                sep=separator,
                names=names,
                quoting=csv.QUOTE_NONE,
                keep_default_na=False,
                na_values=missing,
                dtype={name: str for name in words if name in names},
            )
    except (ValueError, OverflowError):  # ParserError is a ValueError
        return None
    mixed = any(map(pd.api.types.is_object_dtype, frame.dtypes))
    large = (frame.select_dtypes("float").abs() >= 2.0**63).any(axis=None)
    if not isinstance(frame.index, pd.RangeIndex) or len(frame) != lines or mixed or large:
        return None
    frame[LINE] = np.arange(2, lines + 2)
    return frame


_MISSING = ["", "?", "NA", "N/A", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None"]
"""Of the words for a missing cell (`MISSING_WORDS`), those that are common."""


def _content(path: Path) -> bytes:
    """What a file holds, without the ends of its last lines; nothing of a file that is broken."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return file.read().removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error):
        return b""


def _is_simple(content: bytes) -> bool:
    """Whether lines are rows, and what is between two separators is a cell."""
    if b'"' in content or b"\0" in content or content[:1].isspace():
        return False
    if content.count(b"\r") != content.count(b"\r\n") or BLANK.search(content):
        return False
    try:
        return content.isascii() or bool(content.decode())
    except UnicodeDecodeError:
        return False


BLANK = re.compile(rb"\n[ \t\f\v]*\r?(?:\n|$)")
"""An empty line."""
