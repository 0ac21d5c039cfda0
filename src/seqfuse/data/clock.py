"""Time stamps: in order, one row per step."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqfuse.plain.errors import InputError

STAMP = "\0stamp"
"""Column of parsed time stamps, by a name that no file has."""
ROW = "\0row"
"""Column of rows in the file, the header being row 1."""
AHEAD = "\0ahead"
"""Column that is true in rows after the last target, whose cells may be empty."""


def regular(piece: pd.DataFrame, where: str, gaps: str, facts: dict[str, Any]) -> pd.DataFrame:
    """One series with a row for every step.

    Args:
        piece: rows of one series, with `STAMP` and `ROW`.
        where: begins an error message.
        gaps: `refuse`, `fill` (adds empty rows) or `ignore`.
        facts: holds the step in seconds, once it is known.

    Raises:
        InputError: stamps are out of order, twice there, missing, or off the step.
    """
    stamps = np.asarray(piece[STAMP], dtype="datetime64[s]")
    seconds = np.diff(stamps).astype(int)
    _in_order(seconds, stamps, piece, where)
    if gaps == "ignore" or len(seconds) == 0:
        return piece.reset_index(drop=True)
    step = facts.setdefault("step", int(np.median(seconds)))
    odd = np.flatnonzero(seconds % step)
    if len(odd):
        raise InputError(
            f"{where}: row {_row(piece, odd[0] + 1)}: {_stamp(stamps[odd[0] + 1])} is off the step "
            f"of {step} s: bring the rows onto one clock, or type data.gaps=ignore"
        )
    missing = np.flatnonzero(seconds > step)
    if not len(missing):
        return piece.reset_index(drop=True)
    if gaps == "refuse":
        raise InputError(
            f"{where}: {(seconds // step - 1).sum()} time stamps are missing, the first after row "
            f"{_row(piece, missing[0])}, {_stamp(stamps[missing[0]])}: type data.gaps=fill"
        )
    clock = pd.date_range(stamps[0], stamps[-1], freq=pd.Timedelta(seconds=step), unit="s")
    filled = piece.assign(**{STAMP: stamps}).set_index(STAMP).reindex(clock)
    return filled.rename_axis(STAMP).reset_index()


def _in_order(seconds: NDArray, stamps: NDArray, piece: pd.DataFrame, where: str) -> None:
    for wrong, what, fix in (
        (seconds < 0, "is before the row above it", "sort the rows by time"),
        (seconds == 0, "is there twice", "keep one of the two rows"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0]) + 1
            raise InputError(
                f"{where}: row {_row(piece, row)}: {_stamp(stamps[row])} {what}: {fix}"
            )


def _row(piece: pd.DataFrame, position: int) -> int:
    return int(piece[ROW].iloc[position])


def _stamp(stamp: object) -> str:
    return str(stamp).replace("T", " ")
