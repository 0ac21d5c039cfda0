"""Batch norm over processes, against the same rows in one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from seqfuse.nn import collectives
from seqfuse.nn.masking import BatchNorm
from seqfuse.nn.stems import FrameNorm

SHARES = {"uneven": (5, 2, 4), "one has none": (1, 0, 3), "one is idle": (4, 0, 1)}


def rows(name: str) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randn(sum(SHARES[name]), 4, 3, 2, generator=drawn) * 3 + 1


def series() -> tuple[Tensor, Tensor]:
    """Of six series some steps are padding, and none of the third rank's is real."""
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 0, 0]])
    return torch.arange(36.0).reshape(6, 2, 3), mask.bool()


def normed(share: Tensor, weight: float = 1.0) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Statistics, the output, and the gradient of a loss."""
    norm = FrameNorm(4)
    nn.init.constant_(norm.weight, 1.7)
    x = share.clone().requires_grad_()
    y = norm(x)
    ((y.exp() * torch.cos(share)).sum() * weight).backward()
    assert x.grad is not None
    return dict(norm.state_dict()), y.detach(), x.grad


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=3)
    found: dict[str, tuple[Tensor | dict[str, Tensor], ...]] = {}
    for name, shares in SHARES.items():
        share = rows(name).split(shares)[rank]
        if name != "one is idle" or len(share):
            found[name] = normed(share)
            continue
        with collectives.idle():
            state, *_ = normed(torch.full((2, 4, 3, 2), 7.0), weight=0.0)
        found[name] = state, share, share
    x, mask = (part[2 * rank : 2 * rank + 2] for part in series())
    found["padded"] = (BatchNorm(2)(x, mask).detach(),)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.long
def test_statistics_are_those_of_all_ranks(tmp_path: Path) -> None:
    spawn(work, (tmp_path,), 3)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    for name in SHARES:
        expected = normed(rows(name))
        states, *values = zip(*(part[name] for part in parts), strict=True)
        for state in states:
            torch.testing.assert_close(state, expected[0])
        for found, whole in zip(values, expected[1:], strict=True):
            torch.testing.assert_close(torch.cat(found), whole)
    found = torch.cat([part["padded"][0] for part in parts])
    torch.testing.assert_close(found, BatchNorm(2)(*series()))
