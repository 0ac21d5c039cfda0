"""Columns of a table to what a net takes, and back: fitted once, then fixed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

TABLE_SCALINGS = ("channel", "none")


class TablePipeline:
    """Scales each column to mean 0 and deviation 1 over the training rows.

    Args:
        scaling: `channel` or `none`.
    """

    def __init__(self, scaling: str = "channel"):
        if scaling not in TABLE_SCALINGS:
            raise InputError(f"data.scaling={scaling} must be one of: {', '.join(TABLE_SCALINGS)}")
        self.scaling = scaling
        self.columns: list[str] = []
        self.num_targets = self.num_known = 0
        self.step: int | None = None
        """Seconds from row to row, where rows are not the clock."""
        self.mean: NDArray[np.float64] = np.zeros(0)
        self.deviation: NDArray[np.float64] = np.zeros(0)

    def fit(
        self,
        values: NDArray[Any],
        columns: Sequence[str],
        num_targets: int,
        num_known: int = 0,
        step: int | None = None,
    ) -> None:
        """Learns from the training rows (n c), targets first; NaN is a missing value."""
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if len(empty):
            raise InputError(
                f"column '{columns[empty[0]]}' has no value in the training rows: leave it out"
            )
        self.columns, self.step = list(columns), step
        self.num_targets, self.num_known = num_targets, num_known
        self.mean = np.asarray(np.nanmean(values, axis=0, dtype=np.float64))
        deviation = np.nanstd(values, axis=0, dtype=np.float64)
        self.deviation = np.where(deviation < 1e-8, 1.0, deviation)
        if self.scaling == "none":
            self.mean, self.deviation = np.zeros_like(self.mean), np.ones_like(self.mean)

    def transform(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(n c) in the user's units to scaled values; NaN stays."""
        return ((values - self.mean) / self.deviation).astype(np.float32)

    def undo(self, targets: NDArray[Any], outputs: bool = False) -> NDArray[np.float64]:
        """Scaled targets (... k), or with several outputs (... k p), in the user's units."""
        k = self.num_targets
        mean, deviation = self.mean[:k], self.deviation[:k]
        if outputs:
            mean, deviation = mean[:, None], deviation[:, None]
        return targets * deviation + mean

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as lists and strings."""
        return {
            "scaling": self.scaling,
            "columns": self.columns,
            "num_targets": self.num_targets,
            "num_known": self.num_known,
            "step": self.step,
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what another pipeline had fitted."""
        self.scaling, self.columns = state["scaling"], list(state["columns"])
        self.num_targets, self.num_known = state["num_targets"], state["num_known"]
        self.step = state["step"]
        self.mean = np.array(state["mean"], dtype=np.float64)
        self.deviation = np.array(state["deviation"], dtype=np.float64)


def scale_of(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
    """Mean and deviation (c) of the training rows (t c) of a recording.

    A channel that stood still in training is scaled by the least there is to see.
    """
    mean, deviation = values.mean(axis=0, dtype=np.float64), values.std(axis=0)
    least = np.maximum(np.abs(mean) * 1e-2, 1e-2)
    return mean, np.where(deviation < 1e-6, least, deviation)


class RecordingPipeline:
    """Scales each recording by the mean and deviation of its own training rows.

    Args:
        limit: deviations from the mean at which values are cut off, so that one recording
            that stood still in training cannot drown the others.
        identity: whether the net is told which recording it sees (see `code`).
    """

    def __init__(self, limit: float = 10.0, identity: bool = False) -> None:
        if limit <= 0:
            raise InputError(f"data.limit={limit} must be above 0")
        self.limit = limit
        self.identity = identity
        self.names: list[str] = []
        """Of the recordings trained on."""
        self.columns: list[str] = []
        self.scales: dict[str, tuple[list[float], list[float]]] = {}

    def fit(self, name: str, values: NDArray[Any], columns: Sequence[str]) -> None:
        """Learns one recording's scale from its training rows (t c)."""
        mean, deviation = scale_of(values)
        self.columns = list(columns)
        self.scales[name] = mean.tolist(), deviation.tolist()

    def code(self, name: str) -> NDArray[np.float32]:
        """One number per recording trained on, 1 for this one; all 0 for a new one."""
        names = self.names if self.identity else []
        return np.array([float(name == one) for one in names], dtype=np.float32)

    def transform(self, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
        """(t c) of one recording, scaled."""
        if name not in self.scales:
            raise InputError(f"recording '{name}' has no scale: training never saw it")
        mean, deviation = self.scales[name]
        scaled = (values - np.array(mean)) / np.array(deviation)
        return scaled.clip(-self.limit, self.limit).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """What was fitted, as lists and strings."""
        scales = {name: [mean, deviation] for name, (mean, deviation) in self.scales.items()}
        return {"columns": self.columns, "names": self.names, "scales": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what another pipeline had fitted."""
        self.columns, self.names = list(state["columns"]), list(state["names"])
        self.scales = {name: (mean, dev) for name, (mean, dev) in state["scales"].items()}
