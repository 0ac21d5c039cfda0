"""Where the search for a batch size ends, and what it takes."""

from collections.abc import Callable

import pytest
import torch

from seqfuse.runtime.errors import InputError
from seqfuse.tuning import batch_size
from seqfuse.tuning.batch_size import Clock, bound, choose, search

ROOMY: Callable[[float], bool] = lambda more: True  # noqa: E731


@pytest.mark.parametrize(
    ("rate", "maximum", "tried", "chosen", "why"),
    [
        (lambda size: size, 64, [8, 16, 32, 64], 64, "more would leave an epoch fewer than 10"),
        (lambda size: size, 6, [6], 6, "more would leave an epoch fewer than 10"),
        (lambda size: min(size, 16), 999, [8, 16, 32, 64], 16, "16 is about as fast as any"),
        (lambda size: {16: 7}.get(size, min(size, 32)), 999, [8, 16, 32, 64, 128], 32, "32 is"),
        (lambda size: size**0.05, 999, [8, 16, 32], 8, "8 is about as fast as any"),
    ],
)
def test_where_it_ends(
    rate: Callable[[int], float], maximum: int, tried: list[int], chosen: int, why: str
) -> None:
    rates, reason = search(rate, maximum, ROOMY)
    assert list(rates) == tried
    assert choose(rates) == chosen
    assert reason.startswith(why)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_what_does_not_fit_ends_it(error: Exception) -> None:
    def rate(size: int) -> float:
        if size > 16:
            raise error
        return size

    rates, why = search(rate, 999, ROOMY)
    assert (choose(rates), why) == (16, "32 does not fit into the memory")
    with pytest.raises(InputError, match="no room for batches of 8"):
        search(lambda size: rate(99), 999, ROOMY)


def test_other_errors_are_not_hidden() -> None:
    def broken(size: int) -> float:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        search(broken, 999, ROOMY)


def test_it_stops_before_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size takes a MiB per sample: 64 would take 64 of 100 that are free, 32 may."""
    used = [0.0]

    def rate(size: int) -> float:
        used[0] += size
        return size

    monkeypatch.setattr(batch_size, "peak", lambda: used[0])
    monkeypatch.setattr(batch_size, "available", lambda: 100.0)
    rates, why = search(rate, 999)
    assert (choose(rates), why) == (32, "64 may not fit into the memory")


def test_the_clock_leaves_out_the_first_steps() -> None:
    clock = Clock()
    clock._ends = [0.0, 5.0, 10.0, 10.5, 11.0, 11.5]
    assert clock.rate(8) == 16.0


def test_bound() -> None:
    assert [bound(items) for items in (5, 64, 8000)] == [1, 6, 800]
