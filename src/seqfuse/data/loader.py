"""Loaders that can go on in the middle of an epoch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from time import perf_counter
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from seqfuse.nn import collectives
from seqfuse.nn.shapes import Batch
from seqfuse.runtime.errors import InputError


class Batches(BatchSampler):
    """Batches of an epoch; those that a resumed run has seen are passed over, not read."""

    _skip = 0

    def pass_over(self, batches: int) -> None:
        """Leaves out so many batches, once."""
        self._skip = batches

    def __iter__(self) -> Iterator[list[int]]:
        # Not before the first batch is asked for: a loader with workers calls `iter` twice.
        skip, self._skip = self._skip, 0
        if isinstance(self.sampler, EpochShuffle):  # need not draw what it passes over
            self.sampler.pass_over(skip * self.batch_size)
            skip = 0
        yield from islice(super().__iter__(), skip, None)


class Loader(DataLoader[Batch]):
    """Knows how far it is in an epoch, so that a resumed run goes on from there.

    Args:
        num_batches: in an epoch, if fewer than there are.
    """

    items = 0
    """Delivered so far, in all epochs."""
    waited = 0.0
    """Seconds in which somebody waited for them."""
    _done = 0
    _skip = 0

    def __init__(self, dataset: Any, num_batches: int | None = None, **options: Any):
        super().__init__(dataset, **options)
        self.num_batches = num_batches or len(self)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self._done, self._skip = self._skip, 0
        order: Any = self.batch_sampler
        order.pass_over(self._done)
        batches = super().__iter__()
        while True:
            start = perf_counter()
            with _one_line():
                batch = next(batches, None)
            self.waited += perf_counter() - start
            if batch is None:
                return
            self.items += len(batch.index)
            self._done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self._done % self.num_batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._skip = state_dict["done"]


@contextmanager
def _one_line() -> Iterator[None]:
    """Says of processes that load what went wrong there, without their tracebacks."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"{str(error).splitlines()[0]}: its memory was too little, or its file was cut off "
            "while it was read (data.num_workers=0 says which)"
        ) from None


class Shares(Sampler[list[int]]):
    """The part of each batch for one rank: as many batches on every rank, some perhaps empty."""

    def __init__(self, batches: Batches):
        self.batches = batches
        self.sampler = batches.sampler
        """Whose epoch Lightning sets."""
        # Known from here on: a process that loads is no rank itself.
        self.rank, self.ranks = collectives.rank(), collectives.count()

    def pass_over(self, batches: int) -> None:
        """Leaves out so many batches, once."""
        self.batches.pass_over(batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[collectives.shard(len(batch), self.rank, self.ranks)]

    def __len__(self) -> int:
        return len(self.batches)


class Sliceable(Dataset[Batch]):
    """Items of a split, of which none can be asked for, too."""

    def __init__(self, items: Any):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        if indices:
            return self.items.__getitems__(indices)
        return Batch(*map(_none_of, self.items.__getitems__([0])))


def _none_of(part: Any) -> Any:
    """No item of a tensor, or of those of several sources."""
    if isinstance(part, dict):
        return {name: values[:0] for name, values in part.items()}
    return None if part is None else part[:0]


class EpochShuffle(Sampler[int]):
    """A new order each epoch that depends on the seed and the epoch alone."""

    _skip = 0

    def __init__(self, size: int, seed: int):
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def generator(self) -> torch.Generator:
        """The generator of the epoch."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)

    def pass_over(self, items: int) -> None:
        """Leaves out so many items, once."""
        self._skip = items

    def __iter__(self) -> Iterator[int]:
        skip, self._skip = self._skip, 0
        return self.order(skip)

    def order(self, skip: int = 0) -> Iterator[int]:
        """The items of the epoch behind the first ones."""
        return iter(torch.randperm(self.size, generator=self.generator())[skip:].tolist())

    def __len__(self) -> int:
        return self.size


class LengthShuffle(EpochShuffle):
    """Shuffles so that items of a batch are about equally long, and little is padded.

    Pools of `mix` batches are sorted by length and cut into batches, which come in random order.

    Args:
        lengths: (n) steps of each item.
        mix: batches of a pool.
    """

    def __init__(self, lengths: torch.Tensor, seed: int, batch_size: int, mix: int = 32):
        super().__init__(len(lengths), seed)
        self.lengths, self.batch_size, self.mix = lengths, batch_size, mix

    def order(self, skip: int = 0) -> Iterator[int]:
        generator = self.generator()
        order = torch.randperm(self.size, generator=generator)
        pools = order.split(self.batch_size * self.mix)
        sorted_ = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools])
        *full, last = sorted_.split(self.batch_size)
        # The last batch may be smaller: anywhere else it would shift the others' ends.
        batches = [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
        yield from torch.cat([*batches, last])[skip:].tolist()


class ChunkShuffle(EpochShuffle):
    """Shuffles where an order of all items would not fit, or items lie far apart on disk.

    Chunks come in a random order, and items of `mix` chunks are shuffled among each other.

    Args:
        chunk: items that lie together.
        mix: chunks that are open at a time.
        expect: is given first and last item of each chunk of the next `mix`, one after the other
            while the items of these are taken.
    """

    def __init__(
        self,
        size: int,
        seed: int,
        chunk: int,
        mix: int,
        expect: Callable[[int, int], None] | None = None,
    ):
        super().__init__(size, seed)
        self.chunk, self.mix, self.expect = chunk, mix, expect

    def order(self, skip: int = 0) -> Iterator[int]:
        generator = self.generator()
        pools = torch.randperm(-(-self.size // self.chunk), generator=generator).split(self.mix)
        for some, coming in zip_longest(pools, pools[1:]):
            count = int((self.size - some * self.chunk).clamp(max=self.chunk).sum())
            left = torch.randperm(count, generator=generator)[skip:]
            skip = max(skip - count, 0)
            if not len(left):
                continue
            items = (some.unsqueeze(1) * self.chunk + torch.arange(self.chunk)).flatten()
            items = items[items < self.size]
            awaited = iter(() if coming is None else coming.tolist())
            for first in range(0, len(left), self.chunk):
                if self.expect is not None and (chunk := next(awaited, None)) is not None:
                    self.expect(chunk * self.chunk, min((chunk + 1) * self.chunk, self.size) - 1)
                yield from items[left[first : first + self.chunk]].tolist()
