"""Names of torch that are private, or differ between releases, are there."""

import inspect

import pytest
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from seqfuse.compat import torch


def test_the_first_of_a_group_is_told_so(tmp_path) -> None:
    with pytest.raises(ValueError, match="initialized"):
        torch.is_first("mine")
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert [torch.is_first(key) for key in ("mine", "mine", "other")] == [True, False, True]
    finally:
        distributed.destroy_process_group()


def test_buffers_can_be_left_where_they_are() -> None:
    assert set(torch.NO_BUFFERS) <= set(inspect.signature(DistributedDataParallel).parameters)
