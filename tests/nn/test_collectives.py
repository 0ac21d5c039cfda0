"""Shards of batches, and losses put together from them; the other rank is played."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, SequentialSampler

from seqfuse.data.loader import ChunkShuffle, EpochShuffle, Loader, Shares, Sliceable
from seqfuse.data.module import DataModule
from seqfuse.nn import collectives
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.losses import AbsoluteError, CrossEntropy, Pinball, SquaredError
from tests.data.small import mapped, module, write


@pytest.mark.parametrize("ranks", range(1, 6))
@pytest.mark.parametrize("size", range(12))
def test_shares_lie_side_by_side_and_are_alike(size: int, ranks: int) -> None:
    parts = [list(range(size))[collectives.shard(size, r, ranks)] for r in range(ranks)]
    assert [*chain(*parts)] == list(range(size))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)  # the first is never empty alone


@pytest.mark.parametrize(
    "order", [SequentialSampler(range(33)), EpochShuffle(33, 3), ChunkShuffle(33, 3, 4, 2)]
)
@pytest.mark.parametrize("ranks", [2, 3])
def test_shares_put_together_are_the_batches_of_one(
    order, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = BatchSampler(order, 8, drop_last=False)
    monkeypatch.setattr(collectives, "count", lambda: ranks)
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        shares.append(Shares(batches))
    for epoch in (0, 1):
        for one in shares:
            if hasattr(one.sampler, "set_epoch"):
                one.sampler.set_epoch(epoch)
        assert {len(one) for one in shares} == {len(batches)} == {5}
        rows = zip(*map(list, shares), strict=True)
        assert [[*chain(*parts)] for parts in rows] == list(batches)
    assert len(list(shares[-1])[-1]) == 0  # of 33 items the last is alone


def test_a_rank_goes_on_in_the_middle_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectives, "count", lambda: 2)
    monkeypatch.setattr(collectives, "rank", lambda: 1)
    data = module(num_folds=0)
    whole = [batch.index.tolist() for batch in data.train_dataloader()]
    assert [len(batch) for batch in whole] == [4, 4, 4, 3]
    loader = data.train_dataloader()
    assert isinstance(loader, Loader)
    loader.load_state_dict({"done": 2})
    assert [batch.index.tolist() for batch in loader] == whole[2:]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_empty_share_is_a_batch_of_none(workers: int, monkeypatch) -> None:
    monkeypatch.setattr(collectives, "count", lambda: 3)
    monkeypatch.setattr(collectives, "rank", lambda: 2)
    data = module(num_folds=0, batch_size=7, num_workers=workers)
    batches = list(data.loader("train"))
    assert [len(batch.y) for batch in batches] == [2, 2, 2, 2, 0]
    assert batches[-1].x.shape == (0, 3, 2)


def test_what_is_read_from_disk_is_shared_too(tmp_path, monkeypatch) -> None:
    splits = mapped(write(tmp_path / "count.parquet", np.arange(2000.0).reshape(1000, 2)))
    data = DataModule(splits, batch_size=50)
    data.setup("fit")
    whole = [batch.index for batch in data.train_dataloader()]
    monkeypatch.setattr(collectives, "count", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(collectives, "rank", lambda rank=rank: rank)
        shares.append([batch.index for batch in data.train_dataloader()])
    for one, *parts in zip(whole, *shares, strict=True):
        assert torch.cat(parts).tolist() == one.tolist()
    assert len(Sliceable(splits.tensors("train")).__getitems__([]).x) == 0


@pytest.mark.parametrize("ranks", [9, 30])
def test_a_batch_holds_an_item_for_each_rank(ranks: int) -> None:
    data = module()
    data.check_ranks(8)
    with pytest.raises(InputError, match=f"data.batch_size=8 is less than the {ranks} devices"):
        data.check_ranks(ranks)


def test_ranks_that_do_not_divide_a_batch_are_told_sizes_that_do() -> None:
    data = module()
    assert not [*data.notes(1), *data.notes(2), *data.notes(8)]
    (note,) = data.notes(3)
    assert "2 of them 3 items, the others 2" in note
    assert "data.batch_size=6 or 9" in note


def classes() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(7, 3), torch.tensor([0, 1, 2, 2, 2, 1, 0])


def forecasts(outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.randn(7, 4, 2)
    y[0, :3] = y[5, :, 1] = torch.nan
    return torch.randn(7, 4, 2, outputs), y


@pytest.mark.parametrize(
    ("loss", "example"),
    [
        (CrossEntropy(), classes),
        (CrossEntropy(0.2, [0.1, 5.0, 1.0], [2, 2, 3]), classes),
        (CrossEntropy(0.0, "balanced", [2, 2, 3]), classes),
        (Pinball((0.1, 0.5, 0.9), 2.0), lambda: forecasts(3)),
        (AbsoluteError(), lambda: forecasts(1)),
        (SquaredError(), lambda: forecasts(1)),
    ],
)
@pytest.mark.parametrize("cut", [4, 1, 0])
def test_gradients_of_shares_average_to_those_of_the_batch(
    loss, example, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction, y = example()
    prediction.requires_grad_()
    loss(prediction, y).backward()
    expected, prediction.grad = prediction.grad, None
    parts = [slice(0, cut), slice(cut, None)]
    told: list[torch.Tensor] = []
    monkeypatch.setattr(collectives, "count", lambda: 2)
    monkeypatch.setattr(collectives.distributed, "all_reduce", told.append)

    def shares() -> list[tuple[torch.Tensor, int]]:
        return [
            collectives.pooled(loss(prediction[part], y[part]), loss.items(y[part]), len(y[part]))
            if len(y[part])
            else collectives.pooled(prediction.sum() * 0.0, torch.tensor(0.0), 0)
            for part in parts
        ]

    shares()
    total = torch.stack([*told]).sum(dim=0)
    monkeypatch.setattr(collectives.distributed, "all_reduce", lambda mine: mine.copy_(total))
    found = shares()
    for value, size in found:
        assert size == 7
        assert value.item() == pytest.approx(loss(prediction, y).item(), rel=1e-6)
        value.backward()
    torch.testing.assert_close(prediction.grad / 2, expected)


def test_shares_without_an_observed_target_weigh_nothing(monkeypatch) -> None:
    monkeypatch.setattr(collectives, "count", lambda: 2)
    monkeypatch.setattr(collectives.distributed, "all_reduce", lambda mine: mine)
    prediction = torch.randn(2, 3, 1, 1, requires_grad=True)
    y = torch.full((2, 3, 1), torch.nan)
    loss = AbsoluteError()
    value, _ = collectives.pooled(loss(prediction, y), loss.items(y), 2)
    value.backward()
    assert value.item() == 0
    assert prediction.grad is not None
    assert prediction.grad.abs().sum() == 0
