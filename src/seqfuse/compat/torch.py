"""Names of torch that are private or differ between releases (checked: 2.13 and 2.15)."""

import inspect
from typing import Any

from torch.distributed import distributed_c10d
from torch.nn.parallel import DistributedDataParallel

_parameters = inspect.signature(DistributedDataParallel).parameters
# The second is its name before torch 2.15.
NO_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _parameters else "broadcast_buffers": False
}
"""Argument by which DistributedDataParallel does not send buffers around in each step."""


def is_first(key: str) -> bool:
    """Whether this rank is the first of all to ask for this key.

    Raises:
        RuntimeError, ValueError: rank 0, who keeps count, has gone; or the group is yet to begin.
    """
    store: Any = distributed_c10d._get_default_store()
    return store.add(key, 1) == 1
