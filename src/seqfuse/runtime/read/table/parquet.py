"""Parquet: a file, or all those of a folder or a pattern as one table."""

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import is_pattern, read_ahead
from seqfuse.runtime.read.records import check_names

ENDING = ".parquet"
INDEX = re.compile(r"__index_level_\d+__")
"""Numbers of the rows of a data frame, which are no column of it."""


def pyarrow(path: Path) -> Any:
    """The library that reads Parquet."""
    try:
        import pyarrow
        import pyarrow.dataset
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{path}: Parquet is read by pyarrow: type pip install pyarrow") from None
    return pyarrow


def is_parquet(path: Path) -> bool:
    """Whether a path is that of a Parquet file, or of several: a folder, or a pattern."""
    return path.suffix.lower() == ENDING or is_several(path)


def is_several(path: Path) -> bool:
    """Whether a path is that of a folder, or a pattern such as `tables/*.parquet`."""
    return path.is_dir() or (is_pattern(str(path)) and not path.is_file())


class ParquetTable:
    """The columns and sizes of Parquet files whose rows follow each other.

    Files come in the order of their names below the folder (or the part of a pattern before its
    first wildcard), where numbers count as such: part-2 before part-10, month=9 before month=12.
    Names with a `_` or `.` in front are passed over. Folders such as `year=2024` (Hive) give a
    column that files need not have themselves. Where the types of a column differ, it gets one that
    holds both, as of whole numbers and fractions.

    Nothing but the ends of files is read, where their columns and row groups are described.

    Args:
        path: of a file, a folder or a pattern.
        files: those of an earlier time, in their order; None looks for them.
    """

    def __init__(self, path: Path, files: Sequence[Path] | None = None):
        self.path, self._pa = path, pyarrow(path)
        self.base = _base(path) if is_several(path) else path.parent
        self.files = list(files) if files else _files(path, self.base)
        self.groups: list[list[int]] = []
        """For each file the rows of its row groups."""
        kinds: dict[str, Any] = {}
        for file in self.files:
            described, rows = self._described(file)
            if self.groups:
                self._check_names(kinds, described, file)
            if not kinds or (sum(rows) and not any(map(sum, self.groups))):
                kinds = described  # where there is no row, types say nothing
            elif sum(rows):
                kinds = self._merged(kinds, described, file)
            self.groups.append(rows)
        self.partitions = self._partitions(kinds) if is_several(path) else [{}]
        """For each file its values of the columns that folders give."""
        self.kinds = kinds
        """By column its type; those of folders come last."""

    def name(self, file: int) -> str:
        return self.files[file].relative_to(self.base).as_posix()

    def read(
        self, file: int, columns: Sequence[str] | None = None, group: int | None = None
    ) -> Any:
        """A table of pyarrow, of the rows of a file or of one of its row groups."""
        path, pa = self.files[file], self._pa
        wanted = self.kinds.keys() if columns is None else {*columns}
        names = [name for name in self.kinds if name in wanted]
        with (
            self._broken(path, "" if group is None else f"row group {group}"),
            self._open(path) as f,
        ):
            stored = [name for name in names if name not in self.partitions[file]]
            if group is None:
                table = f.read(stored)
            else:
                table = f.read_row_group(group, stored, use_threads=False)
            rows = self.groups[file][group] if group is not None else sum(self.groups[file])
            parts = {name: _plain(table[name], pa).cast(self.kinds[name]) for name in stored}
            parts |= {
                name: pa.repeat(pa.scalar(value, self.kinds[name]), rows)
                for name, value in self.partitions[file].items()
                if name in names
            }
        return pa.table({name: parts[name] for name in names})

    def read_ahead(self, file: int, columns: Sequence[str], group: int) -> None:
        """Asks the system for columns of a row group that will be read soon."""
        path, spans = self.files[file], []
        with suppress(OSError, self._pa.ArrowException), self._open(path) as opened:
            head = opened.metadata.row_group(group)
            for column in map(head.column, range(head.num_columns)):
                if column.path_in_schema in columns:
                    first = column.dictionary_page_offset or column.data_page_offset
                    spans.append((first, column.total_compressed_size))
        read_ahead(path, spans)

    def _open(self, file: Path) -> Any:
        return self._pa.parquet.ParquetFile(file)

    def _described(self, file: Path) -> tuple[dict[str, Any], list[int]]:
        """Types of the columns of a file, and the rows of its row groups."""
        if not file.is_file():
            raise InputError(f"{file}: there is no such file")
        with self._broken(file), self._open(file) as opened:
            schema, head = opened.schema_arrow, opened.metadata
            rows = [head.row_group(i).num_rows for i in range(head.num_row_groups)]
        names = [name for name in schema.names if not INDEX.fullmatch(name)]
        try:
            check_names(names)
        except InputError as error:
            raise InputError(f"{file}{error}") from None
        is_coded = self._pa.types.is_dictionary
        kinds = {name: schema.field(name).type for name in names}
        return {n: kind.value_type if is_coded(kind) else kind for n, kind in kinds.items()}, rows

    def _check_names(self, kinds: dict[str, Any], others: dict[str, Any], file: Path) -> None:
        first = self.files[0]
        for name in [*kinds, *others]:
            if (name in kinds) != (name in others):
                with_it, without = (first, file) if name in kinds else (file, first)
                raise InputError(
                    f"{without} has no column '{name}', which {with_it} has: files of one table "
                    "have the same columns"
                )

    def _merged(self, kinds: dict[str, Any], others: dict[str, Any], file: Path) -> dict[str, Any]:
        """Types that hold those of the files before, and of a file."""
        pa, merged = self._pa, {}
        for name, kind in kinds.items():
            schemas = [pa.schema([(name, each)]) for each in (kind, others[name])]
            try:
                [both] = pa.unify_schemas(schemas, promote_options="permissive")
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                raise InputError(
                    f"{file}: column '{name}' holds {others[name]}, in the files before it {kind}: "
                    "write them with one type"
                ) from None
            merged[name] = both.type
        return merged

    def _partitions(self, kinds: dict[str, Any]) -> list[dict[str, Any]]:
        """For each file the values of columns that its folders name; `kinds` gets their types."""
        ds = self._pa.dataset
        options = ds.FileSystemFactoryOptions(
            partition_base_dir=str(self.base.absolute()),
            partitioning=ds.HivePartitioning.discover(),
        )
        local, paths = self._pa.fs.LocalFileSystem(), [str(file.absolute()) for file in self.files]
        factory = ds.FileSystemDatasetFactory(local, paths, ds.ParquetFileFormat(), options)
        schema = factory.inspect_schemas()[-1]
        names = [name for name in schema.names if name not in kinds]
        partitions = [
            ds.get_partition_keys(fragment.partition_expression)
            for fragment in factory.finish(schema).get_fragments()
        ]
        for file, values in zip(self.files, partitions, strict=True):
            for name in names:
                if name not in values:
                    raise InputError(
                        f"{file} lies in no folder '{name}=...', as others do that belong to "
                        f"{self.path}: move it, or name one of the folders"
                    )
        kinds.update({name: schema.field(name).type for name in names})
        return [{name: values[name] for name in names} for values in partitions]

    @contextmanager
    def _broken(self, file: Path, what: str = "") -> Iterator[None]:
        """Says of what pyarrow stumbles over where it is."""
        try:
            yield
        except (OSError, EOFError, ValueError, self._pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            where = f"{file}: {what} is broken" if what else f"{file} is truncated or no table"
            raise InputError(f"{where}: {reason}") from None


class RowNames(Sequence[str]):
    """Names of the rows of several files: in all of them, and in their own.

    Rows are counted from 2, as if below a header.
    """

    def __init__(self, table: ParquetTable):
        self._table = table
        self._edges = np.cumsum([0, *map(sum, table.groups)])

    def __len__(self) -> int:
        return int(self._edges[-1])

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[row] for row in range(*i.indices(len(self)))]
        if not 0 <= i < len(self):
            raise IndexError(i)
        file = int(np.searchsorted(self._edges, i, side="right")) - 1
        return f"{i + 2} (row {i - self._edges[file] + 2} of {self._table.name(file)})"


