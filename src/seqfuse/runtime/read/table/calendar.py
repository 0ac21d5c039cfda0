"""Columns that follow from time stamps: places in the calendar, and holidays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.read.clock import Stamps, weekday_of

CALENDAR = {
    "hour": range(24),
    "weekday": range(7),  # from Monday
    "day": range(1, 32),
    "month": range(1, 13),
    "dayofyear": range(1, 367),
}
"""Parts of the calendar that follow from a time stamp, and the values of each."""


def calendar_of(stamps: Stamps, name: str) -> NDArray[np.float64]:
    """(n 2) sine and cosine of a place in the calendar; NaN where there is no stamp."""
    angle = place_of(stamps, name) * (2 * np.pi / len(CALENDAR[name]))
    return np.column_stack([np.sin(angle), np.cos(angle)])


def is_holiday(stamps: Stamps, days: Sequence[str]) -> NDArray[np.float64]:
    """(n) 1 on a day of these dates, else 0; NaN where there is no stamp."""
    holidays = np.isin(stamps.astype("datetime64[D]"), np.array(days, dtype="datetime64[D]"))
    return np.where(np.isnat(stamps), np.nan, holidays)


def place_of(stamps: Stamps, name: str) -> NDArray[np.float64]:
    """(n) values of `CALENDAR`, NaN where there is no stamp."""
    day = stamps.astype("datetime64[D]")
    month, year = stamps.astype("datetime64[M]"), stamps.astype("datetime64[Y]")
    place = {
        "hour": (stamps - day) // np.timedelta64(3600, "s"),
        "weekday": weekday_of(day),
        "day": (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        "month": (month - year.astype("datetime64[M]")).astype(np.int64) + 1,
        "dayofyear": (day - year.astype("datetime64[D]")).astype(np.int64) + 1,
    }[name]
    return np.where(np.isnat(stamps), np.nan, np.asarray(place, dtype=np.float64))
