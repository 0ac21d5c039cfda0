"""Jobs over an engine of zeros."""

from typing import Any

import numpy as np

from seqfuse.runtime.engine import Feeds, Predicted
from seqfuse.runtime.pipelines.packed import pack


class Zeros:
    """Answers zeros (b, *shape), and keeps what it was fed."""

    def __init__(self, *shape: int):
        self.shape = shape
        self.fed: list[Feeds] = []

    def __call__(self, feeds: Feeds) -> Predicted:
        self.fed.append(feeds)
        batch, steps = next(mask for name, mask in feeds.items() if name.endswith("mask")).shape
        prediction = np.zeros((batch, *self.shape), dtype=np.float32)
        return Predicted(prediction, np.zeros((batch, 1, steps)))


def metadata(pipeline: Any, **more: Any) -> dict[str, Any]:
    """What a data module with this pipeline says of itself."""
    known = {"pipeline": pack(pipeline), "stride": 1, "layout": "btc", "time_format": None}
    return {**known, "min_look_back": more.get("look_back"), **more}