def _plain(column: Any, pa: Any) -> Any:
    """A column without the code that repeated values may be written in."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _base(path: Path) -> Path:
    """The folder, or the part of a pattern before its first wildcard."""
    if path.is_dir():
        return path
    fixed = next(i for i, part in enumerate(path.parts) if is_pattern(part))
    return Path(*path.parts[:fixed])


def _files(path: Path, base: Path) -> list[Path]:
    """The Parquet files that a path names, in their order."""
    if not is_several(path):
        return [path]
    named = [path] if path.is_dir() else [Path(n) for n in glob.glob(str(path), recursive=True)]
    paths = set()
    for each in named:
        inside = (
            glob.glob(f"{glob.escape(str(each))}/**/*", recursive=True) if each.is_dir() else [each]
        )
        paths.update(Path(file) for file in inside)
    files = [file for file in paths if file.suffix.lower() == ENDING and file.is_file()]
    below = {file: file.relative_to(base).parts for file in files}
    kept = [file for file in files if not any(part[0] in "_." for part in below[file])]
    if not kept:
        raise InputError(
            f"{path} holds no file that ends in {ENDING}: name one file, or a folder or pattern "
            "of Parquet files"
        )
    return sorted(kept, key=lambda file: [_in_order(part) for part in below[file]])


def _in_order(name: str) -> list[Any]:
    """A key that sorts numbers in names as such: texts and numbers by turns."""
    return [int(p) if p.isdecimal() else p for p in re.split(r"([0-9]+)", name)]
