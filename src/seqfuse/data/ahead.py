"""Windows whose horizon is still to come: after the last rows of a table."""

from collections.abc import Sequence
from copy import copy
from functools import partial

import numpy as np
import pandas as pd

from seqfuse.data.read.clock import AHEAD, LINE, STAMP, row_of
from seqfuse.data.read.table import MESSAGE, Table
from seqfuse.data.views import WindowTensors
from seqfuse.data.windows import Windows
from seqfuse.runtime.errors import InputError

PARTS = ("year", "month", "day", "hour", "minute", "second")


def read_ahead(splits: Windows, frame: pd.DataFrame, origin: str) -> Table:
    """A table like the training one; each series goes on for a horizon after its last target.

    Rows that are there hold what is known ahead, with empty targets. Missing ones are added
    where the calendar alone, or nothing, is known ahead.

    Args:
        splits: with a fitted pipeline.
        origin: begins an error message.

    Raises:
        InputError: columns are not those of the training data, a cell is wrong, or something
            that is to be known ahead is not there; names row and column.
    """
    reader, pipeline = copy(splits.reader), splits.pipeline
    reader.targets = pipeline.columns[: pipeline.num_targets]
    lengthen = partial(_lengthen, splits=splits, targets=reader.targets)
    table = reader.parse(frame, origin, dict(pipeline.facts), lengthen)
    if splits.reader.targets == "all":
        _refuse_others(frame, origin, _names(splits, reader.targets))
    if table.columns != pipeline.columns:
        raise InputError(
            f"{origin} is read as the columns {', '.join(table.columns)}, but the training data "
            f"as {', '.join(pipeline.columns)}: bring it into the same form"
        )
    return table


def windows_ahead(splits: Windows, table: Table, every: int | None) -> WindowTensors:
    """Windows over what `read_ahead` returned: of each series the last, or every n-th.

    Raises:
        InputError: a series is shorter than the look-back.
    """
    starts = []
    for name, first, end in table.groups:
        last, least = end - splits.horizon, first + splits.look_back
        if last < least:
            series = f" ({name})" if name else ""
            raise InputError(
                f"{table.origin}{series}: {last - first} rows up to the last target are too few "
                f"for data.look_back={splits.look_back}: add earlier rows, or leave it out"
            )
        starts.append(np.arange(last, least - 1, -(every or len(table.time)))[::-1])
    values, filled = splits.scaled(table, len(table.time))
    sizes = (splits.look_back, splits.horizon, table.num_targets, table.num_known)
    return WindowTensors(values, filled, np.concatenate(starts), *sizes)


def _names(splits: Windows, targets: Sequence[str]) -> set[str]:
    reader = splits.reader
    return {*targets, *_stamps(splits), reader.group or "", *reader.covariates, *reader.known}


def _stamps(splits: Windows) -> list[str]:
    time = splits.reader.time
    return [time] if isinstance(time, str) else list(time)


def _refuse_others(frame: pd.DataFrame, origin: str, names: set[str]) -> None:
    for name in frame.columns:
        if name not in names and name != LINE:
            known = ", ".join([one for one in frame.columns if one in names][:MESSAGE])
            raise InputError(
                f"{origin} has a column '{name}' that the training data did not have: "
                f"leave it out (known: {known})"
            )


def _lengthen(
    piece: pd.DataFrame, where: str, splits: Windows, targets: Sequence[str]
) -> pd.DataFrame:
    """One series, ending `horizon` steps after its last row with a target."""
    there = np.flatnonzero(piece[targets].notna().any(axis=1))
    if not len(there):
        raise InputError(f"{where}: no row has a value in {', '.join(targets[:MESSAGE])}")
    first = int(there[-1]) + 1
    size = first + splits.horizon
    piece = piece.iloc[:size].reset_index(drop=True)
    _check_known(piece, first, where, splits)
    if len(piece) < size:
        piece = _add_rows(piece, size, splits)
    return piece.assign(**{AHEAD: np.arange(size) >= first})


def _check_known(piece: pd.DataFrame, first: int, where: str, splits: Windows) -> None:
    """Raises InputError unless all that is known ahead is there to the end of the horizon."""
    step, computed = splits.pipeline.facts.get("step"), _stamps(splits)
    for name in splits.reader.known:
        if step and (name in computed or name not in piece.columns):
            continue  # follows from the time stamp
        present = np.flatnonzero(piece[name if name in piece.columns else STAMP].notna())
        row = max(first, *(present[-1:] + 1))
        if row < first + splits.horizon:
            place = _place(piece, row, first, step)
            raise InputError(
                f"{where}: column '{name}' is to be known ahead, but {place} (step "
                f"{row - first + 1} of data.horizon={splits.horizon}) has no value: add what is "
                "known, with the targets left empty"
            )


def _place(piece: pd.DataFrame, row: int, first: int, step: int | None) -> str:
    """The row of the file, if it is there, and its time stamp, if that can be told."""
    if row < len(piece):
        name, stamp = row_of(piece, row), piece[STAMP].iloc[row]
        return str(stamp) if name.endswith("nan") else f"{name}, {stamp},"  # a row that was added
    after = f"the {row - len(piece) + 1}. row after the last, {piece[STAMP].iloc[-1]},"
    if not step:
        return after
    return str(piece[STAMP].iloc[-1] + pd.Timedelta(seconds=step * (row - len(piece) + 1)))


def _add_rows(piece: pd.DataFrame, size: int, splits: Windows) -> pd.DataFrame:
    """Rows with a time stamp, where there is a step, and what follows from it alone."""
    old, step = len(piece), splits.pipeline.facts.get("step")
    piece = piece.reindex(range(size))
    if step:
        steps = pd.to_timedelta(step * np.arange(1, size - old + 1), unit="s")
        stamps = pd.Series(piece[STAMP].iloc[old - 1] + steps, index=range(old, size))
        piece[STAMP] = pd.concat([piece[STAMP].iloc[:old], stamps])
        for name in set(_stamps(splits)) & set(PARTS):
            piece.loc[old:, name] = getattr(stamps.dt, name)
    return piece
