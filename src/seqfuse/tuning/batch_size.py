"""Search for a batch size: doubled, while that makes training faster and there is room."""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqfuse.callbacks.throughput import available, peak
from seqfuse.runtime.errors import InputError
from seqfuse.search.outcome import of_error

SMALLEST = 8
GAIN = 1.1
"""Factor in samples per second that a larger batch must gain."""
ROOM = 0.5
"""Fraction of the free memory that the next size may take."""
SECONDS = 3.0
"""Maximum time for a size, once it has had enough steps."""


class Clock(Callback):
    """Times steps, loading included."""

    steps, enough, warmup = 14, 4, 2

    def __init__(self) -> None:
        self._ends: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._ends.append(time.perf_counter())
        if len(self._ends) > self.enough + self.warmup and self._ends[-1] > self._ends[0] + SECONDS:
            trainer.should_stop = True

    def rate(self, size: int) -> float:
        """Samples per second of the step in the middle."""
        ends = self._ends[self.warmup :]
        return size / statistics.median(b - a for a, b in pairwise(ends))


def bound(items: int) -> int:
    """The largest size that may be tried."""
    return max(items // 10, 1)


def search(
    rate: Callable[[int], float], maximum: int, has_room: Callable[[float], bool] | None = None
) -> tuple[dict[int, float], str]:
    """Tries sizes up to a maximum, each twice the one before: rates by size, and why there are no
    more.

    `rate` gives samples per second at a size; `has_room` tells whether there is room for so much
    more memory (MiB).
    """
    has_room = has_room or _has_room
    rates: dict[int, float] = {}
    size = min(SMALLEST, maximum)
    while size <= maximum:
        before = peak() or 0.0
        try:
            rates[size] = rate(size)
        except (RuntimeError, MemoryError) as error:
            if of_error(error, "").status != "out of memory":
                raise
            if not rates:
                raise InputError(f"find_batch_size=true: no room for batches of {size}") from None
            return rates, f"{size} does not fit into the memory"
        # Two doublings gained nothing: one may have been slow by chance.
        if list(rates).index(choose(rates)) < len(rates) - 2:
            return rates, f"{choose(rates)} is about as fast as any"
        if not has_room(2 * ((peak() or 0.0) - before)):
            return rates, f"{2 * size} may not fit into the memory"
        size *= 2
    return rates, "more would leave an epoch fewer than 10 steps"


def choose(rates: dict[int, float]) -> int:
    """The last size that was faster, by a tenth, than the one chosen before it."""
    chosen, *larger = rates
    for size in larger:
        if rates[size] >= GAIN * rates[chosen]:
            chosen = size
    return chosen


def _has_room(more: float) -> bool:
    free = available()
    return free is None or more <= ROOM * free
