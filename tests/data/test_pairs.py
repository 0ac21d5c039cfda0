"""Two views of a series: what they share, and where they differ."""

import pytest
import torch

from seqfuse.data.augment import Crop, Jitter
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.contrastive import Changed, Overlapping

MASK = torch.arange(9) < torch.tensor([9, 5, 2]).unsqueeze(1)
X = (torch.arange(1.0, 28).reshape(3, 9, 1)) * MASK.unsqueeze(2)


def test_shared_steps_are_the_same_steps() -> None:
    pairs, spans = Overlapping({}), set()
    for _ in range(200):
        one, two = pairs(X, MASK)
        for left, right in ((one.x, two.x), (one.mask, two.mask)):
            assert torch.equal(left[:, one.shared], right[:, two.shared])
        real = one.mask[:, one.shared]
        assert real.any(dim=1).all()
        assert torch.equal(real, real.cummin(dim=1).values)  # real ones first
        assert torch.equal(one.x != 0, one.mask.unsqueeze(2))
        spans.add((one.x.shape[1], two.x.shape[1], real.shape[1]))
    assert len(spans) > 20
    assert max(spans) == (9, 9, 9) or (9, 9, 9) in spans or max(s[2] for s in spans) >= 8


def test_changed_views_differ() -> None:
    one, two = Changed({"jitter": Jitter(0.5), "crop": None})(X, MASK)
    assert not torch.equal(one.x, two.x)
    assert torch.equal(one.mask, MASK)
    one, two = Changed({"crop": Crop(0.5)})(X, MASK)
    assert not torch.equal(one.mask, two.mask)


def test_a_change_that_moves_steps_is_refused_where_steps_are_compared() -> None:
    with pytest.raises(InputError, match="type task.pairs.changes.crop=null"):
        Overlapping({"jitter": Jitter(), "crop": Crop()})
