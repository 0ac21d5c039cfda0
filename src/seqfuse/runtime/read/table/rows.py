"""Rows that may be larger than the memory: a .npy array, or Parquet, a file or many."""

import math
import mmap
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError, check_minimum
from seqfuse.runtime.files import check_ending, read_ahead
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.numbers import LARGEST, check_finite
from seqfuse.runtime.read.table.cells import TABLE_ENDINGS, Cells, numbers_of, read_table
from seqfuse.runtime.read.table.parquet import ENDING, ParquetTable, is_parquet, pyarrow
from seqfuse.runtime.read.table.reader import as_list
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.windows import gather

Floats = NDArray[Any]
MAPPED = (".npy", ENDING)
MIB = 2**20
MAX_GROUP = 1024
"""MiB of a row group."""


class RowReader:
    """A .npy array (rows, columns) or Parquet, a file or many, read when a window needs it.

    Numbers of rows are the clock. An empty cell counts as the mean of its column.

    Args:
        targets: columns to forecast; those of an array are numbered from 0; `all` takes
            every number column that is no covariate.
        covariates: columns known up to now.
        pool: MiB of rows that are shuffled among each other.
    """

    endings = (*MAPPED, *(ending for ending in TABLE_ENDINGS if ending not in MAPPED))
    fills = returns = False
    group = None
    known = ()
    head = ("from", "step")

    def __init__(
        self,
        targets: str | Sequence[str | int] = "all",
        covariates: Sequence[str | int] = (),
        pool: int = 64,
    ):
        check_minimum(1, pool=pool)
        self.targets = None if targets == "all" else as_list(targets)
        self.covariates, self.pool = as_list(covariates), pool

    @property
    def metadata(self) -> dict[str, Any]:
        targets = "all" if self.targets is None else self.targets
        return {"kind": "rows", "targets": targets, "covariates": self.covariates}

    def moment(self, start: Any) -> int:
        if type(start) is not int or start < 0:
            raise InputError(f"start={start} must be the number of a row: rows have no dates here")
        return start

    def read(self, path: Path, *_: object) -> Table:
        """The rows of a file, targets first; nothing but its head is read."""
        targets = self.targets
        if targets is None:
            columns = open_rows(path, None, self.pool).columns
            targets = [name for name in columns if name not in self.covariates]
        if not targets:
            raise InputError(f"{path}: data.targets leaves no column to forecast")
        rows = open_rows(path, [*targets, *self.covariates], self.pool)
        offsets = np.array([0, rows.shape[0]])
        return Table(rows, offsets, rows.columns, [""], origin=str(path), num_targets=len(targets))

    def ahead(self, given: Path | Cells, pipeline: TablePipeline, *_: object) -> Table:
        """Rows like the training ones; of a table of text, or in memory, the same columns."""
        if isinstance(given, Path) and (given.name.endswith(MAPPED) or is_parquet(given)):
            table = self.read(given)
            check_columns(table, pipeline)
            return table
        cells = read_table(given) if isinstance(given, Path) else given
        values = np.stack([numbers_of(cells, name) for name in pipeline.columns], axis=1)
        offsets, k = np.array([0, len(values)]), pipeline.num_targets
        return Table(values, offsets, pipeline.columns, [""], origin=cells.origin, num_targets=k)

    def scaled(
        self, table: Table, pipeline: TablePipeline, end: int | None = None
    ) -> tuple["Scaled", "Scaled"]:
        """Rows with NaN, and with 0 in its place, scaled when they are gathered."""
        return Scaled(table, pipeline), Scaled(table, pipeline, filled=True)


class Scaled:
    """Rows that are checked and scaled when they are gathered; `filled` ones have 0 for what is
    missing."""

    def __init__(self, table: Table, pipeline: TablePipeline, filled: bool = False):
        self.rows, self.pipeline, self.filled = table.values, pipeline, filled
        self.columns, self.origin = table.columns, table.origin
        self.shape = table.values.shape

    def gather(self, firsts: NDArray[np.int64], steps: int) -> NDArray[np.float32]:
        """(b steps c)"""
        raw = gather(self.rows, firsts, steps)
        # Only here is every row seen.
        if not max(np.fmax.reduce(raw, axis=None), -np.fmin.reduce(raw, axis=None)) <= LARGEST:
            for first, window in zip(firsts.tolist(), raw, strict=True):
                check_finite(window, self.columns, self.origin, first)
        values = self.pipeline.transform(raw)
        return np.nan_to_num(values) if self.filled else values

    def expect(self, first: int, end: int) -> None:
        """Has rows read ahead that will be gathered soon."""
        self.rows.expect(max(first, 0), min(end, self.shape[0]))


