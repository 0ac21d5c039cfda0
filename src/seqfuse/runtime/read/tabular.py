"""Series in tables, with labels or without: a row for each step, or for each series.

Tables are Parquet, of which a folder or a pattern may be given, .csv, and JSON lines; or a folder
holds a folder for each class, with a .csv for each of its series, or a table lists such files.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import READ
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import label_text, labels_of
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.read.monitored import stem
from seqfuse.runtime.read.numbers import numbers_in, with_points
from seqfuse.runtime.read.records import (
    RECORD_ENDINGS,
    Row,
    are_numbers,
    delimiter_of,
    label_in,
    rows_of,
)
from seqfuse.runtime.read.table.cells import DECIMALS
from seqfuse.runtime.read.table.parquet import ENDING, ParquetTable, is_parquet, pyarrow
from seqfuse.runtime.read.table.reader import as_list
from seqfuse.runtime.recordings import Recordings

TEXT_ENDINGS = tuple(ending for ending in RECORD_ENDINGS if ".tsv" not in ending)
TABULAR_ENDINGS = (*TEXT_ENDINGS, ENDING)
Columns = dict[str, NDArray[Any]]


class Tabular(NamedTuple):
    """How a table holds series."""

    id: str = "id"
    """Column that tells series apart."""
    label: str | Sequence[str] = "y"
    """Several columns are as many numbers, or labels of 0 and 1."""
    groups: str = "groups"
    channels: Sequence[str] | None = None
    """Columns of the channels; None: all but those three."""
    wide: bool = False
    """Whether a row of a text file is a series of one channel, and each column a step."""
    file: bool = False
    """Whether a text file is a series, and each row a step."""
    per_step: bool = False
    """Whether each step has a class of its own."""

    @property
    def labels(self) -> list[str]:
        """Columns of the labels."""
        return as_list(self.label)

    @property
    def beside(self) -> list[str]:
        """Columns that are no channels."""
        return [self.id, *self.labels, self.groups]

    @property
    def same(self) -> list[str]:
        """Columns that do not change within a series."""
        return [*([] if self.per_step else self.labels), self.groups]

    def targets(self, label_type: str) -> list[str]:
        """Names of the numbers of a label, where they are several columns."""
        return self.labels if label_type == "numbers" and len(self.labels) > 1 else []

    def of(self, path: Path) -> "Tabular":
        """A copy that knows the channels of a file, or that it is wide.

        A text file is wide where no row has the id of the one above it.
        """
        if is_class_folder(path) or (not is_parquet(path) and listed_files(path)):
            file = files_by_class(path)[0] if path.is_dir() else _first_listed(path)
            first = next((row for _, row in rows_of(file)), {})
            names = self.channels or [key for key in first if key not in self.beside]
            return self._replace(channels=names, file=True)
        if is_parquet(path):
            return self._replace(channels=_channels(ParquetTable(path), self, False)[0])
        rows, ids = rows_of(path), []
        for _, row in rows:
            first = row if not ids else first
            ids.append(row.get(self.id))
        if not ids:
            return self
        names = self.channels or [key for key in first if key not in self.beside]
        in_lists = bool(names) and isinstance(first.get(names[0]), list)
        wide = not in_lists and all(a is None or a != b for a, b in itertools.pairwise(ids))
        return self._replace(channels=self.channels if wide else names, wide=wide)


ALL = Tabular()


def read_tabular(
    path: Path,
    tabular: Tabular = ALL,
    labelled: bool = False,
    label_type: str = "classes",
    size: int = READ,
) -> Iterator[Recordings]:
    """Series of a file; of Parquet, of all files of a folder or a pattern.

    Where columns are lists of numbers, a row is a series, and each list a channel. Else a row is a
    step, each column a channel, and the rows of one series, which have the same id, lie together
    in one file; or the file is wide (see `Tabular`). Of a folder of classes, each file is a series.

    Args:
        tabular: names of columns; that of the labels must be there, and that of the ids where rows
            of Parquet are steps.
        labelled: whether labels and groups are read; without, ids name the series.
        label_type: `classes`, `numbers` or `several` labels.
        size: series at a time, of a text file.
    """
    if is_class_folder(path) or (tabular.file and labelled):
        return _of_files(path, tabular, labelled, label_type)
    if is_parquet(path):
        return _of_parquet(path, tabular, labelled, label_type)
    return _of_text(path, tabular, labelled, label_type, size)


def numbered(rows: Iterable[Any], size: int) -> Iterator[tuple[int, list[Any]]]:
    """So many rows at a time, and the number of the first."""
    rows = iter(rows)
    for first in itertools.count(0, size):
        if not (part := list(itertools.islice(rows, size))):
            return
        yield first, part


def is_class_folder(path: Path) -> bool:
    """Whether a folder has a folder for each class, with series in text files."""
    return path.is_dir() and bool(files_by_class(path)) and not any(path.rglob(f"*{ENDING}"))


def files_by_class(folder: Path) -> list[Path]:
    """The text files in folders of a folder, in the order of their names."""
    files = [path for path in folder.glob("*/*") if path.name.lower().endswith(TEXT_ENDINGS)]
    return sorted(path for path in files if path.is_file() and not path.name.startswith("."))


def listed_files(path: Path) -> str:
    """The column of a table that names the file of each series; empty where there is none."""
    first = next((row for _, row in rows_of(path)), {})
    for name in FILE_COLUMNS:
        if str(first.get(name)).lower().endswith(TEXT_ENDINGS):
            return name
    return ""


FILE_COLUMNS = ("file", "filename", "path", "File", "Filename", "Path")


def _first_listed(path: Path) -> Path:
    line, row = next(rows_of(path))
    return _beside(path, line, str(row[listed_files(path)]))


def _beside(path: Path, line: int, file: str) -> Path:
    """A file that a table names: from its folder on, or in one folder of that."""
    if (path.parent / file).is_file():
        return path.parent / file
    matches = [folder / file for folder in path.parent.iterdir() if (folder / file).is_file()]
    if len(matches) != 1:
        raise InputError(
            f"{path}, line {line}: {file} is {'twice' if matches else 'not'} beside the table: "
            "give its path from there on"
        )
    return matches[0]


def _of_files(
    path: Path, tabular: Tabular, labelled: bool, label_type: str
) -> Iterator[Recordings]:
    """The series of files, each labelled by the name of its folder, or by the row that lists it."""
    if tabular.per_step:
        raise InputError(f"{path}: files have one label each: write them into one table")
    if path.is_dir():
        if labelled and label_type != "classes":
            raise InputError(f"{path}: folders are classes: type task=classification")
        for file in files_by_class(path):
            label = label_text(file.parent.name)
            yield _of_file(file, tabular, {"labels": [label]} if labelled else {})
        return
    column = listed_files(path)
    for line, row in rows_of(path):
        file, more = _beside(path, line, str(row[column])), {}
        if labelled:
            _check_labels(path, list(row), tabular)
            labels = [_label(path, line, row, tabular, label_type)]
            groups = [str(row[tabular.groups])] if tabular.groups in row else None
            labels = labels_of(labels, str(path), label_type, [line])
            more = {"labels": labels, "groups": groups, "targets": tabular.targets(label_type)}
        yield _of_file(file, tabular, more)


def _of_file(file: Path, tabular: Tabular, more: Mapping[str, Any]) -> Recordings:
    [items] = _of_text(file, tabular, False, "classes", 1)
    return replace(items, **more, **({"names": None} if more else {}))


def _of_text(
    path: Path, tabular: Tabular, labelled: bool, label_type: str, size: int
) -> Iterator[Recordings]:
    first, comma = None, path.is_file() and delimiter_of(path) in DECIMALS
    for first, part in numbered(_rows_of_series(path, tabular, labelled), size):
        heads = [rows[0] for rows in part]
        names = [row[tabular.id] for _, row in heads if tabular.id in row] or None
        names = [stem(path)] if tabular.file else names
        named: dict[str, Any] = {"names": names and [str(name) for name in names]}
        if labelled:
            labels: list[Any] = [
                _label(path, line, row, tabular, label_type) for line, row in heads
            ]
            if tabular.per_step:
                labels = [
                    [_label(path, line, row, tabular, label_type) for line, row in rows]
                    for rows in part
                ]
            groups = [row[tabular.groups] for _, row in heads if tabular.groups in row] or None
            named = {"labels": labels, "groups": groups, "targets": tabular.targets(label_type)}
        yield series(
            [_values(path, rows, tabular, comma) for rows in part],
            **{"origin": str(path), "first": first, "label_type": label_type, **named},
            lines=[
                [line for line, _ in rows] if tabular.per_step and labelled else rows[0][0]
                for rows in part
            ],
        )
    if first is None:
        raise InputError(f"{path} holds no series")


def _label(path: Path, line: int, row: dict[str, Any], tabular: Tabular, label_type: str) -> Any:
    names = tabular.labels
    return label_in(path, line, row, names if len(names) > 1 else names[0], label_type)


def _rows_of_series(path: Path, tabular: Tabular, labelled: bool) -> Iterator[list[Row]]:
    """The rows of each series of a text file."""
    same = tabular.same if labelled else ()
    seen: set[str] = set()

    def series_of(numbered_row: Row) -> Any:
        line, row = numbered_row
        if tabular.file:
            return path
        is_series = tabular.wide or any(isinstance(cell, list) for cell in row.values())
        return line if is_series else str(row.get(tabular.id, ""))

    for _, rows in itertools.groupby(_checked(path, tabular, labelled), series_of):
        part = list(rows)
        line, first = part[0]
        if (name := first.get(tabular.id)) is not None and not tabular.file:
            if str(name) in seen:
                raise InputError(
                    f"{path}, line {line}: series '{name}' goes on behind another one: sort the "
                    f"rows by {tabular.id}"
                )
            seen.add(str(name))
        for key in same:
            for line, row in part:
                if row.get(key) != first.get(key):
                    fix = (
                        ""
                        if key == tabular.groups
                        else "; for a class of each step type data=steps"
                    )
                    raise InputError(
                        f"{path}, line {line}: {key} is {row[key]}, at the beginning of series "
                        f"'{name}' {first[key]}: a series has one{fix}"
                    )
        yield part


def _checked(path: Path, tabular: Tabular, labelled: bool) -> Iterator[Row]:
    keys: list[str] = []
    for line, row in rows_of(path):
        if not keys:
            keys = list(row)
            if ".jsonl" not in path.name.lower()[-9:] and are_numbers([key for key in keys if key]):
                raise InputError(
                    f"{path}: the first line holds numbers: add a line of column names"
                )
            _check_names(path, keys, tabular, labelled)
        if row.keys() != set(keys):
            raise InputError(
                f"{path}, line {line} has the columns {', '.join(list(row)[:12])}, the first row "
                f"{', '.join(keys[:12])}: give every row the same, with null where a value is "
                "missing"
            )
        yield line, row


def _check_names(path: Path, keys: Sequence[str], tabular: Tabular, labelled: bool) -> list[str]:
    known = _listed(keys)
    names = tabular.channels or [key for key in keys if key not in tabular.beside]
    for name in names:
        if name not in keys:
            raise InputError(f"{path} has no column '{name}' for a channel {known}: add it")
    if not names:
        raise InputError(f"{path} has no column for a channel {known}: add numbers")
    if labelled and tabular.id not in keys and tabular.id != ALL.id:
        raise InputError(f"{path} has no column '{tabular.id}' {known}: name another in data.id")
    if labelled:
        _check_labels(path, keys, tabular)
    return list(names)


def _listed(keys: Sequence[str]) -> str:
    return f"(it has: {', '.join([*keys][:12])}{', ...' * (len(keys) > 12)})"


def _check_labels(path: Path, keys: Sequence[str], tabular: Tabular) -> None:
    absent = [name for name in tabular.labels if name not in keys]
    if absent:
        alike = [key for key in keys if key.lower() in ("label", "class", "target", "y")]
        raise InputError(
            f"{path} has no column '{absent[0]}' for labels {_listed(keys)}: type data.label="
            f"{alike[0] if alike else '<column>'}; without any, task=contrastive "
            "data.labelled=false"
        )


def _values(path: Path, rows: Sequence[Row], tabular: Tabular, comma: bool) -> NDArray[np.float64]:
    """(t c)"""
    names = list(tabular.channels or [key for key in rows[0][1] if key not in tabular.beside])
    fix = (
        ": leave what is no channel out of the file; in training, name the channels by "
        "data.columns=[...]"
    )

    def place(step: int, channel: int) -> str:
        return f"{path}, line {rows[step][0]}, column '{names[channel]}'"

    line, first = rows[0]
    if any(isinstance(first[name], list) for name in names):
        lists = {}
        for name in names:
            where = f"{path}, line {line}, column '{name}'"
            if not isinstance(first[name], list):
                raise InputError(f"{where}: no list is there")
            lists[name] = numbers_in(first[name], lambda _, where=where: where)
        return _side_by_side(f"{path}, line {line}", lists)
    cells: list[Sequence[Any]] = [[row[name] for name in names] for _, row in rows]
    if comma and tabular.wide:  # a row is a channel
        cells = [with_points(cells[0], partial(place, 0), True)]
    elif comma:
        columns = enumerate(zip(*cells, strict=True))
        channels = [with_points(c, lambda t, i=i: place(t, i), True) for i, c in columns]
        cells = [*zip(*channels, strict=True)]
    values = np.stack([numbers_in(row, partial(place, t), fix) for t, row in enumerate(cells)])
    return values.T if tabular.wide else values


def _of_parquet(
    path: Path, tabular: Tabular, labelled: bool, label_type: str
) -> Iterator[Recordings]:
    table, first = ParquetTable(path), 0
    channels, in_lists = _channels(table, tabular, labelled)
    for file, origin in enumerate(map(str, table.files)):
        parts = zip(table.kinds, table.read(file).columns, strict=True)
        columns = {name: part.to_numpy(zero_copy_only=False) for name, part in parts}
        values = {name: columns[name] for name in channels}
        rows = len(values[channels[0]])
        if in_lists or not rows:
            starts = np.arange(rows)
            items = [_of_lists(origin, row, values) for row in range(rows)]
        else:
            starts = _starts(origin, columns, tabular.id, tabular.same if labelled else ())
            items = np.split(np.stack([*values.values()], axis=1), starts[1:])
        named: dict[str, Any] = {n: columns[n][starts] for n in tabular.beside if n in columns}
        if labelled:
            labels = _labels(origin, columns, starts, tabular, label_type)
            named = {"labels": labels, "groups": named.get(tabular.groups)}
            named["targets"] = tabular.targets(label_type)
        else:
            named = {"names": named[tabular.id].tolist()} if tabular.id in named else {}
        if rows:
            block = series(items, origin=origin, first=first, label_type=label_type, **named)
            yield replace(block, origin=str(path))
        first += len(starts)
    if not first:
        raise InputError(f"{path} holds no series")


def _channels(table: ParquetTable, tabular: Tabular, labelled: bool) -> tuple[list[str], bool]:
    """Columns of the channels, and whether they are lists."""
    path, types, kinds = table.path, pyarrow(table.path).types, table.kinds
    names = _check_names(path, [*kinds], tabular, labelled)
    many = (types.is_list, types.is_large_list, types.is_fixed_size_list)
    in_lists = [any(is_many(kinds[name]) for is_many in many) for name in names]
    if not any(in_lists) and tabular.id not in kinds:
        raise InputError(
            f"{path} has no column '{tabular.id}' that says which rows are one series (it has: "
            f"{', '.join([*kinds][:12])}): type data.id=<column>, or write a series as a row, of a "
            "list for each channel"
        )
    for name, is_list in zip(names, in_lists, strict=True):
        kind = kinds[name].value_type if is_list else kinds[name]
        is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
        if not is_number or is_list != any(in_lists):
            wanted = "lists of numbers" if any(in_lists) else "numbers"
            raise InputError(
                f"{path}: column '{name}' holds {kinds[name]}, expected {wanted}, as in every "
                f"column but {', '.join(tabular.beside)}: leave it out"
            )
    return names, any(in_lists)


def _labels(
    origin: str, columns: Columns, starts: NDArray[np.int64], tabular: Tabular, label_type: str
) -> list[Any]:
    """The labels of the series that begin in these rows."""
    names = tabular.labels
    if len(names) > 1:
        return [
            _label(Path(origin), row + 2, {n: columns[n][row] for n in names}, tabular, label_type)
            for row in starts.tolist()
        ]
    rows = range(len(columns[names[0]])) if tabular.per_step else starts.tolist()
    labels = [columns[names[0]][row] for row in rows]
    for row, label in zip(rows, labels, strict=True):
        is_empty = label is None or (isinstance(label, str) and not label.strip())
        if is_empty and label_type != "several":
            raise InputError(
                f"{origin}, row {row + 2}: column '{names[0]}' is empty: fill or drop it"
            )
    if tabular.per_step:
        ends = [*starts[1:].tolist(), len(labels)]
        parts = zip(starts.tolist(), ends, strict=True)
        return [[str(label) for label in labels[first:end]] for first, end in parts]
    labels = ["" if label is None else label for label in labels]
    return [
        label.tolist() if isinstance(label, (np.ndarray, np.generic)) else label for label in labels
    ]


def _of_lists(origin: str, row: int, channels: Columns) -> NDArray[Any]:
    """(t c) the series of a row."""
    lists = {name: column[row] for name, column in channels.items()}
    for name, values in lists.items():
        if values is None:
            raise InputError(f"{origin}, row {row + 2}, column '{name}': no list is there")
    return _side_by_side(f"{origin}, row {row + 2}", lists)


def _side_by_side(where: str, lists: Columns) -> NDArray[Any]:
    """(t c) lists of one length."""
    lengths = {name: len(values) for name, values in lists.items()}
    if len({*lengths.values()}) > 1:
        shown = ", ".join(f"{length} of '{name}'" for name, length in [*lengths.items()][:4])
        raise InputError(f"{where} has lists of unequal lengths: {shown}")
    return np.stack([*lists.values()], axis=1)


def _starts(origin: str, columns: Columns, id: str, same: Sequence[str]) -> NDArray[np.int64]:
    """The first row of each series; `same` are columns that do not change within one."""
    ids = columns[id]
    starts = np.append(0, np.flatnonzero(ids[1:] != ids[:-1]) + 1)
    names, counts = np.unique(ids[starts].astype(str), return_counts=True)
    for name in names[counts > 1][:1]:
        raise InputError(f"{origin}: series '{name}' goes on behind another one: sort it by {id}")
    each = np.repeat(starts, np.diff(np.append(starts, len(ids))))
    for name in same:
        column = columns.get(name)
        if column is not None:
            differs = column != column[each]
            if column.dtype.kind == "f":
                differs &= ~(np.isnan(column) & np.isnan(column[each]))
            for row in np.flatnonzero(differs)[:1]:
                raise InputError(
                    f"{origin}, row {row + 2}: {name} is {column[row]}, at the beginning of series "
                    f"'{ids[row]}' {column[each[row]]}: a series has one"
                )
    return starts
