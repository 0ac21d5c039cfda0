"""Batches to predict hold what was read, whatever their size, and padding changes nothing."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from seqfuse.nn.shapes import Batch
from seqfuse.predictions import batches
from seqfuse.predictions.batches import Part, check_batch_size, regroup
from seqfuse.runtime.errors import InputError

LENGTHS = (3, 5, 2, 7, 1)


def parts(counts: tuple[int, ...] = (1, 4, 2, 3, 5), several: bool = False) -> Iterator[Part]:
    """As many items in each as `counts` says, of `LENGTHS` steps, with the numbers 0, 1, ..."""
    first = 0
    for i, (count, steps) in enumerate(zip(counts, LENGTHS, strict=True)):
        rows = torch.arange(first, first + count)
        x = rows.reshape(-1, 1, 1).expand(-1, steps, 2).float() + 1
        mask = torch.ones(count, steps, dtype=torch.bool)
        batch = Batch({"a": x} if several else x, {"a": mask} if several else mask, rows, rows)
        names = {"file": np.repeat(f"{i}.npy", count), "row": np.arange(count)}
        yield Part(batch, names, {"token": [[f"{n}"] * steps for n in rows.tolist()]})
        first += count


@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_items_keep_their_order_in_batches_of_any_size(size: int) -> None:
    found = list(regroup(parts(), size))
    assert [len(one.batch.index) for one in found[:-1]] == [size] * (15 // size - (15 % size == 0))
    assert torch.cat([one.batch.index for one in found]).tolist() == list(range(15))
    wanted = {
        int(n): one for one in parts() for n, one in zip(one.batch.index, one.batch.x, strict=True)
    }
    lengths = {n: len(x) for n, x in wanted.items()}
    for one in found:
        rows = one.batch.index.tolist()
        assert one.batch.mask.sum(dim=1).tolist() == [lengths[n] for n in rows]
        assert one.batch.x.shape[1] == max(lengths[n] for n in rows)
        assert (one.batch.x[~one.batch.mask] == 0).all()
        assert (one.batch.x[:, 0, 0] == one.batch.index + 1).all()
        assert [each[0] for each in one.steps["token"]] == [f"{n}" for n in rows]
    files = np.concatenate([one.items["file"] for one in found])
    assert files.tolist() == [name for one in parts() for name in one.items["file"]]


def test_long_items_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CELLS", 16 * 14)  # 14 steps
    found = [one.batch for one in regroup(parts())]
    shapes = [tuple(one.x.shape[:2]) for one in found]
    assert shapes == [(2, 5), (2, 5), (2, 5), (2, 7), (2, 7), (5, 1)]
    monkeypatch.setattr(batches, "CELLS", 1)
    assert all(len(one.batch.index) == 1 for one in regroup(parts()))


def test_parts_of_other_sources_or_names_share_no_batch() -> None:
    first, second, *_ = parts()
    mixed = [first, second._replace(items={"id": second.items["file"]})]
    assert [len(one.batch.index) for one in regroup(mixed)] == [1, 4]
    several = list(parts(several=True))
    whole = next(regroup(several))
    assert whole.batch.x["a"].shape == (15, 7, 2)
    other = several[0]._replace(batch=several[0].batch._replace(x={"b": torch.zeros(1, 3, 2)}))
    assert [len(one.batch.index) for one in regroup([other, *several[1:]])] == [1, 14]


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "many"])
def test_a_size_that_cannot_be(size: object) -> None:
    with pytest.raises(InputError, match=f"batch_size={size} must be auto or at least 1"):
        check_batch_size(size)  # type: ignore[arg-type]