def check_columns(table: Table, pipeline: TablePipeline) -> None:
    """Raises InputError unless a table has the columns that were trained on, if any were."""
    trained = (pipeline.columns, pipeline.num_targets)
    if pipeline.columns and (list(table.columns), table.num_targets) != trained:
        raise InputError(
            f"{table.origin} has the columns {', '.join(table.columns)}, training had "
            f"{', '.join(pipeline.columns)} (the first {pipeline.num_targets} are targets): set "
            "data.targets, data.covariates and data.known alike"
        )


class Rows(Protocol):
    """Rows (n c) on disk, in the order of time."""

    origin: str
    """Begins an error message."""
    columns: list[str]
    shape: tuple[int, int]
    chunk: int
    """Rows that are cheap to read together."""
    mix: int
    """Chunks that are shuffled among each other."""

    def __getitem__(self, rows: slice) -> Floats:
        """(m c), some rows in a row."""
        ...

    def gather(self, firsts: NDArray[np.int64], steps: int) -> Floats:
        """(b steps c), windows that begin at `firsts`."""
        ...

    def expect(self, first: int, end: int) -> None:
        """Has the system read rows ahead, where it can; nothing waits for it."""
        ...


def open_rows(path: Path, wanted: Sequence[str] | None, pool: int) -> Rows:
    """The rows of a .npy file, an array (rows, columns), or of Parquet files; nothing but their
    heads is read.

    Args:
        wanted: columns; None takes every number column. Those of an array are '0', '1', ...
        pool: MiB of rows that are shuffled; twice as many of row groups are kept in memory.
    """
    if not is_parquet(path):
        check_ending(path, MAPPED)
    try:
        return GroupRows(path, wanted, pool) if is_parquet(path) else ArrayRows(path, wanted, pool)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is truncated or no {path.suffix} file: {reason}") from None


