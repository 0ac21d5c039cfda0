"""Views of a series, and contrast losses against plain loops."""

import math

import pytest
import torch

from seqfuse.data.augment import Crop, Jitter
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.contrastive import Changed, NtXent, Overlapping, ScaleContrast

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


def everything(steps: int, batch: int = 3) -> torch.Tensor:
    return torch.ones(batch, steps, dtype=torch.bool)


def find_twin(items: list[torch.Tensor], i: int, twin: int, temperature: float = 1.0) -> float:
    """The cross-entropy of one item's twin among all others."""
    powers = [
        0.0 if j == i else math.exp(float(items[i] @ other) / temperature)
        for j, other in enumerate(items)
    ]
    return -math.log(powers[twin] / sum(powers))


def test_nt_xent_is_the_paper_s_sum() -> None:
    one, two = torch.randn(2, 5, 1, 7)
    views = [view.flatten() / view.norm() for view in (*one, *two)]
    losses = [find_twin(views, i, (i + 5) % 10, 0.3) for i in range(10)]
    found = NtXent(0.3)(one, two, everything(1, 5))
    assert found.item() == pytest.approx(sum(losses) / 10, rel=1e-5)


def test_nt_xent_is_least_where_twins_agree_and_others_do_not() -> None:
    one = torch.eye(4).unsqueeze(1)
    assert NtXent(0.1)(one, one, everything(1, 4)) < 1e-3
    assert NtXent(0.1)(one, one.roll(1, dims=0), everything(1, 4)) > 9


def by_loop(one: torch.Tensor, two: torch.Tensor, lengths: list[int], share: float) -> float:
    """Contrast over series and steps, scale by scale; series are lists of steps."""
    a, b = ([list(s[:n]) for s, n in zip(v, lengths, strict=True)] for v in (one, two))
    steps, scales = one.shape[1], []
    while True:
        series, times = [], []
        for t in range(steps):
            here = [i for i in range(len(a)) if t < len(a[i])]
            items = [a[i][t] for i in here] + [b[i][t] for i in here]
            n = len(here)
            series += [find_twin(items, k, (k + n) % (2 * n)) for k in range(2 * n)]
        for left, right in zip(a, b, strict=True):
            n = len(left)
            items = [*left, *right]
            times += [find_twin(items, k, (k + n) % (2 * n)) for k in range(2 * n)]
        scales.append(share * sum(series) / len(series))
        if steps == 1:
            return sum(scales) / len(scales)
        scales[-1] += (1 - share) * sum(times) / len(times)
        a, b, steps = [halved(s, steps) for s in a], [halved(s, steps) for s in b], steps // 2


def halved(series: list[torch.Tensor], steps: int) -> list[torch.Tensor]:
    series = series[: steps // 2 * 2]
    return [torch.stack(series[t : t + 2]).amax(dim=0) for t in range(0, len(series), 2)]


@pytest.mark.parametrize("lengths", [[7, 7, 7], [7, 4, 1]])
def test_the_contrast_of_scales_is_that_of_a_plain_loop(lengths: list[int]) -> None:
    one, two = torch.randn(2, 3, 7, 4)
    real = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    found = ScaleContrast(0.3)(one, two, real)
    assert found.item() == pytest.approx(by_loop(one, two, lengths, 0.3), rel=1e-4)


def test_what_is_padding_changes_nothing() -> None:
    one, two = torch.randn(2, 2, 6, 4)
    real = torch.arange(6) < torch.tensor([6, 3]).unsqueeze(1)
    before = ScaleContrast()(one, two, real)
    one[1, 3:] = 99.0
    torch.testing.assert_close(ScaleContrast()(one, two, real), before, atol=0, rtol=0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [NtXent(), ScaleContrast()])
def test_half_precision_is_precise_enough(loss: torch.nn.Module, kind: torch.dtype) -> None:
    one, two = torch.randn(2, 4, 6, 8)
    real = torch.arange(6) < torch.tensor([[6], [3], [5], [1]])
    wanted = loss(one, two, real)
    with torch.autocast("cpu", dtype=kind):
        torch.testing.assert_close(loss(one, two, real), wanted)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        NtXent(0)
    with pytest.raises(ValueError, match="series=1.0"):
        ScaleContrast(1.0)
    with pytest.raises(InputError, match="type model/attention=steps, and model.cnn.pool=1"):
        ScaleContrast()(torch.randn(3, 1, 4), torch.randn(3, 1, 4), everything(7))
