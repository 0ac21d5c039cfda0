"""Collectives of torch.distributed; without other processes each returns its own input."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
Value = TypeVar("Value")
_idle = ContextVar("_idle", default=False)


def count() -> int:
    """Processes that train together; 1 without others."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """The number of this process, from 0."""
    return distributed.get_rank() if count() > 1 else 0


def shard(size: int, rank: int, ranks: int) -> slice:
    """The slice of `size` items that a rank has; the first ranks may have one more."""
    shortest, longer = divmod(size, ranks)
    first = rank * shortest + min(rank, longer)
    return slice(first, first + shortest + (rank < longer))


def gather(value: Value) -> list[Value]:
    """The values of all ranks, in their order, to each of them. They are pickled."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def highest(value: int, device: torch.device) -> int:
    """The highest of the ranks' numbers."""
    if count() == 1:
        return value
    number = torch.tensor(value, device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return int(number)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # every rank's loss depends on the sum
        return _Sum.apply(gradients[0].contiguous())  # type: ignore[return-value]


def total(tensor: Tensor) -> Tensor:
    """The sum of the ranks' tensors of one shape; zero counts of a rank that is `idle`.

    The gradient of a rank's tensor is the sum of those of all ranks' losses.
    """
    tensor = tensor * 0.0 if _idle.get() else tensor
    return tensor if count() == 1 else _Sum.apply(tensor)  # type: ignore[return-value]


@contextmanager
def idle() -> Iterator[None]:
    """Within, this rank takes part in `total` with zeros: it has no item of the batch."""
    token = _idle.set(True)
    try:
        yield
    finally:
        _idle.reset(token)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each rank has a shard; any other as it is."""
    if not distributed.is_available() or not distributed.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor  # slow

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def pooled(loss: Tensor, items: Tensor, size: int) -> tuple[Tensor, int]:
    """The loss of a whole batch, by those of its shards.

    Args:
        loss: () the mean over this rank's shard.
        items: () the weight of the shard: what that mean was divided by.
        size: series in the shard, perhaps none.

    Returns:
        the same loss on every rank, whose gradients, averaged over the ranks, are those of the
        whole batch; and the size of the whole batch.
    """
    sums = torch.stack([loss.detach() * items, items.to(loss), loss.new_tensor(size)])
    distributed.all_reduce(sums)
    weight = sums[1].where(sums[1] > 0, 1.0)
    scaled = loss * (items * count() / weight)
    return scaled - scaled.detach() + sums[0] / weight, round(float(sums[2]))


def average_statistics(net: nn.Module) -> None:
    """Gives all ranks the mean of their running batch statistics: each saw shards alone."""
    if count() == 1:
        return
    for part in net.modules():
        if isinstance(part, BATCH_NORMS) and part.running_mean is not None:
            for buffer in (part.running_mean, part.running_var):
                assert buffer is not None
                distributed.all_reduce(buffer)
                buffer.div_(count())
