"""Columns that are worked out of others."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seqfuse.data.read.clock import STAMP
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.stamps import CALENDAR_PERIODS


def add_calendar(frame: pd.DataFrame, name: str) -> list[str]:
    """Sine and cosine of a place in the calendar."""
    place = getattr(frame[STAMP].dt, name).to_numpy() * (2 * np.pi / CALENDAR_PERIODS[name])
    frame[f"{name}_sin"], frame[f"{name}_cos"] = np.sin(place), np.cos(place)
    return [f"{name}_sin", f"{name}_cos"]


def log_returns(
    values: NDArray, groups: list[tuple[str, int, int]], row: Callable[[int], str], path: str
) -> NDArray:
    """Logarithms of each value over the one before; 0 in the first row of a series."""
    if (values <= 0).any():
        first = row(int(np.argwhere(values <= 0)[0][0]))
        raise InputError(f"{path}: {first}: data.returns needs prices above 0")
    logs = np.log(values)
    change = np.diff(logs, axis=0, prepend=logs[:1])
    change[[start for _, start, _ in groups]] = 0.0
    return change
