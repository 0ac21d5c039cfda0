"""Search for a precision: bfloat16 where that is faster, and learns as fast."""

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lightning.pytorch import LightningModule, Trainer

from seqfuse.tuning.batch_size import GAIN, Clock

OTHER = "bf16-mixed"
"""Precision that is tried beside the one that `auto` stands for."""
CLOSE = 1.02
"""Factor of the first steps' loss that it may cost."""


class Watch(Clock):
    """Times steps, and keeps their losses."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *rest: Any
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, *rest)
        self.losses.append(float(outputs["loss"]))


class Tried(NamedTuple):
    """First steps at a precision."""

    rate: float
    """Steps per second."""
    losses: list[float]
    """Losses, step by step."""


def search(attempt: Callable[[str], Tried], first: str) -> tuple[dict[str, Tried], str]:
    """Tries both precisions: the attempts, and why the first stays or not."""
    attempts = {name: attempt(name) for name in dict.fromkeys((first, OTHER))}
    chosen = choose(attempts)
    if chosen != first:
        return attempts, f"{chosen} is faster, and its loss as low"
    quicker = attempts[OTHER].rate >= GAIN * attempts[first].rate
    return attempts, f"{OTHER} has a higher loss" if quicker else f"{OTHER} is not faster"


def choose(attempts: Mapping[str, Tried]) -> str:
    """The last precision that is faster by a tenth than the first, at about its loss or less.

    Losses are compared over as many steps as both have taken.
    """
    chosen, *others = attempts
    for name in others:
        steps = min(len(attempts[chosen].losses), len(attempts[name].losses))
        before, after = (statistics.mean(attempts[key].losses[:steps]) for key in (chosen, name))
        if attempts[name].rate >= GAIN * attempts[chosen].rate and after <= CLOSE * before:
            chosen = name
    return chosen
