"""One file of predictions: written block by block, complete or not there at all."""

import contextlib
import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import cell_text

STAMPS = "%Y-%m-%d %H:%M:%S"  # pandas would leave out midnights, block by block
CELLS = 200_000  # that are gathered before they are written
SECONDS = 0.5  # after which they are written in any case, or a twentieth of the time so far


class Writer:
    """Writes rows into a hidden file beside the output, which gets its name at the end.

    Args:
        output: its ending chooses the format.
        overwrite: whether the file may be there already.

    Raises:
        InputError: no such ending or folder, or the file exists; later, a full disk.
    """

    def __init__(self, output: str | Path, overwrite: bool = False):
        self.path = Path(output)
        self.overwrite = overwrite
        self.rows = 0
        self._format = FORMATS[_ending(self.path)]
        self._check()
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._waiting: list[pd.DataFrame] = []
        self._cells = 0
        self._began, self._flushed = 0.0, float("-inf")

    def _check(self) -> None:
        if not self.path.parent.is_dir():
            raise InputError(f"output={self.path}: there is no folder {self.path.parent}: make it")
        if self.path.is_dir():
            raise InputError(f"output={self.path} is a folder: name a file in it")
        if self.path.exists() and not self.overwrite:
            raise InputError(f"output={self.path} exists: type overwrite=true or another name")

    def __enter__(self) -> "Writer":
        with self._refused():
            self._file = self._part.open("wb")
        self._table: Format = self._format(self._file)
        self._began = time.monotonic()
        return self

    def write(self, frame: pd.DataFrame) -> None:
        """Adds rows; those of all frames have the same columns."""
        self._waiting.append(frame)
        self.rows += len(frame)
        self._cells += frame.size
        now = time.monotonic()
        late = now - self._flushed >= max(SECONDS, (now - self._began) / 20)
        if late or self._cells >= CELLS:  # the first rows are late
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            with self._refused():
                self._table.write(pd.concat(self._waiting, ignore_index=True))
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

    def _finish(self) -> None:
        self._flush()
        with self._refused():
            self._table.close()
            self._file.close()
            self._check()  # somebody else may have written it meanwhile
            self._part.replace(self.path)

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"output={self.path} cannot be written ({error.strerror or error}) and nothing of "
                "it was kept: make room, or choose another folder"
            ) from None


class Format(Protocol):
    """Rows into a binary file; `close` leaves the file open."""

    def __init__(self, file: BinaryIO) -> None: ...

    def write(self, frame: pd.DataFrame) -> None: ...

    def close(self) -> None: ...


class Csv:
    """Text with a header, UTF-8; what a spreadsheet would take for a formula begins with a '."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.header = True

    def write(self, frame: pd.DataFrame) -> None:
        texts = frame.select_dtypes(["object", "string"])
        frame = frame.assign(**{name: texts[name].map(_as_cell) for name in texts})
        text = frame.rename(columns=cell_text).to_csv(
            index=False, header=self.header, date_format=STAMPS, lineterminator="\n"
        )
        self.file.write(text.encode())
        self.header = False

    def close(self) -> None:
        pass


def _as_cell(value: Any) -> Any:
    return cell_text(value) if isinstance(value, str) else value


class GzippedCsv(Csv):
    """The same, gzipped."""

    def __init__(self, file: BinaryIO):
        super().__init__(gzip.GzipFile(filename="", fileobj=file, mode="wb"))  # type: ignore[arg-type]

    def write(self, frame: pd.DataFrame) -> None:
        super().write(frame)
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class JsonLines(Csv):
    """One object per line; what is missing is null."""

    def write(self, frame: pd.DataFrame) -> None:
        text = frame.to_json(
            orient="records", lines=True, date_format="iso", date_unit="s", double_precision=15
        )
        self.file.write(str(text).encode())


class Parquet:
    """A row group per block."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.writer: pq.ParquetWriter | None = None

    def write(self, frame: pd.DataFrame) -> None:
        if self.writer is None:
            schema = pa.Schema.from_pandas(frame, preserve_index=False)
            self.writer = pq.ParquetWriter(self.file, schema)
        schema = self.writer.schema
        self.writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


FORMATS: dict[str, type[Format]] = {
    ".csv": Csv,
    ".csv.gz": GzippedCsv,
    ".parquet": Parquet,
    ".jsonl": JsonLines,
}


def _ending(path: Path) -> str:
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise InputError(f"output={path} must end in one of: {', '.join(FORMATS)}")
