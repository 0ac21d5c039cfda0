"""The parts a forecast needs: normalisation, segments, conditioned queries, horizon."""

import pytest
import torch

from seqfuse.config import build
from seqfuse.nn.attention import Conditioned
from seqfuse.nn.cnn import SegmentConv
from seqfuse.nn.heads import HorizonHead
from seqfuse.nn.masking import to_segments
from seqfuse.nn.net import Net
from seqfuse.nn.revin import RevIN
from tests.conftest import composed


def net(*overrides: str, channels: int = 3, targets: int = 3, known: int = 0) -> Net:
    sizes = [f"data.channels={channels}", f"data.num_targets={targets}", f"data.num_known={known}"]
    small = ["data.look_back=24", "data.horizon=10", "model.segment_size=4"]
    recipe = composed(["data=ett", *small, *sizes, *overrides])
    return build.build_net(build.resolve(recipe)["model"]).double().eval()


def real(x: torch.Tensor, steps: int | None = None) -> torch.Tensor:
    return (torch.arange(x.shape[1]) < (steps or x.shape[1])).expand(len(x), -1)


@pytest.mark.parametrize("norm", ["last", "instance", "none"])
def test_normalisation_undoes_what_it_did(norm: str) -> None:
    revin = RevIN(5, num_targets=3, horizon=4, segment_size=2, norm=norm)
    x = torch.randn(2, 6, 5, dtype=torch.float64) * 7 + 3
    inside = revin.normalize(x, real(x))
    assert inside.x.shape == (6, 6, 3)
    back = revin.denormalize(inside.x[:, :4, :1].unsqueeze(-1), inside)
    torch.testing.assert_close(back.squeeze(-1), x[:, :4, :3])


def test_last_value_is_subtracted_at_the_last_real_step() -> None:
    revin = RevIN(1, num_targets=1, horizon=4, segment_size=2)
    x = torch.arange(8.0).reshape(1, 8, 1)
    inside = revin.normalize(x, real(x, 5))
    # It lacks a segment and a half.
    assert inside.x[0, :6, 0].tolist() == [0, -4, -3, -2, -1, 0]
    assert inside.mask[0].tolist() == [True] * 6 + [False] * 2


def test_the_context_is_the_channel_and_what_is_known_of_each_segment() -> None:
    revin = RevIN(3, num_targets=2, num_known=1, horizon=5, segment_size=2)
    x = torch.zeros(1, 9, 3)
    x[0, 4:, 2] = torch.tensor([1.0, 2, 3, 4, 5])
    context = revin.normalize(x, real(x, 4)).context
    assert context is not None
    assert context.tolist() == [
        [[1, 0, 1, 2], [1, 0, 3, 4], [1, 0, 5, 0]],
        [[0, 1, 1, 2], [0, 1, 3, 4], [0, 1, 5, 0]],
    ]


def test_segments_are_cut_where_they_should() -> None:
    segments = SegmentConv(2, out_channels=3, segment_size=4).eval()
    x = torch.randn(1, 10, 2)
    out, mask = segments(x, real(x, 9))
    assert out.shape == (1, 3, 3)
    assert mask.tolist() == [[True, True, True]]
    first = torch.relu(segments.conv(x[:, :4].reshape(1, 8)))
    torch.testing.assert_close(out[:, 0], first)


def test_segments_end_where_those_of_a_whole_series_do() -> None:
    x = torch.arange(1.0, 11).repeat(3, 1).unsqueeze(2)
    mask = torch.arange(10) < torch.tensor([[10], [6], [3]])
    moved, real = to_segments(x * mask.unsqueeze(2), mask, 4)
    assert moved[..., 0].tolist() == [
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        [1, 2, 3, 4, 5, 6, 0, 0, 0, 0],  # lacks 4, a whole segment
        [0, 0, 0, 1, 2, 3, 0, 0, 0, 0],  # lacks 7, one segment and 3 steps
    ]
    assert real.sum(dim=1).tolist() == [10, 6, 6]


@pytest.mark.parametrize("norm", ["last", "instance", "none"])
@pytest.mark.parametrize("steps", [1, 7, 12, 23])
def test_what_is_masked_changes_no_forecast(norm: str, steps: int) -> None:
    """Nor does a longer look-back: the weights belong to segments, counted from the end."""
    model = net(f"model.normalization.norm={norm}", channels=4, targets=2, known=1)
    x = torch.randn(2, 34, 4, dtype=torch.float64)
    mask = (torch.arange(34) < steps).expand(2, -1)
    prediction, weights, *_ = model(x, mask)
    other = x.clone()
    other[:, steps:24] = torch.nan
    torch.testing.assert_close(model(other, mask).prediction, prediction)
    longer = torch.cat([x[:, :24], torch.full((2, 8, 4), torch.nan).double(), x[:, 24:]], dim=1)
    again = model(longer, (torch.arange(42) < steps).expand(2, -1))
    torch.testing.assert_close(again.prediction, prediction, atol=1e-10, rtol=0)
    seen = -(-(steps + (24 - steps) % 4) // 4)
    assert not weights[..., seen:].any()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones_like(weights[..., 0]))
    # Whole ones beside it change nothing, either.
    both = model(torch.cat([x, x]), torch.cat([mask, (torch.arange(34) < 24).expand(2, -1)]))
    torch.testing.assert_close(both.prediction[:2], prediction)


