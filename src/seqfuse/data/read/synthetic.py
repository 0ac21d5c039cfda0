"""Noise with a rule in it: a first test of any classifier."""

import numpy as np

from seqfuse.data.items import Source
from seqfuse.runtime.errors import check_minimum
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.recordings import Recordings

SEEDS = {"train": 0, "val": 1, "test": 2}


class Synthetic(Source):
    """Standard normal series (t c); the class is the sign of the sum of all values.

    The test split has a fifth of the `num_samples` to train and validate on.
    """

    def __init__(
        self, num_samples: int = 10_000, num_steps: int = 50, num_channels: int = 3, seed: int = 0
    ):
        check_minimum(1, num_samples=num_samples, num_steps=num_steps, num_channels=num_channels)
        self.num_samples = num_samples
        self.shape = (num_steps, num_channels)
        self.seed = seed

    def __call__(self, split: str) -> Recordings:
        size = self.num_samples if split == "train" else max(self.num_samples // 5, 1)
        generator = np.random.default_rng([self.seed, SEEDS[split]])
        x = generator.standard_normal((size, *self.shape), dtype=np.float32)
        y = np.where(x.sum(axis=(1, 2)) > 0, "positive", "negative")
        return series(x, y, origin="synthetic data")
