"""Clocks of tables: the distance from row to row, in seconds, weekdays or months."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[Any]
"""datetime64[s]"""
DAY = 24 * 60 * 60
FRIDAY, SATURDAY = 4, 5
SHORTEST_MONTH = 28
LONGEST_MONTH = 31


class Clock(NamedTuple):
    """The distance from row to row.

    Seconds are all of one length. Weekdays are from Monday to Friday, at the same time of the day;
    months, of which 3 are a quarter and 12 a year, on the same day, or on the last one of a month
    that has no such day.
    """

    size: int
    """Units from row to row."""
    unit: str = "second"
    """second | weekday | month"""
    day: int = 0
    """Of months; 31: the last day of each."""

    @classmethod
    def of_state(cls, state: Any) -> "Clock | None":
        """The clock from the state in a checkpoint or an exported folder: a list, or seconds."""
        if state is None or isinstance(state, cls):
            return state
        return cls(*state) if isinstance(state, Sequence) else cls(int(state))

    @classmethod
    def of(cls, stamps: Stamps) -> "Clock":
        """The clock of most rows; there are at least two, in the order of time."""
        days, times = _parts(stamps)
        seconds = np.diff(stamps).astype(np.int64)
        if (times == times[0]).all() and seconds.min() >= SHORTEST_MONTH * DAY:
            months, places, ends = _months(days)
            anchor = int(places.max())
            anchor = LONGEST_MONTH if (places == ends).all() else anchor
            if (places == np.minimum(ends, anchor)).all():
                return cls(int(np.median(np.diff(months))), "month", anchor)
        step = int(np.median(seconds))
        if step == DAY and (times == times[0]).all():
            weekdays = weekday_of(days)
            over = (weekdays[:-1] == FRIDAY) & (seconds == 3 * DAY)
            if over.any() and (weekdays < SATURDAY).all():
                return cls(1, "weekday")
        return cls(step)

    @property
    def season(self) -> int:
        """Steps after which days, weeks or years repeat.

        Of a day where the clock is finer, of a week of days or weekdays, of a year of weeks and of
        months; 1 of other steps.
        """
        if self.unit == "weekday":
            return 5
        if self.unit == "month":
            return 12 // self.size if 12 % self.size == 0 else 1
        if self.size < DAY:
            return DAY // self.size if DAY % self.size == 0 else 1
        return {DAY: 7, 7 * DAY: 52}.get(self.size, 1)

    def __str__(self) -> str:
        if self.unit == "second":
            return f"{self.size} s"
        return self.unit if self.size == 1 else f"{self.size} {self.unit}s"

    def after(self, first: Any, steps: NDArray[np.int64]) -> Stamps:
        """(n) time stamps so many steps after another one."""
        if self.unit == "second":
            return first + steps * np.timedelta64(self.size, "s")
        start = np.asarray(first).reshape(1)
        (day, *_), (time, *_) = _parts(start)
        if self.unit == "weekday":
            days = np.busday_offset(day, steps * self.size, roll="backward")
        else:
            (month, *_), *_ = _months(start.astype("datetime64[D]"))
            months = (month + steps * self.size).astype("datetime64[M]")
            _, firsts, ends = _months(months.astype("datetime64[D]"))
            days = months.astype("datetime64[D]") + np.minimum(ends, self.day) - firsts
        return days.astype("datetime64[s]") + time

    def steps(self, stamps: Stamps) -> NDArray[np.int64]:
        """(n) steps after the first one, of which those are -1 that lie between two."""
        if self.unit == "second":
            distances = (stamps - stamps[0]).astype(np.int64)
        else:
            days, times = _parts(stamps)
            distances = np.busday_count(days[0], days)
            fits = (times == times[0]) & np.is_busday(days)
            if self.unit == "month":
                months, places, ends = _months(days)
                distances = months - months[0]
                fits = (times == times[0]) & (places == np.minimum(ends, self.day))
            distances = np.where(fits, distances, -1)
        return np.where(distances % self.size == 0, distances // self.size, -1)


def weekday_of(days: NDArray[Any]) -> NDArray[np.int64]:
    """(n) from 0, Monday, of datetime64[D]."""
    return (days.astype(np.int64) + 3) % 7  # day 0 was a Thursday


def _parts(stamps: Stamps) -> tuple[NDArray[Any], NDArray[Any]]:
    """(n) the days of stamps, and the time within each."""
    days = stamps.astype("datetime64[D]")
    return days, stamps - days


def _months(
    days: NDArray[Any],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(n) months since 1970, days within each from 1, and days that it has."""
    months = days.astype("datetime64[M]")
    first, following = months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]")
    places, ends = days - first, following - first
    return months.astype(np.int64), places.astype(np.int64) + 1, ends.astype(np.int64)