def test_queries_without_context_are_those_of_multi_head_attention() -> None:
    attention = Conditioned(8, num_heads=2, num_queries=3).eval()
    torch.nn.init.zeros_(attention.last.weight)
    torch.nn.init.zeros_(attention.last.bias)
    states = torch.randn(2, 5, 8)
    read, weights = attention(states, real(states, 4))
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3))
    assert torch.all(weights[..., 4] == 0)
    plain, _ = attention.look(attention.queries.unsqueeze(0), states, real(states, 4))
    torch.testing.assert_close(read, plain + attention.queries)


def test_each_query_gives_its_segment() -> None:
    head = HorizonHead(4, num_queries=3, horizon=8, quantiles=[0.1, 0.5, 0.9])
    queries = torch.randn(2, 3, 4)
    changed = queries.clone()
    changed[:, 1] += 1
    steps = (head(queries) != head(changed)).any(dim=-1)[0, :, 0]
    assert steps.tolist() == [False] * 3 + [True] * 3 + [False] * 2


def test_net_forecasts_every_target_alone() -> None:
    model = net()
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    prediction, weights, *_ = model(x, real(x))
    assert prediction.shape == (2, 10, 3, 7)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, dtype=torch.float64))
    other = x.clone()
    other[..., 0] += torch.randn(24, dtype=torch.float64)
    again = model(other, real(x)).prediction
    torch.testing.assert_close(again[:, :, 1:], prediction[:, :, 1:])
    assert (again[:, :, 0] != prediction[:, :, 0]).any()


def test_shifting_a_channel_shifts_its_forecast() -> None:
    model = net()
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    shift = torch.tensor([0.0, 5.0, -2.0], dtype=torch.float64)
    moved = model(x + shift, real(x)).prediction
    torch.testing.assert_close(moved, model(x, real(x)).prediction + shift[:, None])


def test_what_is_known_ahead_matters_and_masked_steps_of_others_do_not() -> None:
    model = net(channels=4, targets=1, known=2)
    x = torch.randn(2, 34, 4, dtype=torch.float64)
    prediction = model(x, real(x, 24)).prediction
    other = x.clone()
    other[:, 24:, :2] = float("nan")
    torch.testing.assert_close(model(other, real(x, 24)).prediction, prediction)
    other[:, 24:, 3] += 1
    assert (model(other, real(x, 24)).prediction != prediction).any()


@pytest.mark.parametrize(
    "overrides",
    [
        ["model/attention=mean"],
        ["model/attention=multihead"],
        ["model/cnn=none"],
        ["model/lstm=none"],
        ["model/normalization=none"],
        ["model/cnn=wide", "model/lstm=wide", "model/skip=mean"],
        ["model.normalization.norm=instance", "task/loss=squared"],
    ],
)
def test_parts_can_be_exchanged(overrides: list[str]) -> None:
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    outputs = 1 if "task/loss=squared" in overrides else 7
    assert net(*overrides)(x, real(x)).prediction.shape == (2, 10, 3, outputs)


def test_normalisation_and_head_cut_the_horizon_alike() -> None:
    """What is known of a step reaches the query that gives the step."""
    revin = RevIN(2, num_targets=1, num_known=1, horizon=10, segment_size=8)
    assert revin.num_queries == 2
    x = torch.zeros(1, 14, 2)
    x[0, 4:, 1] = torch.arange(1.0, 11)
    context = revin.normalize(x, real(x, 4)).context
    assert context is not None
    assert context[0, :, 1:].tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]


def test_a_code_narrows_what_a_query_can_say() -> None:
    head = HorizonHead(16, num_queries=2, horizon=12, num_targets=3, code_size=2)
    queries = torch.randn(50, 2, 16)
    steps = head(queries)[..., 0].reshape(50, 2, 18).reshape(100, 18)
    centred = steps - steps.mean(dim=0)
    assert head(queries).shape == (50, 12, 3, 1)
    assert torch.linalg.matrix_rank(centred, rtol=1e-4) == 2
