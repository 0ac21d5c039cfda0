"""Fusion stems: clocks by hand, padding, missing sources, what training leaves out."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from seqfuse.nn.attention import Additive, EachStep
from seqfuse.nn.cnn import Cnn
from seqfuse.nn.fusion import EarlyFusion, LateFusion
from seqfuse.nn.heads import ClassHead, TagHead
from seqfuse.nn.lstm import Lstm
from seqfuse.nn.masking import align, zero
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import CLOCK
from seqfuse.nn.stems import LinearStem

CHANNELS = {"phone": 3, "film": 2, "facts": 4}
STEPS = {CLOCK: 6, "phone": 9, "film": 4, "facts": 1}


class Pixels(nn.Module):
    """The smallest stem of frames: the mean over each image."""

    def __init__(self, in_channels: int, out_channels: int = 5):
        super().__init__()
        self.out_channels = out_channels
        self.mix = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        means = rearrange(x, "b t c h w -> b t c (h w)").mean(dim=-1)
        return zero(self.mix(means), mask), mask


STEMS = {
    "default": {"stem": partial(LinearStem, out_channels=5)},
    "film": {"stem": Pixels},
}
ENCODERS = {
    name: {
        **blocks,
        "cnn": partial(Cnn, channels=[8], pool=1, norm="batch"),
        "lstm": partial(Lstm, hidden_size=4, num_layers=1, bidirectional=True),
    }
    for name, blocks in STEMS.items()
}
KINDS: dict[str, Callable[..., nn.Module]] = {
    "early": partial(EarlyFusion, CHANNELS, STEMS),
    "sum": partial(EarlyFusion, CHANNELS, STEMS, join="sum"),
    "late": partial(LateFusion, CHANNELS, ENCODERS),
}
Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


def sources(size: int = 3, more: int = 0) -> Batch:
    """Items of unequal lengths; `more` steps of padding full of NaN at the end of each source."""
    generator = torch.Generator().manual_seed(0)
    shapes = {CLOCK: (0,), "phone": (3,), "film": (2, 4, 4), "facts": (4,)}
    x, mask = {}, {}
    for name, steps in STEPS.items():
        real = (torch.tensor([steps, max(steps - 2, 1), max(steps - 1, 1)]) * size // 3)[:size]
        values = torch.randn(size, steps, *shapes[name], generator=generator, dtype=torch.float64)
        x[name] = torch.cat([values, *[torch.full_like(values[:, :1], torch.nan)] * more], dim=1)
        mask[name] = torch.arange(steps + more) < real.unsqueeze(1)
    return x, mask


def net(kind: str, head: nn.Module | None = None, **options) -> Net:
    stem = KINDS[kind](**options).double()
    width: int = stem.out_channels  # type: ignore[assignment]
    blocks = {} if kind == "late" else {"cnn": Cnn(width, [8], pool=1), "lstm": Lstm(8, 4)}
    width = width if kind == "late" else 4
    attention = EachStep(width, num_heads=2)
    return Net(head or TagHead(width, num_classes=3), stem, attention=attention, **blocks).double()


def test_clocks_by_hand() -> None:
    x = torch.tensor([[0.0, 10.0, 20.0, 30.0], [4.0, 8.0, 99.0, 99.0]]).unsqueeze(2)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    clock = torch.tensor([[True, True, False], [True] * 3])
    found = align(x, mask, clock).squeeze(2)
    # Two steps lie at 1/4 and 3/4, which is between steps 0 and 1, and 2 and 3, of four.
    # Three lie at 1/6, 1/2 and 5/6; two steps at 1/4 and 3/4, and go on beyond.
    torch.testing.assert_close(found, torch.tensor([[5.0, 25.0, 0.0], [4.0, 6.0, 8.0]]))


def test_equal_clocks_change_nothing_and_one_step_is_everywhere() -> None:
    mask = torch.arange(7) < torch.tensor([7, 4]).unsqueeze(1)
    x = torch.randn(2, 7, 3) * mask.unsqueeze(2)
    assert torch.equal(align(x, mask, mask), x)
    one = align(x[:, :1], mask[:, :1], mask)
    assert torch.equal(one, x[:, :1].expand(-1, 7, -1) * mask.unsqueeze(2))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind: str) -> None:
    x, mask = sources()
    stem = KINDS[kind]().double()
    features, clock = stem(x, mask)
    assert features.shape == (3, 6, stem.out_channels)
    assert stem.out_channels == {"early": 18, "sum": 8, "late": 8}[kind]
    assert torch.equal(clock, mask[CLOCK])
    assert not features[~clock].any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind: str, training: bool) -> None:
    model = net(kind).train(training)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    few, many = (model(*sources(more=more)) for more in (0, 1))
    torch.testing.assert_close(many.prediction[:, :6], few.prediction, atol=1e-10, rtol=0)
    torch.testing.assert_close(many.weights[:, :6, :6], few.weights, atol=1e-10, rtol=0)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("gone", ["phone", "film", "facts"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_source_is_finite_and_its_garbage_unseen(
    kind: str, gone: str, training: bool
) -> None:
    model = net(kind).train(training)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x, mask = sources()
    mask[gone] = torch.zeros_like(mask[gone])
    blank = model(x, mask).prediction
    assert torch.isfinite(blank).all()
    x[gone] = torch.full_like(x[gone], torch.nan)
    assert torch.equal(model(x, mask).prediction, blank)
    del x[gone], mask[gone]
    assert torch.equal(model(x, mask).prediction, blank)


def test_late_fusion_is_the_mean_of_what_is_there() -> None:
    stem = KINDS["late"]().double().eval()
    x, mask = sources()
    every = [
        stem({k: x[k] for k in (CLOCK, name)}, {k: mask[k] for k in (CLOCK, name)})[0]
        for name in CHANNELS
    ]
    torch.testing.assert_close(stem(x, mask)[0], torch.stack(every).mean(dim=0))
    mask["film"][0] = False
    found = stem(x, mask)[0]
    torch.testing.assert_close(found[0], (every[0][0] + every[2][0]) / 2)


def test_training_leaves_sources_out_but_never_all() -> None:
    stem = KINDS["early"](source_dropout=0.7)
    there = torch.tensor([[True, True, True], [False, True, True], [False, False, True]])
    kept = torch.stack([stem._drop(there) for _ in range(600)])
    assert kept.any(dim=2).all()
    assert not (kept & ~there).any()
    assert kept[:, 2, 2].all()
    # Each of three stays with probability 0.3, or as the one that is kept: 0.343 / 3.
    assert kept[:, 0].float().mean().item() == pytest.approx(0.3 + 0.343 / 3, abs=0.04)
    torch.manual_seed(3)
    again = stem._drop(there)
    torch.manual_seed(3)
    assert torch.equal(stem._drop(there), again)
    assert torch.equal(stem.eval()._drop(there), there)


def test_what_is_left_out_leaves_norms_alone() -> None:
    stem = LateFusion({"phone": 3, "facts": 3}, ENCODERS, source_dropout=0.9)
    norm = next(m for m in stem.sources["facts"].modules() if isinstance(m, nn.BatchNorm1d))
    x = {"phone": torch.randn(2, 5, 3), "facts": torch.full((2, 5, 3), torch.nan)}
    mask = {"phone": torch.ones(2, 5).bool(), "facts": torch.zeros(2, 5).bool()}
    stem(x, mask)
    assert torch.isfinite(stem(x, mask)[0]).all()
    assert not norm.running_mean.any()  # type: ignore[union-attr]


def test_the_first_source_may_be_the_clock() -> None:
    x, mask = sources()
    del x[CLOCK], mask[CLOCK]
    stem = KINDS["early"]().double()
    assert torch.equal(stem(x, mask)[1], mask["phone"])


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_one_batch_is_overfitted(kind: str) -> None:
    x, mask = sources()
    y = torch.arange(6).expand(3, -1) % 3
    model = net(kind, source_dropout=0.0).eval()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, mask).prediction[mask[CLOCK]], y[mask[CLOCK]])
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_one_label_for_all_sources() -> None:
    stem = KINDS["early"]().double()
    head = ClassHead(int(stem.out_channels), num_classes=2)
    model = Net(head, stem, attention=Additive(int(stem.out_channels))).double()
    assert model(*sources()).prediction.shape == (3, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyFusion({}, STEMS), "names no source"),
        (lambda: EarlyFusion({"a": 1}, {"b": STEMS["default"]}), "has neither a nor default"),
        (lambda: EarlyFusion(CHANNELS, STEMS, source_dropout=1.0), "source_dropout=1.0 must be"),
        (lambda: EarlyFusion(CHANNELS, STEMS, join="mean"), "join='mean' must be one of"),
        (
            lambda: LateFusion(
                CHANNELS, {**STEMS, "film": {"stem": partial(Pixels, out_channels=6)}}
            ),
            r"sources have \[5, 6, 5\] features",
        ),
    ],
)
def test_options_out_of_range(make: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
