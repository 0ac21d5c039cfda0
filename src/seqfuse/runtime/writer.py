"""Rows of predictions, and one file of them: block by block, complete or not there at all."""

import contextlib
import csv
import gzip
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses
from seqfuse.runtime.shown import cell_text

Columns = dict[str, Any]
"""Columns of a table: sequences of one length."""
CELLS = 200_000  # that are gathered before they are written
SECONDS = 0.5  # after which they are written in any case, or a twentieth of the time so far


class Rows(Iterator[Columns]):
    """Rows of predictions, block by block.

    Args:
        blocks: tables of the same columns.
        total: how many rows there are in all, where that is known before they are predicted.
        notes: gives lines about all rows for people, once the last was predicted.
        alarms: gives tables of the alarms in them, once the last was predicted.
    """

    def __init__(
        self,
        blocks: Iterable[Columns],
        total: int | None = None,
        notes: Callable[[], Iterable[str]] = tuple,
        alarms: Callable[[], Iterable[Columns]] = tuple,
    ):
        self.blocks, self.total, self.notes = iter(blocks), total, notes
        self.alarms = alarms

    def __next__(self) -> Columns:
        return next(self.blocks)


class Writer:
    """Writes rows into a hidden file beside the output, which gets its name at the end.

    An output at an address is written on this machine, and sent there at the end. Its ending
    chooses the format; `key` names it in messages.
    """

    def __init__(self, output: str | Path, overwrite: bool = False, key: str = "output="):
        self.address = str(output) if addresses.is_address(output) else ""
        self.path, self.overwrite, self.key = Path(output), overwrite, key
        self._where = f"{key}{self.address or self.path}"
        self.rows = 0
        self._format = FORMATS[self._ending()]
        self._check()
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._waiting: list[Columns] = []
        self._cells = 0
        self._began, self._flushed = 0.0, float("-inf")

    def _ending(self) -> str:
        for ending in FORMATS:
            if self.path.name.lower().endswith(ending):
                return ending
        raise InputError(f"{self._where} must end in one of: {', '.join(FORMATS)}")

    def _check(self) -> None:
        where, folder = self._where, self.path.parent
        if self.address:
            addresses.check_writable(self.address)
            if not self.overwrite and addresses.exists(self.address):
                raise InputError(f"{where} exists: type overwrite=true or another name")
            return
        if not folder.is_dir():
            raise InputError(f"{where}: there is no folder {folder}: make it")
        if self.path.is_dir():
            raise InputError(f"{where} is a folder: name a file in it")
        if self.path.exists() and not self.overwrite:
            raise InputError(f"{where} exists: type overwrite=true or another name")

    def __enter__(self) -> "Writer":
        if self.address:
            self._part = Path(tempfile.mkdtemp(prefix="seqfuse-")) / self.path.name
        with self._refused():
            self._file = self._part.open("wb")
        try:
            self._table: Format = self._format(self._file)
        except InputError:  # its library is missing
            self._file.close()
            self._part.unlink()
            raise
        self._began = time.monotonic()
        return self

    def write(self, block: Columns) -> int:
        """Adds rows, and returns how many; those of all blocks have the same columns."""
        count = len(next(iter(block.values()), ()))
        self._waiting.append(block)
        self.rows += count
        self._cells += count * len(block)
        now = time.monotonic()
        late = now - self._flushed >= max(SECONDS, (now - self._began) / 20)
        if late or self._cells >= CELLS:  # the first rows are late
            self._flush()
        return count

    def _flush(self) -> None:
        with self._refused():
            for block in self._waiting:
                self._table.write(block)
            self._file.flush()
        self._waiting, self._cells, self._flushed = [], 0, time.monotonic()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            with contextlib.suppress(OSError, ValueError):
                self._table.close()
            with contextlib.suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)
            if self.address:
                self._part.parent.rmdir()

    def _finish(self) -> None:
        self._flush()
        with self._refused():
            self._table.close()
            self._file.close()
            self._check()  # somebody else may have written it meanwhile
            if self.address:
                addresses.put(self._part, self.address)
            else:
                self._part.replace(self.path)

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._where} cannot be written ({error.strerror or error}) and nothing "
                "of it was kept: make room, or choose another folder"
            ) from None


