"""Tables that count 0, 1, 2..., windows over them, and tables that models can learn from."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.reader import TableReader

PUMPS = ("data=labelled", "data.look_back=16", "data.group=pump", "data.batch_size=16")
AIMS = {
    "forecast": ("data.horizon=8", "model.segment_size=8"),
    "reconstruct": (
        "data.look_back=12",
        "data.horizon=12",
        "data.reconstruct=true",
        "data.identity=true",
        "model=autoencoder",
    ),
}
AIMS["subspace"] = (*AIMS["reconstruct"], "task/scorer=subspace")
"""Words of an anomaly detector on `pumps`, by what it does."""


def counting(path: Path, n: int = 100, **columns: Any) -> Path:
    """A table whose value is the number of its row."""
    frame = {"date": pd.date_range("2020-01-01", periods=n, freq="h"), "value": np.arange(n)}
    pd.DataFrame(frame | columns).to_csv(path, index=False)
    return path


def windows(path: Path, reader: dict | None = None, **knobs: Any) -> TimeSplits:
    sizes = {"look_back": 10, "horizon": 4, "split": [60, 20, 20]}
    found = TimeSplits(
        TableReader(**(reader or {})), TablePipeline("none"), TableFile(str(path)), **sizes | knobs
    )
    found.fit()
    return found


def pumps(path: Path) -> pd.DataFrame:
    """Two pumps, minute by minute; their values jump once."""
    generator = np.random.default_rng(0)
    parts = []
    for pump in ("east", "west"):
        steps = np.arange(200)
        value = np.sin(steps / 3) + 0.05 * generator.normal(size=200)
        value[150:156] += 4
        date = pd.date_range("2024-01-01", periods=200, freq="min")
        anomaly = ((steps >= 150) & (steps < 156)).astype(int)
        one = {"date": date, "pump": pump, "value": value, "anomaly": anomaly}
        parts.append(pd.DataFrame(one))
    frame = pd.concat(parts, ignore_index=True)
    frame.to_csv(path, index=False)
    return frame


def shops(path: Path) -> pd.DataFrame:
    """Two shops, hourly; sales follow what is on offer, which is known ahead."""
    generator = np.random.default_rng(0)
    parts = []
    for shop in ("west", "east"):
        offer = generator.integers(0, 2, 150)
        stamps = pd.date_range("2020-01-01", periods=150, freq="h")
        sales = 1000 + 100 * offer + generator.normal(size=150)
        one = {"when": stamps, "shop": shop, "sales": sales, "stock": sales / 2, "offer": offer}
        parts.append(pd.DataFrame(one))
    frame = pd.concat(parts, ignore_index=True)
    frame.to_csv(path, index=False)
    return frame
