"""Exported folders that are made up: facts, and a graph of zeros."""

from typing import Any

import numpy as np

from seqfuse.runtime.pipelines import pack


class Bundle:
    """Answers zeros; of windows one step for each of the horizon."""

    def __init__(self, pipeline: Any, **facts: Any):
        self.facts = {
            "pipeline": pack(pipeline),
            "stride": 1,
            "layout": "btc",
            "time_format": None,
            **facts,
        }
        self.fed: list[dict[str, np.ndarray]] = []

    def __call__(self, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        self.fed.append(feeds)
        batch, steps = next(one for key, one in feeds.items() if key.endswith("mask")).shape
        shape = self.facts["shape"]
        return np.zeros((batch, *shape), dtype=np.float32), np.zeros((batch, 1, steps))
