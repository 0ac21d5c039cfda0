"""Clocks of tables: seconds, weekdays and months."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.table.steps import clock_places

DAY = 24 * 3600
STEPS = np.arange(40)


def stamps(frequency: str, first: str = "2023-01-31", count: int = 40) -> NDArray[np.datetime64]:
    return pd.date_range(first, periods=count, freq=frequency).to_numpy().astype("datetime64[s]")


@pytest.mark.parametrize(
    ("frequency", "clock", "season", "name"),
    [
        ("15min", Clock(900), 96, "900 s"),
        ("h", Clock(3600), 24, "3600 s"),
        ("D", Clock(DAY), 7, f"{DAY} s"),
        ("2D", Clock(2 * DAY), 1, f"{2 * DAY} s"),
        ("W", Clock(7 * DAY), 52, f"{7 * DAY} s"),
        ("B", Clock(1, "weekday"), 5, "weekday"),
        ("MS", Clock(1, "month", 1), 12, "month"),
        ("ME", Clock(1, "month", 31), 12, "month"),
        ("QE", Clock(3, "month", 31), 4, "3 months"),
        ("5MS", Clock(5, "month", 1), 1, "5 months"),
        ("YS", Clock(12, "month", 1), 1, "12 months"),
        ("YE-JUN", Clock(12, "month", 31), 1, "12 months"),
    ],
)
def test_clocks_agree_with_those_of_pandas(
    frequency: str, clock: Clock, season: int, name: str
) -> None:
    times = stamps(frequency)
    found = Clock.of(times)
    assert (found, found.season, str(found)) == (clock, season, name)
    assert Clock.of_state([*clock]) == clock
    np.testing.assert_array_equal(found.steps(times), STEPS)
    np.testing.assert_array_equal(found.steps(times[::3]), STEPS[::3])
    for i in (0, 7, 20):  # from any row on
        np.testing.assert_array_equal(found.after(times[i], STEPS[: 40 - i]), times[i:])


def test_days_that_a_month_does_not_have_are_its_last() -> None:
    times = np.array(["2023-12-30", "2024-01-30", "2024-02-29", "2024-03-30"], "datetime64[s]")
    clock = Clock.of(times)
    assert clock == Clock(1, "month", 30)
    np.testing.assert_array_equal(clock.after(times[2], np.arange(2)), times[2:])


def test_seconds_alone_are_a_clock_too() -> None:
    assert Clock.of_state(3600) == Clock(3600)
    assert Clock.of_state(None) is None


@pytest.mark.parametrize(
    ("frequency", "wrong", "what"),
    [
        ("h", "2023-02-01T03:30", "3600 s"),
        ("B", "2023-02-04", "weekday"),  # a Saturday
        ("B", "2023-02-03T12:00", "weekday"),
        ("MS", "2023-05-02", "month"),
        ("QE", "2023-04-30", "3 months"),
    ],
)
def test_a_row_between_two_steps_is_named(frequency: str, wrong: str, what: str) -> None:
    times = stamps(frequency)
    clock = Clock.of(times)
    times = np.sort(np.append(times, np.datetime64(wrong, "s")))
    (i,) = np.flatnonzero(times == np.datetime64(wrong, "s"))
    with pytest.raises(InputError, match=f"row {i}: .* step of {what}: .*data.gaps=ignore"):
        clock_places(times, clock, "refuse", "here", lambda i: f"row {i}")
    np.testing.assert_array_equal(
        clock_places(times, clock, "ignore", "here", str), np.arange(len(times))
    )


@pytest.mark.parametrize(
    ("frequency", "fix"), [("MS", "data.gaps=fill$"), ("B", "data.gaps=fill, or data.gaps=ignore")]
)
def test_missing_stamps_are_counted_by_the_clock(frequency: str, fix: str) -> None:
    times = np.delete(stamps(frequency), [4, 9])
    places = clock_places(times, None, "fill", "here", str)
    np.testing.assert_array_equal(places, np.delete(STEPS, [4, 9]))
    with pytest.raises(InputError, match=f"2 time stamps are missing, the first after 3.*{fix}"):
        clock_places(times, None, "refuse", "here", str)