class State(NamedTuple):
    """Size and time of a file at its opening; if they change, rows no longer belong together."""

    size: int
    changed: int
    """Nanoseconds since 1970."""

    @classmethod
    def of(cls, path: Path) -> "State":
        """The state of a file now."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns)

    def check(self, path: Path) -> None:
        try:
            now = State.of(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read any more: {error.strerror or error}") from None
        if now != self:
            raise InputError(
                f"{path} was changed while it was read ({self.size:,} bytes before, {now.size:,} "
                "now): put it back as it was, or begin anew"
            )


class ArrayRows:
    """A memory-mapped array: pages are read when a window needs them, and only those.

    A file that is cut off while it is mapped lets the system end the process (SIGBUS). So its size
    and time are looked at before each batch is read, and where a process opens it again; only a
    file that is cut off in the middle of such a read still ends it without a word.
    """

    chunk = 4096

    def __init__(
        self, path: Path, wanted: Sequence[str] | None, pool: int, state: State | None = None
    ):
        self._state = state or State.of(path)
        self._state.check(path)
        array = np.lib.format.open_memmap(path, mode="r")
        if array.ndim not in (1, 2) or array.dtype.kind not in "biuf" or not array.size:
            raise InputError(
                f"{path} has shape {array.shape} of {array.dtype}: expected numbers (rows, columns)"
            )
        self._mapped, self._array = array, array.reshape(len(array), -1)
        self._advise(array)
        names = [str(i) for i in range(self._array.shape[1])]
        self.columns = _chosen(path, names, wanted)
        self._chosen = [names.index(name) for name in self.columns]
        self._all = self._chosen == list(range(len(names)))
        self._path, self.origin, self._pool = path, str(path), pool
        self.shape = (len(array), len(self.columns))
        self.mix = _mix(self, pool)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that loads opens the file itself: a mapped array would be copied whole."""
        return type(self), (self._path, self.columns, self._pool, self._state)

    @staticmethod
    def _advise(array: np.ndarray) -> None:
        """Without it the system would read, and map, what lies around each window."""
        if isinstance(array.base, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
            array.base.madvise(mmap.MADV_RANDOM)

    def __getitem__(self, rows: slice) -> Floats:
        self._state.check(self._path)
        return self._floats(self._array[rows])

    def gather(self, firsts: NDArray[np.int64], steps: int) -> Floats:
        self._state.check(self._path)
        return self._floats(self._array[firsts[:, None] + np.arange(steps)])

    def expect(self, first: int, end: int) -> None:
        if isinstance(self._mapped, np.memmap) and self._mapped.flags.c_contiguous:
            row = self._mapped.nbytes // self.shape[0]
            read_ahead(self._path, [(self._mapped.offset + first * row, (end - first) * row)])

    def _floats(self, values: np.ndarray) -> Floats:
        chosen = values if self._all else values[..., self._chosen]
        return np.array(chosen, dtype=_exact(chosen.dtype))


class GroupRows:
    """Parquet, a file or many: a row group is read whole, and the last ones stay in memory.

    Size and time of a file are looked at before a group of it is read, and where a process opens
    it again.
    """

    def __init__(
        self,
        path: Path,
        wanted: Sequence[str] | None,
        pool: int,
        states: Mapping[Path, State] | None = None,
    ):
        for file, state in (states or {}).items():
            state.check(file)
        self._table = ParquetTable(path, list(states or ()))
        self._states = states or {file: State.of(file) for file in self._table.files}
        self.path, self.origin = path, str(path)
        types, kinds = pyarrow(path).types, self._table.kinds
        numbers = [n for n, k in kinds.items() if types.is_integer(k) or types.is_floating(k)]
        for name in wanted or ():
            if name in kinds and name not in numbers:
                raise InputError(f"{path}: column '{name}' holds {kinds[name]}")
        self.columns = _chosen(path, numbers, wanted)
        groups = self._table.groups
        self._places = [(file, i) for file, sizes in enumerate(groups) for i in range(len(sizes))]
        """The file of each row group, and its number there."""
        sizes = [rows for of_file in groups for rows in of_file]
        self._edges = np.append(0, np.cumsum(sizes, dtype=np.int64))
        self.shape = (int(self._edges[-1]), len(self.columns))
        self.chunk = max(sizes, default=0)
        if not self.shape[0]:
            raise InputError(f"{path} has no rows")
        group = self.chunk * len(self.columns) * 4 / MIB
        if group > MAX_GROUP:
            file = self._table.files[self._places[int(np.argmax(sizes))][0]]
            raise InputError(
                f"{file} has row groups of {group:,.0f} MiB: write it with smaller ones "
                "(row_group_size=1_000_000)"
            )
        self._kind = np.result_type(
            *(_exact(np.dtype(kinds[name].to_pandas_dtype())) for name in self.columns)
        )
        self._keep = max(2, math.ceil(2 * pool / max(group, 1e-3)))
        """The largest groups whose rows, together, stay in memory."""
        self._kept: OrderedDict[int, Floats] = OrderedDict()
        self._pool, self.mix = pool, _mix(self, pool)

    def __reduce__(self) -> tuple[Any, ...]:
        """A process that loads opens the files itself: open ones cannot be handed over."""
        return type(self), (self.path, self.columns, self._pool, self._states)

    def __getitem__(self, rows: slice) -> Floats:
        first, last, _ = rows.indices(self.shape[0])
        groups = range(self._group(first), self._group(max(last - 1, first)) + 1)
        parts = [self._read(i)[max(first - self._edges[i], 0) : last - self._edges[i]]
                 for i in groups]  # fmt: skip
        return np.concatenate(parts)

    def gather(self, firsts: NDArray[np.int64], steps: int) -> Floats:
        values = np.empty((len(firsts), steps, len(self.columns)), dtype=self._kind)
        groups = np.searchsorted(self._edges, firsts, side="right") - 1
        across = firsts + steps > self._edges[groups + 1]
        for i in np.unique(groups[~across]):
            here = ~across & (groups == i)
            values[here] = gather(self._read(int(i)), firsts[here] - self._edges[i], steps)
        for i in np.flatnonzero(across):  # few: they lie over an edge
            values[i] = self[firsts[i] : firsts[i] + steps]
        return values

    def expect(self, first: int, end: int) -> None:
        for group in range(self._group(first), self._group(end - 1) + 1):
            if group not in self._kept:
                file, number = self._places[group]
                self._table.read_ahead(file, self.columns, number)

    def _group(self, row: int) -> int:
        return int(np.searchsorted(self._edges, row, side="right")) - 1

    def _read(self, group: int) -> Floats:
        if group not in self._kept:
            file, number = self._places[group]
            path = self._table.files[file]
            self._states[path].check(path)
            table = self._table.read(file, self.columns, number)
            columns = [table[name].to_numpy().astype(self._kind) for name in self.columns]
            self._kept[group] = np.column_stack(columns)
            while sum(map(len, self._kept.values())) > self._keep * self.chunk:
                self._kept.popitem(last=False)
        self._kept.move_to_end(group)
        return self._kept[group]


def _exact(kind: np.dtype) -> np.dtype:
    """Single precision where it holds every value."""
    return np.dtype(np.float32 if np.can_cast(kind, np.float32) else np.float64)


def _mix(rows: Rows, pool: int) -> int:
    """Chunks that make up the pool."""
    return max(1, int(pool * MIB / (rows.chunk * max(rows.shape[1], 8) * 4)))


def _chosen(path: Path, available: list[str], wanted: Sequence[str] | None) -> list[str]:
    for name in wanted or ():
        if name not in available:
            listed = ", ".join(available[:12])
            raise InputError(
                f"{path} has no number column '{name}' (it has: {listed}): set "
                "data.targets and data.covariates"
            )
    if not available:
        raise InputError(f"{path} has no column of numbers")
    return available if wanted is None else list(wanted)
