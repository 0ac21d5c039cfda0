"""Tables that count 0, 1, 2..., and windows over them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.tables import TableReader


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