class Alarms(Writer):
    """Writes the alarms of rows beside these, by a writer of their own, whole or not at all."""

    def __init__(self, output: str | Path, rows: Writer):
        super().__init__(output, rows.overwrite, "alarms=")
        if self.path.resolve() == rows.path.resolve():
            raise InputError(f"alarms={output} is the output, too: choose another name")

    def write_all(self, rows: Rows) -> None:
        """Writes the alarms of rows, all of which were predicted."""
        with self:
            for block in rows.alarms():
                self.write(block)


class Format(Protocol):
    """Rows into a binary file; `close` leaves the file open."""

    def __init__(self, file: BinaryIO) -> None: ...

    def write(self, block: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class Csv:
    """Text with a header, UTF-8; what a spreadsheet would take for a formula begins with a '."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.header = True

    def write(self, block: Mapping[str, Any]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        if self.header:
            table.writerow(map(cell_text, block))
        table.writerows(zip(*(_cells(column) for column in block.values()), strict=True))
        self.file.write(text.getvalue().encode())
        self.header = False

    def close(self) -> None:
        pass


class GzippedCsv(Csv):
    """CSV, gzipped."""

    def __init__(self, file: BinaryIO):
        super().__init__(gzip.GzipFile(filename="", fileobj=file, mode="wb"))  # type: ignore[arg-type]

    def write(self, block: Mapping[str, Any]) -> None:
        super().write(block)
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class JsonLines(Csv):
    """One object per line; what is missing is null."""

    def write(self, block: Mapping[str, Any]) -> None:
        columns = [[_json(value) for value in np.asarray(column)] for column in block.values()]
        for row in zip(*columns, strict=True):
            line = json.dumps(dict(zip(block, row, strict=True)), ensure_ascii=False)
            self.file.write(f"{line}\n".encode())


class Parquet:
    """A row group per block."""

    def __init__(self, file: BinaryIO):
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise InputError(
                f"a .parquet is written by pyarrow ({error}): type pip install pyarrow"
            ) from None
        self.file, self.pq = file, pq
        self.writer: Any = None

    def write(self, block: Mapping[str, Any]) -> None:
        import pyarrow as pa

        columns = {name: np.asarray(column) for name, column in block.items()}
        table = pa.table(
            {
                # Readers take days for objects.
                name: pa.array(each.astype("M8[s]") if each.dtype == "M8[D]" else each)
                for name, each in columns.items()
            }
        )
        if self.writer is None:
            self.writer = self.pq.ParquetWriter(self.file, table.schema)
        self.writer.write_table(table.cast(self.writer.schema))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


FORMATS: dict[str, type[Format]] = {
    ".csv": Csv,
    ".csv.gz": GzippedCsv,
    ".parquet": Parquet,
    ".jsonl": JsonLines,
}


def _stamps(values: Any) -> Any:
    """Time stamps to the second; those that are days stay so."""
    return values if values.dtype == "M8[D]" else values.astype("M8[s]")


def _cells(column: Any) -> list[Any]:
    """A column as text; empty where nothing is known."""
    values = np.asarray(column)
    if values.dtype.kind == "M":
        return [
            "" if np.isnat(value) else str(value).replace("T", " ") for value in _stamps(values)
        ]
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else str(value) for value in values]
    return [cell_text(value) if isinstance(value, str) else value for value in values.tolist()]


def _json(value: Any) -> Any:
    """A cell as JSON holds it; None where nothing is known."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(_stamps(value))
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else float(str(value))
    return value.item() if isinstance(value, np.generic) else value
