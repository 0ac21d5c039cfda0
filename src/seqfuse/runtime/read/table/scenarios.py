"""Scenarios: rows ahead of a table, with what is known of them, in a file of their own."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.table.cells import LISTED, Cells, groups_of, is_empty, numbers_of
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.stamps import Stamps, is_split, shown, stamps_of


def with_scenario(
    cells: Cells, scenario: Cells, reader: TableReader, targets: Sequence[str], words: Sequence[str]
) -> Cells:
    """A table with the rows of a scenario below its own, whose targets are empty.

    A scenario has time stamps, the group if there is one, and what is known ahead; whatever else is
    in it is left out. `words` are columns whose cells are words.
    """
    ahead = [name for name in reader.known if name in cells.columns and name not in reader.stamps]
    for name in ahead:
        scenario.column(name)
    for name in targets:
        for i, cell in enumerate(scenario.columns.get(name, ())):
            if not is_empty(cell):
                raise InputError(
                    f"{scenario.place(name, i)}: a target is not known ahead: leave the cell empty"
                )
    both = (cells, scenario)
    stamps = [stamps_of(table, reader.stamps, reader.time_format) for table in both]
    groups = [_groups(table, reader, len(s)) for table, s in zip(both, stamps, strict=True)]
    _check_behind(both, stamps, groups)
    columns = {
        name: _extended(column, len(stamps[1]))
        for name, column in cells.columns.items()
        if name not in (*reader.stamps, reader.group, *ahead)
    }
    if len(reader.stamps) == 1:
        columns[reader.stamps[0]] = np.concatenate(stamps)
    if reader.group:
        columns[reader.group] = [*groups[0], *groups[1]]
    for name in (*ahead, *(reader.stamps if len(reader.stamps) > 1 else ())):
        if name in words or (name in reader.stamps and is_split(reader.stamps)):
            columns[name] = [cell for table in both for cell in table.column(name)]
        else:
            columns[name] = np.concatenate([numbers_of(table, name) for table in both])
    places = [f"{number} of {scenario.origin}" for number in scenario.numbers]
    return cells._replace(
        columns={name: columns[name] for name in cells.columns}, numbers=[*cells.numbers, *places]
    )


def _groups(table: Cells, reader: TableReader, size: int) -> list[str]:
    return groups_of(table, reader.group) if reader.group else [""] * size


def _check_behind(
    both: tuple[Cells, Cells], stamps: Sequence[Stamps], groups: Sequence[list[str]]
) -> None:
    """Raises InputError for a row of the scenario that is not behind those of its series."""
    cells, scenario = both
    rows: dict[str, set[Any]] = {}
    for name, stamp in zip(groups[0], stamps[0].tolist(), strict=True):
        rows.setdefault(name, set()).add(stamp)
    last = {name: max(moments) for name, moments in rows.items()}
    for i, (name, stamp) in enumerate(zip(groups[1], stamps[1].tolist(), strict=True)):
        where = f"{scenario.origin}: {scenario.row(i)}: {shown(stamps[1][i])}"
        where += f" ({name})" if name else ""
        if name not in rows:
            listed = ", ".join(sorted(rows)[:LISTED])
            raise InputError(f"{where} is of no series in {cells.origin} (it has: {listed})")
        if stamp in rows[name]:
            raise InputError(f"{where} is in {cells.origin}, too: leave it out of one of the two")
        if stamp < last[name]:
            raise InputError(
                f"{where} is not behind the last row of {cells.origin}, "
                f"{shown(np.datetime64(last[name], 's'))}: leave it out"
            )


def _extended(column: Any, size: int) -> Any:
    """A column with as many empty cells below it."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return np.concatenate([column.astype(np.float64), np.full(size, np.nan)])
    return [*column, *[None] * size]
