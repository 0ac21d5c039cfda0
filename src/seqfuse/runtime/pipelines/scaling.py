"""Columns of a table to what a net takes, and back: fitted once, then fixed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError, check_option
from seqfuse.runtime.read.clock import Clock

TABLE_SCALINGS = ("channel", "series", "none")
CHUNK = 2**16
"""Rows at a time, so that double precision takes no second copy of the data."""
ROUNDING = 10
"""Units in the last place of the mean, within which values do not differ."""
DOUBLE = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of columns, and values in these units.

    A column is constant where its standard deviation is within the rounding error of its mean, of
    the precision that the values are stored in, and of a sum of so many (Chan, Golub and LeVeque
    1983). It is divided by 1, so that rounding errors are not blown up to the size of a signal.
    """

    mean: NDArray[np.float64]
    """(c)"""
    std: NDArray[np.float64]
    """(c) above 0."""

    @classmethod
    def of(cls, values: NDArray[Any], constant: float | None = None) -> "Standardisation":
        """Fits rows (n c); NaN are left out, and a column of NaN alone has a NaN mean.

        Constant columns are divided by a fraction `constant` of their magnitude, which counts
        as 1 at least, so that a detector sees what stirs after it stood still.
        """
        chunks = [values[first : first + CHUNK] for first in range(0, len(values), CHUNK)]
        count = sum((~np.isnan(chunk)).sum(axis=0) for chunk in chunks)
        total = sum(np.nansum(chunk, axis=0, dtype=np.float64) for chunk in chunks)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        squares = sum(np.nansum(np.square(chunk - mean), axis=0) for chunk in chunks)
        std = np.sqrt(squares / np.maximum(count, 1))
        stored = np.finfo(values.dtype).eps if values.dtype.kind == "f" else DOUBLE
        rounding = np.abs(mean) * max(ROUNDING * float(stored), len(values) * DOUBLE)
        floor = 1.0 if constant is None else constant * np.maximum(np.abs(mean), 1.0)
        return cls(mean, np.where(std > rounding, std, floor))

    @classmethod
    def none(cls, columns: int) -> "Standardisation":
        return cls(np.zeros(columns), np.ones(columns))

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(... c) standardised."""
        return (values - self.mean) / self.std

    def undo(self, values: NDArray[Any], outputs: bool = False) -> NDArray[np.float64]:
        """The first columns (... k), or with several outputs of each (... k p), as they were."""
        columns = values.shape[-2 if outputs else -1]
        mean, std = self.mean[:columns], self.std[:columns]
        if outputs:
            mean, std = mean[:, None], std[:, None]
        return values * std + mean

    def state_dict(self) -> dict[str, list[float]]:
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Sequence[float]]) -> "Standardisation":
        return cls(np.array(state["mean"], np.float64), np.array(state["std"], np.float64))


class TablePipeline:
    """Standardises each column over the training rows.

    Args:
        scaling: `channel` or `none`; `series` standardises the targets of each series over its
            own training rows first (see `of_series`), and those of a new one over the rows
            before its first forecast.
    """

    def __init__(self, scaling: str = "channel"):
        check_option(TABLE_SCALINGS, scaling=scaling)
        self.scaling = scaling
        self.columns: list[str] = []
        self.num_targets = self.num_known = 0
        self.clock: Clock | None = None
        """None: rows are the clock."""
        self.holidays: list[str] = []
        """Dates of the column `holiday`, YYYY-MM-DD."""
        self.standardisation = Standardisation.none(0)
        self.series: dict[str, Standardisation] = {}
        """Scales of the targets of each series trained on, where each has its own."""

    def fit_series(self, names: Sequence[str], parts: Sequence[NDArray[Any]]) -> None:
        """Learns the scales of series from the targets (m k) of their training rows.

        A series without a value of each target there is as a new one.
        """
        for name, part in zip(names, parts, strict=True):
            if (~np.isnan(part)).any(axis=0).all():
                self.series[name] = Standardisation.of(part)

    def of_series(
        self, names: Sequence[str], parts: Sequence[NDArray[Any]]
    ) -> list[Standardisation]:
        """The scales of series by name; of new ones those of these rows (m k)."""
        return [
            self.series[name] if name in self.series else Standardisation.of(part)
            for name, part in zip(names, parts, strict=True)
        ]

    def fit(
        self,
        values: NDArray[Any],
        columns: Sequence[str],
        num_targets: int,
        num_known: int = 0,
        clock: Clock | None = None,
        holidays: Sequence[str] = (),
    ) -> None:
        """Learns from the training rows (n c), targets first; NaN is a missing value."""
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if len(empty):
            raise InputError(
                f"column '{columns[empty[0]]}' has no value in the training rows: leave it out"
            )
        self.columns, self.clock, self.holidays = list(columns), clock, list(holidays)
        self.num_targets, self.num_known = num_targets, num_known
        if self.scaling == "none":
            self.standardisation = Standardisation.none(len(columns))
        else:
            self.standardisation = Standardisation.of(values)

    def transform(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(n c) in the user's units to scaled values; NaN stays."""
        return self.standardisation.apply(values).astype(np.float32)

    def undo(self, targets: NDArray[Any], outputs: bool = False) -> NDArray[np.float64]:
        """Scaled targets (... k), or with several outputs (... k p), in the user's units."""
        return self.standardisation.undo(targets, outputs)

    def state_dict(self) -> dict[str, Any]:
        return {
            "scaling": self.scaling,
            "columns": self.columns,
            "num_targets": self.num_targets,
            "num_known": self.num_known,
            "clock": self.clock and list(self.clock),
            "holidays": self.holidays,
            "standardisation": self.standardisation.state_dict(),
            "series": {name: scale.state_dict() for name, scale in self.series.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scaling, self.columns = state["scaling"], list(state["columns"])
        self.num_targets, self.num_known = state["num_targets"], state["num_known"]
        # Before there were other clocks, seconds from row to row.
        self.clock = Clock.of_state(state["clock" if "clock" in state else "step"])
        self.holidays = list(state.get("holidays", ()))
        self.standardisation = Standardisation.from_state(state["standardisation"])
        series = state.get("series", {})
        self.series = {n: Standardisation.from_state(s) for n, s in series.items()}


CONSTANT = 0.01
"""Fraction of its magnitude by which a detector scales a channel that is constant in training."""


class RecordingPipeline:
    """Standardises each recording over its own training rows.

    Args:
        limit: standard deviations from the mean at which values are cut off, so that one recording
            that stood still in training cannot drown the others.
        identity: whether the net is told which recording it sees (see `code`).
    """

    def __init__(self, limit: float = 10.0, identity: bool = False) -> None:
        if limit <= 0:
            raise InputError(f"data.limit={limit} must be above 0")
        self.limit = limit
        self.identity = identity
        self.names: list[str] = []
        """Names of the recordings trained on."""
        self.columns: list[str] = []
        self.scales: dict[str, Standardisation] = {}

    def train_on(self, names: Sequence[str]) -> None:
        """Names all recordings to be trained on; `fit` may learn the scales of others, too."""
        self.names = list(names)

    def fit(self, name: str, values: NDArray[Any], columns: Sequence[str]) -> None:
        """Learns one recording's scale from its training rows (t c)."""
        self.columns = list(columns)
        self.scales[name] = Standardisation.of(values, CONSTANT)

    def code(self, name: str) -> NDArray[np.float32]:
        """One number per recording trained on, 1 for this one; all 0 for a new one."""
        names = self.names if self.identity else []
        return np.array([float(name == trained) for trained in names], dtype=np.float32)

    def transform(self, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
        if name not in self.scales:
            raise InputError(f"recording '{name}' has no scale: training never saw it")
        scaled = self.scales[name].apply(values)
        return scaled.clip(-self.limit, self.limit).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        scales = {name: scale.state_dict() for name, scale in self.scales.items()}
        return {"columns": self.columns, "names": self.names, "scales": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.columns, self.names = list(state["columns"]), list(state["names"])
        self.scales = {n: Standardisation.from_state(s) for n, s in state["scales"].items()}
