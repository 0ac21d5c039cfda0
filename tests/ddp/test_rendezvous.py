"""Ranks of one start find each other, and none of a start before."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import Store, TCPStore

from seqfuse.ddp import rendezvous
from seqfuse.runtime.errors import InputError

SOON = timedelta(seconds=20)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """The store that torchrun keeps for all starts."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    return store


def met(*ranks: int) -> list[Store]:
    """Stores of a start of so many ranks, which come in this order."""
    with ThreadPoolExecutor() as pool:
        waiting = {
            rank: pool.submit(rendezvous.fresh_store, rank, len(ranks), SOON) for rank in ranks
        }
        return [waiting[rank].result() for rank in sorted(ranks)]


@pytest.mark.long
def test_a_start_shares_nothing_with_the_one_before(server: TCPStore) -> None:
    first = met(0, 1, 2)
    first[0].set("address", "old")
    assert all(store.get("address") == b"old" for store in first)
    second = met(2, 1, 0)
    assert not any(store.check(["address"]) for store in second)
    second[2].set("address", "new")
    assert [store.get("address") for store in second] == [b"new"] * 3
    assert first[1].get("address") == b"old"
    third = met(1, 0)  # a node has gone
    assert not any(store.check(["address"]) for store in third)


@pytest.mark.long
def test_a_rank_that_is_early_waits_for_its_own_start(server: TCPStore) -> None:
    """Rank 1 answers to the name of the start before, whose ranks met, until rank 0 is there."""
    first = met(0, 1)
    with ThreadPoolExecutor() as pool:
        early = pool.submit(rendezvous.fresh_store, 1, 2, SOON)
        time.sleep(1.0)
        assert not early.done()
        late = rendezvous.fresh_store(0, 2, SOON)
        late.set("address", "new")
        assert early.result().get("address") == b"new"
    assert not first[1].check(["address"])


@pytest.mark.long
def test_a_rank_that_died_while_it_gathered_is_not_waited_for(server: TCPStore) -> None:
    server.set(rendezvous.ROUND, "dead")  # its rank 0 never saw the others
    stores = met(1, 0)
    stores[0].set("a", "b")
    assert stores[1].get("a") == b"b"


@pytest.mark.long
def test_an_address_without_a_server_is_named(
    server: TCPStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"did not come to 127.0.0.1:\d+ .*strategy.timeout"):
        rendezvous.fresh_store(0, 2, timedelta(seconds=1))
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(InputError, match="no server answers at 127.0.0.1:1, .*--rdzv-endpoint"):
        rendezvous.fresh_store(1, 2, timedelta(seconds=1))
