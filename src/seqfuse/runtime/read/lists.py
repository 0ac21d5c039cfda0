"""Series in Parquet, with labels or without: one in each row, of lists, or a step in each row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.read.table.parquet import ParquetTable, pyarrow
from seqfuse.runtime.recordings import Recordings

BESIDE = ID, Y, GROUPS = "id", "y", "groups"
"""Columns beside those of the channels."""
Columns = dict[str, NDArray[Any]]


def read_rows(
    path: Path, labelled: bool = False, label_type: str = "classes"
) -> Iterator[Recordings]:
    """Series of a file, or of all files of a folder or a pattern.

    Where columns are lists of numbers, a row is a series, and each list a channel. Else a row is a
    step, each column a channel, and the rows of one series, which have the same `id`, lie together
    in one file. A column `y` has the labels; `groups` may be there, too.

    Args:
        labelled: whether `y` and `groups` are read; without, `id` names the series.
        label_type: `classes`, `numbers` or `several` labels.
    """
    table, first = ParquetTable(path), 0
    channels, in_lists = _channels(table, labelled)
    for file, origin in enumerate(map(str, table.files)):
        parts = zip(table.kinds, table.read(file).columns, strict=True)
        columns = {name: part.to_numpy(zero_copy_only=False) for name, part in parts}
        values = {name: columns[name] for name in channels}
        rows = len(values[channels[0]])
        if in_lists or not rows:
            starts = np.arange(rows)
            items = [_of_lists(origin, row, values) for row in range(rows)]
        else:
            starts = _starts(origin, columns, (Y, GROUPS) if labelled else ())
            items = np.split(np.stack([*values.values()], axis=1), starts[1:])
        named: dict[str, Any] = {name: columns[name][starts] for name in BESIDE if name in columns}
        if labelled:
            named = {"labels": _labels(named[Y]), "groups": named.get(GROUPS)}
        else:
            named = {"names": named[ID].tolist()} if ID in named else {}
        if rows:
            found = series(items, origin=origin, first=first, label_type=label_type, **named)
            yield replace(found, origin=str(path))
        first += len(starts)
    if not first:
        raise InputError(f"{path} holds no series")


def _channels(table: ParquetTable, labelled: bool) -> tuple[list[str], bool]:
    """Columns of the channels, and whether they are lists."""
    path, types, kinds = table.path, pyarrow(table.path).types, table.kinds
    known = f"(it has: {', '.join([*kinds][:12])})"
    names = [name for name in kinds if name not in BESIDE]
    if not names:
        raise InputError(f"{path} has no column for a channel {known}: add lists of numbers")
    if labelled and Y not in kinds:
        raise InputError(
            f"{path} has no column '{Y}' for labels {known}; without any, type task=contrastive "
            "data.labelled=false"
        )
    many = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    in_lists = [any(is_many(kinds[name]) for is_many in many) for name in names]
    if not any(in_lists) and ID not in kinds:
        raise InputError(
            f"{path} has no column '{ID}' that says which rows are one series {known}: add it, or "
            "write a series as a row, of a list for each channel"
        )
    for name, is_list in zip(names, in_lists, strict=True):
        kind = kinds[name].value_type if is_list else kinds[name]
        is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if not is_number or is_list != any(in_lists):
            wanted = "lists of numbers" if any(in_lists) else "numbers"
            raise InputError(
                f"{path}: column '{name}' holds {kinds[name]}, expected {wanted}, as in every "
                f"column but {', '.join(BESIDE)}: leave it out"
            )
    return names, any(in_lists)


def _labels(y: NDArray[Any]) -> Any:
    return [label.tolist() if isinstance(label, np.ndarray) else label for label in y.tolist()]


def _of_lists(origin: str, row: int, channels: Columns) -> NDArray[Any]:
    """(t c) the series of a row."""
    lists = {name: column[row] for name, column in channels.items()}
    for name, values in lists.items():
        if values is None:
            raise InputError(f"{origin}, row {row + 2}, column '{name}': no list is there")
    lengths = {name: len(values) for name, values in lists.items()}
    if len({*lengths.values()}) > 1:
        shown = ", ".join(f"{length} of '{name}'" for name, length in [*lengths.items()][:4])
        raise InputError(f"{origin}, row {row + 2} has lists of unequal lengths: {shown}")
    return np.stack([*lists.values()], axis=1)


def _starts(origin: str, columns: Columns, same: Sequence[str]) -> NDArray[np.int64]:
    """The first row of each series; `same` are columns that do not change within one."""
    ids = columns[ID]
    starts = np.append(0, np.flatnonzero(ids[1:] != ids[:-1]) + 1)
    names, counts = np.unique(ids[starts].astype(str), return_counts=True)
    for name in names[counts > 1][:1]:
        raise InputError(f"{origin}: series '{name}' goes on behind another one: sort it by id")
    each = np.repeat(starts, np.diff(np.append(starts, len(ids))))
    for name in same:
        column = columns.get(name)
        if column is not None:
            for row in np.flatnonzero(column != column[each])[:1]:
                raise InputError(
                    f"{origin}, row {row + 2}: {name} is {column[row]}, at the beginning of series "
                    f"'{ids[row]}' {column[each[row]]}: a series has one"
                )
    return starts
