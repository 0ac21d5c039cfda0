"""Batches to predict hold what was read, whatever their size, and padding changes nothing."""

from collections.abc import Iterator

import numpy as np
import pytest

from seqfuse.runtime import batches
from seqfuse.runtime.batches import Block, check_batch_size, feeds_of, regroup
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.sources import clocked
from seqfuse.runtime.recordings import Recordings

LENGTHS = (3, 5, 2, 7, 1)


def blocks(counts: tuple[int, ...] = (1, 4, 2, 3, 5), source: str = "") -> Iterator[Block]:
    """As many items in each as `counts` says, of `LENGTHS` steps, with the numbers 1, 2, ..."""
    first = 1
    for i, (count, steps) in enumerate(zip(counts, LENGTHS, strict=True)):
        rows = np.arange(first, first + count)
        x = [np.full((steps, 2), row, dtype=np.float32) for row in rows]
        items = Recordings.of(x, steps={"token": np.repeat(rows.astype(str), steps)})
        if source:
            items = clocked(items.lengths, {source: items}, steps=items.steps)
        yield Block(items, {"file": [f"{i}.npy"] * count, "row": rows.tolist()})
        first += count


@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_items_keep_their_order_in_batches_of_any_size(size: int) -> None:
    found = list(regroup(blocks(), size))
    assert [len(one.items) for one in found[:-1]] == [size] * (15 // size - (15 % size == 0))
    rows = [row for one in found for row in one.columns["row"]]
    assert rows == list(range(1, 16))
    wanted = {
        row: n for one, n in zip(blocks(), LENGTHS, strict=True) for row in one.columns["row"]
    }
    for one in found:
        rows = one.columns["row"]
        feeds = feeds_of(one.items)
        assert feeds["mask"].sum(axis=1).tolist() == [wanted[row] for row in rows]
        assert feeds["x"].shape[1] == max(wanted[row] for row in rows)
        assert (feeds["x"][~feeds["mask"]] == 0).all()
        assert feeds["x"][:, 0, 0].tolist() == rows
        tokens = one.items.steps["token"]
        assert [tokens[first] for first in one.items.offsets[:-1]] == [str(row) for row in rows]
    files = [name for one in found for name in one.columns["file"]]
    assert files == [name for one in blocks() for name in one.columns["file"]]


def test_long_items_make_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_VALUES", 16 * 14)  # 14 steps
    shapes = [feeds_of(one.items)["mask"].shape for one in regroup(blocks())]
    assert shapes == [(2, 5), (2, 5), (2, 5), (2, 7), (2, 7), (5, 1)]
    monkeypatch.setattr(batches, "MAX_VALUES", 1)
    assert all(len(one.items) == 1 for one in regroup(blocks()))


def test_blocks_of_other_sources_or_names_share_no_batch() -> None:
    first, second, *_ = blocks()
    mixed = [first, second._replace(columns={"id": second.columns["file"]})]
    assert [len(one.items) for one in regroup(mixed)] == [1, 4]
    several = list(blocks(source="a"))
    whole = next(regroup(several))
    assert feeds_of(whole.items)["a_x"].shape == (15, 7, 2)
    other = next(blocks(source="b"))
    assert [len(one.items) for one in regroup([other, *several[1:]])] == [1, 14]


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "many"])
def test_a_size_that_cannot_be(size: object) -> None:
    with pytest.raises(InputError, match=f"batch_size={size} must be auto or at least 1"):
        check_batch_size(size)  # type: ignore[arg-type]
