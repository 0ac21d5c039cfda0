"""Time stamps of a data frame: in order, one row per step."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from seqfuse.runtime.stamps import clock_places, step_of

STAMP = "\0stamp"
"""Column of parsed time stamps, by a name that no file has."""
LINE = "\0line"
"""Column of the lines of the file at which rows begin, the header's being 1."""
ROW = "\0row"
"""Column of rows, where there are no lines; the header's would be 1."""
AHEAD = "\0ahead"
"""Column that is true in rows after the last target, whose cells may be empty."""


def regular(piece: pd.DataFrame, where: str, gaps: str, facts: dict[str, Any]) -> pd.DataFrame:
    """One series with a row for every step.

    Args:
        piece: rows of one series, with `STAMP` and `LINE` or `ROW`.
        where: begins an error message.
        gaps: `refuse`, `fill` (adds empty rows) or `ignore`.
        facts: holds the step in seconds, once it is known.

    Raises:
        InputError: stamps are out of order, twice there, missing, or off the step.
    """
    stamps = np.asarray(piece[STAMP], dtype="datetime64[s]")
    places = clock_places(stamps, facts.get("step"), gaps, where, partial(row_of, piece))
    if gaps == "ignore" or len(stamps) == 1:
        return piece.reset_index(drop=True)
    step = facts.setdefault("step", step_of(stamps))
    if places[-1] + 1 == len(stamps):
        return piece.reset_index(drop=True)
    clock = pd.date_range(stamps[0], stamps[-1], freq=pd.Timedelta(seconds=step), unit="s")
    filled = piece.assign(**{STAMP: stamps}).set_index(STAMP).reindex(clock)
    return filled.rename_axis(STAMP).reset_index()


def row_of(frame: pd.DataFrame, position: int) -> str:
    """What a row of the file is called, such as `line 7`."""
    unit, name = ("line", LINE) if LINE in frame else ("row", ROW)
    return f"{unit} {frame[name].iloc[position]:.0f}"
