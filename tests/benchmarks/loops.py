"""Training loops without Lightning, that `epoch.py` holds it against."""

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from seqfuse.data.items import Items
from seqfuse.data.module import DataModule
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.base import Task


class Bare:
    """A plain loop over a copy of the task's net."""

    def __init__(self, task: Task, loader: DataLoader[Batch]):
        self.net: nn.Module = copy.deepcopy(task.net).train()
        self.loss = task.loss
        self.optimizer = task.optimizer(self.net.parameters())
        self.loader = loader

    def epoch(self) -> Iterator[None]:
        """One step for each `next`."""
        for batch in self.loader:
            yield self.use(self.step(batch))

    def step(self, batch: Batch) -> torch.Tensor:
        loss = self.loss(self.net(batch.x, batch.mask).prediction, batch.y)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        return loss

    def use(self, loss: torch.Tensor) -> None:
        """Logs nothing."""


class Sample(NamedTuple):
    """What a loop needs of one series."""

    x: torch.Tensor
    mask: torch.Tensor
    y: torch.Tensor
    index: torch.Tensor


class PerSample(Dataset[Sample]):
    """One sample at a time: no `__getitems__`, so the loader collates."""

    def __init__(self, tensors: Items):
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, i: int) -> Sample:
        return Sample(*(part[0] for part in self.tensors.__getitems__([i])[:4]))


class Classic(Bare):
    """As most people write it: single samples, `loss.item()` in every step.

    Args:
        optimizer: in place of the task's, called with the parameters.
    """

    def __init__(self, task: Task, data: DataModule, optimizer: Any = None):
        samples = PerSample(data.tensors("train"))
        super().__init__(task, DataLoader(samples, int(data.batch_size), shuffle=True))
        if optimizer is not None:
            self.optimizer = optimizer(self.net.parameters())
        self.total = 0.0

    def use(self, loss: torch.Tensor) -> None:
        self.total += loss.item()
