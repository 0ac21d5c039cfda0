"""The store in which the ranks of one start find each other.

torchrun keeps one store for all starts of its processes, with what the ranks of a start before
have left there: gloo would look for those, which are gone. `TORCHELASTIC_RESTART_COUNT` does not
tell the starts apart either, since each node counts its own failures.
"""

import json
import os
import time
import uuid
from datetime import timedelta

from torch.distributed import (
    DistError,
    DistStoreError,
    PrefixStore,  # type: ignore[attr-defined]
    Store,  # type: ignore[attr-defined]
    TCPStore,  # type: ignore[attr-defined]
)

from seqfuse.runtime.errors import InputError

ROUND = "seqfuse/round"
"""Key of the start that is gathering."""
CONNECT = 60.0
"""Seconds in which torchrun's store, which is there before its processes, must answer."""


def needed() -> bool:
    """Whether torchrun keeps the store of this process."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def fresh_store(rank: int, ranks: int, timeout: timedelta) -> Store:
    """The part of torchrun's store that all ranks of this start, and no others, share.

    Rank 0 names the start. Every other rank answers to the name with a number of its own, and
    takes the name for this start's once rank 0 has repeated that number. It waits for the others as
    long as `timeout`.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    try:
        within = min(timeout, timedelta(seconds=CONNECT))
        store = TCPStore(host, port, is_master=False, timeout=within, wait_for_workers=False)
        store.set_timeout(timeout)
        name = _announced(store, ranks) if rank == 0 else _answered(store, rank, timeout)
    except DistError as error:
        raise nobody_there(error) from None
    return PrefixStore(f"seqfuse/{name}", store)


def nobody_there(error: DistError) -> InputError:
    """The error of a rank that found no server, or waited in vain for other ranks."""
    place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    if isinstance(error, DistStoreError):
        return InputError(
            f"the other ranks did not come to {place} in time: look for what they say, or type a "
            "longer trainer.strategy.timeout"
        )
    return InputError(
        f"no server answers at {place}, where the ranks are to meet: start rank 0 there first, "
        "and check MASTER_ADDR and MASTER_PORT, or torchrun's --rdzv-endpoint"
    )


def _announced(store: Store, ranks: int) -> str:
    name = uuid.uuid4().hex
    store.set(ROUND, name)
    numbers = [store.get(f"{name}/{rank}").decode() for rank in range(1, ranks)]
    store.set(f"{name}/met", json.dumps(numbers))
    return name


def _answered(store: Store, rank: int, timeout: timedelta) -> str:
    number, end = uuid.uuid4().hex, time.monotonic() + timeout.total_seconds()
    while True:
        name = store.get(ROUND).decode()
        store.set(f"{name}/{rank}", number)
        try:
            store.wait([f"{name}/met"], timedelta(seconds=1))
            if json.loads(store.get(f"{name}/met"))[rank - 1] == number:
                return name
        except DistStoreError:  # rank 0 waits for others, or is one of a start before
            if time.monotonic() > end:
                raise
        except IndexError:  # that start had fewer ranks
            pass
        time.sleep(0.1)
