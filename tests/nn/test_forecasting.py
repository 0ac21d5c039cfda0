"""The parts a forecast needs: normalisation, segments, conditioned queries, horizon."""

import pytest
import torch
from sklearn.linear_model import Ridge

from seqfuse.config import build, recipes
from seqfuse.nn.attention import Conditioned
from seqfuse.nn.bank.lags import PULLS, LagBank
from seqfuse.nn.cnn import SegmentConv
from seqfuse.nn.heads import Autoregression, HorizonHead, lags
from seqfuse.nn.masking import to_segments
from seqfuse.nn.net import Net
from seqfuse.nn.revin import RevIN
from seqfuse.nn.shapes import Batch
from tests.conftest import composed


def net(*overrides: str, channels: int = 3, targets: int = 3, known: int = 0) -> Net:
    sizes = [f"data.channels={channels}", f"data.num_targets={targets}", f"data.num_known={known}"]
    small = ["data.look_back=24", "data.horizon=10", "model.segment_size=4"]
    recipe = composed(["data=ett", *small, *sizes, *overrides])
    return build.build_net(recipes.resolve(recipe)["model"]).double().eval()


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


@pytest.mark.long
@pytest.mark.parametrize(
    "overrides",
    [
        ["model/attention=mean"],
        ["model/attention=multihead"],
        ["model/cnn=none"],
        ["model/lstm=none"],
        ["model/normalization=none"],
        ["model/autoregression=none"],
        ["model/autoregression=low_rank"],
        ["model/autoregression=decomposed"],
        ["model/bank=none"],
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


def silent(model: Net) -> Net:
    """The same net, whose head gives 0."""
    for parameter in model.head.parameters():
        torch.nn.init.zeros_(parameter)
    return model


@pytest.mark.parametrize("part", ["autoregression", "bank"])
def test_with_the_net_off_the_linear_parts_are_linear_models(part: str) -> None:
    other = {"autoregression": "bank", "bank": "autoregression"}[part]
    share = ["model.bank.share=1.0"] if part == "bank" else []
    factor = ["model.autoregression.lr_factor=1.0"] if part == "autoregression" else []
    model = silent(net(f"model/{other}=none", *share, *factor))
    linear = torch.nn.Linear(24, 10, bias=False).double()
    # The first column of weights is that of the last step.
    getattr(model, part).weight.data = linear.weight.data.flip(1)
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    series = x.transpose(1, 2)
    last = series[..., -1:]
    expected = (linear(series - last) + last).transpose(1, 2)
    prediction = model(x, real(x)).prediction
    torch.testing.assert_close(prediction, expected.unsqueeze(-1).expand_as(prediction))


@pytest.mark.long
def test_training_begins_with_the_net_alone() -> None:
    x = torch.randn(2, 24, 3, dtype=torch.float64)
    torch.manual_seed(0)
    alone = net("model/autoregression=none", "model/bank=none", "model.lstm.dropout=0.0")
    torch.manual_seed(0)
    both = net("model.lstm.dropout=0.0").train()
    both.attention.eval()
    assert torch.equal(both(x, real(x)).prediction, alone(x, real(x)).prediction)


def test_lags_of_whole_series_are_those_of_a_mask() -> None:
    x = torch.randn(2, 5, 3)
    padded = torch.cat([x, torch.full((2, 2, 3), torch.nan)], dim=1)
    for count in (1, 4, 5, 8):
        whole = lags(x, real(x), count)
        assert torch.equal(whole, lags(padded, real(padded, 5), count))
        assert whole.shape == (2, 3, count)
        assert torch.equal(whole[..., 0], x[:, -1])


def linear_parts() -> list[tuple[torch.nn.Module, torch.Tensor]]:
    parts = [Autoregression(6, 2, num_targets=2), LagBank(3, 6, 2, num_targets=2)]
    for part in parts:
        part.weight.data.normal_()
    return [(part, part.weight) for part in parts]


def test_linear_parts_keep_to_the_lags_of_real_steps() -> None:
    for part, weight in linear_parts():
        x = torch.randn(1, 9, 3)
        x[:, [3, 8]] = 0.0  # the last values, which the bank subtracts
        short = part(x[:, :4], real(x[:, :4]))
        padded = torch.cat([x[:, :4], torch.full((1, 3, 3), float("nan"))], dim=1)
        torch.testing.assert_close(part(padded, real(padded, 4)), short)
        expected = weight[:, :4] @ x[0, :4, 1].flip(0)
        torch.testing.assert_close(short[0, :, 1, 0], expected)
        torch.testing.assert_close(part(x, real(x)), part(x[:, 3:], real(x[:, 3:])))


def test_linear_parts_read_the_targets_alone() -> None:
    for part, _ in linear_parts():
        x = torch.randn(3, 6, 4)
        assert part(x, real(x)).shape == (3, 2, 2, 1)
        other = x.clone()
        other[..., 2:] += 1
        assert torch.equal(part(other, real(x)), part(x, real(x)))


@pytest.mark.parametrize("lr_factor", [1.0, 0.2])
def test_the_learning_rate_of_an_autoregression_is_a_fraction(lr_factor: float) -> None:
    part = Autoregression(look_back=6, horizon=2, lr_factor=lr_factor)
    optimizer = torch.optim.Adam(part.parameters(), lr=1e-2)
    x = torch.randn(3, 6, 1)
    (part(x, real(x)) * torch.randn(3, 2, 1, 1)).sum().backward()
    optimizer.step()
    step = (lr_factor * part.weight).abs()
    torch.testing.assert_close(step, torch.full((2, 6), lr_factor * 1e-2), rtol=1e-4, atol=0)


def test_a_learning_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="lr_factor=0.0 must be above 0"):
        Autoregression(look_back=6, horizon=2, lr_factor=0.0)


def test_a_bank_and_a_net_meet_in_the_middle() -> None:
    bank = LagBank(1, 6, 2, share=0.25)
    quantiles = torch.tensor([1.0, 4.0, 5.0]).expand(3, 2, 1, 3)
    joined = bank.join(quantiles, torch.full((3, 2, 1, 1), 8.0))
    assert joined[0, 0, 0].tolist() == [2.0, 5.0, 6.0]


def windows(lags: torch.Tensor, ahead: torch.Tensor, last: float = 7.0) -> list[Batch]:
    """Series with these lags, the last step first, and what comes behind; in two batches."""
    x = torch.cat([lags.flip(1), torch.zeros(len(lags), 1)], dim=1).unsqueeze(2) + last
    y = ahead.unsqueeze(2) + last
    cut = len(x) // 3
    return [
        Batch(x[part], real(x[part]), y[part], torch.arange(len(x[part])))
        for part in (slice(cut), slice(cut, None))
    ]


def test_a_bank_of_lags_is_a_ridge_regression() -> None:
    bank = LagBank(1, 6, 2, penalties=[0.3]).double()
    lags, ahead = torch.randn(40, 5), torch.randn(40, 2)
    ahead += lags[:, :2]
    whole = torch.cat([torch.zeros(40, 1), lags], dim=1).double()  # the last value is its own lag
    penalty, error = bank.fit(windows(lags, ahead), windows(lags, ahead))
    alpha = 0.3 * float(whole.square().sum(dim=0).mean())
    ridge = Ridge(alpha=alpha, fit_intercept=False).fit(whole, ahead)
    torch.testing.assert_close(bank.weight, torch.from_numpy(ridge.coef_), atol=1e-6, rtol=1e-5)
    rest = (torch.from_numpy(ridge.predict(whole)) - ahead).square().mean()
    share = float(rest / ahead.square().mean())
    assert (penalty, error) == (0.3, pytest.approx(share, rel=1e-5))
    assert bank.is_fitted


def test_held_out_windows_choose_the_penalty() -> None:
    """Of noise the largest, of what follows exactly the smallest; none where nothing helps."""
    lags = torch.randn(30, 5)
    exact = lags[:, :2].clone()
    noisy = exact + 3 * torch.randn(30, 2)
    for ahead, expected in ((exact, 0.01), (noisy, 1.0)):
        bank = LagBank(1, 6, 2, penalties=[0.01, 0.1, 1.0])
        assert bank.fit(windows(lags, ahead), windows(lags, exact))[0] == expected
    worse = LagBank(1, 6, 2)
    assert worse.fit(windows(lags, exact), windows(lags, -exact)) == (0.0, 1.0)
    assert not worse.weight.any()
    still = LagBank(1, 6, 2)
    assert still.fit(windows(0 * lags, exact), windows(lags, exact)) == (0.0, 1.0)


def beside(*series: list[Batch]) -> list[Batch]:
    """Windows of several targets, of those of each."""
    return [
        Batch(torch.cat([b.x for b in rows], 2), rows[0].mask,
              torch.cat([b.y for b in rows], 2), rows[0].index)
        for rows in zip(*series, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("max_own", [1, 2])
def test_targets_have_weights_of_their_own(max_own: int) -> None:
    """Unless there are too many: then all share theirs, which say nothing of opposites."""
    lags = torch.randn(60, 5)
    ahead = lags[:, :2].clone()
    both = beside(windows(lags, ahead), windows(lags, -ahead))
    bank = LagBank(2, 6, 2, num_targets=2, max_own=max_own)
    _, error = bank.fit(both, both)
    assert len(bank.own) == (2 if max_own == 2 else 0)
    assert error < 0.3 if max_own == 2 else error > 0.9
    if max_own == 2:
        forecast = bank(both[0].x, both[0].mask).squeeze(3) - 7
        assert (forecast * (both[0].y - 7)).mean() > 0.5
        torch.testing.assert_close(forecast[..., 0], -forecast[..., 1], atol=1e-4, rtol=0)


def test_a_target_shares_its_weights_where_its_own_are_no_better() -> None:
    lags = torch.randn(60, 5)
    ahead = lags[:, :2].clone()
    learnt = beside(windows(lags, ahead), windows(lags, -ahead))
    reversed_ = beside(windows(lags, -ahead), windows(lags, ahead))
    bank = LagBank(2, 6, 2, num_targets=2, max_own=2)
    bank.fit(learnt, reversed_)
    assert not bank.own.any()


def test_own_weights_are_drawn_to_those_of_all() -> None:
    """In closed form: those of all, and what a stronger ridge regression makes of their errors."""
    lags, ahead = torch.randn(2, 50, 5), torch.randn(2, 50, 2)
    ahead += lags[..., :2]
    ahead[1] += 2 * lags[1, :, 3:]
    both = beside(*(windows(*pair) for pair in zip(lags, ahead, strict=True)))
    bank = LagBank(2, 6, 2, num_targets=2, penalties=[0.3], max_own=2).double()
    bank.fit(both, both)
    whole = torch.cat([torch.zeros(2, 50, 1), lags], dim=2).double()
    alpha = 0.3 * float(whole.square().sum(dim=(0, 1)).mean())
    rows, targets = whole.flatten(0, 1), ahead.double().flatten(0, 1)
    shared = Ridge(alpha=alpha, fit_intercept=False).fit(rows, targets)
    torch.testing.assert_close(bank.weight, torch.from_numpy(shared.coef_), atol=1e-6, rtol=1e-5)
    for own, seen, future in zip(bank.own, whole, ahead.double(), strict=True):
        left = future - seen @ bank.weight.T
        pull = PULLS[0] * float(seen.square().sum(dim=0).mean())  # judged by what it was fitted to
        ridge = Ridge(alpha=pull, fit_intercept=False).fit(seen, left)
        torch.testing.assert_close(own, torch.from_numpy(ridge.coef_), atol=1e-6, rtol=1e-5)


def test_forecasts_from_parts_of_the_look_back_are_averaged() -> None:
    lags, ahead = torch.randn(40, 5), torch.randn(40, 2)
    ahead += lags[:, :2]
    both = windows(lags, ahead)
    banks = [LagBank(1, size, 2).double() for size in (6, 3)]
    mixed = LagBank(1, 6, 2, fractions=[1.0, 0.5]).double()
    for bank in (*banks, mixed):
        bank.fit(both, both)
    forecasts = [bank(batch.x, batch.mask) for bank in banks for batch in both[:1]]
    expected = torch.stack(forecasts).mean(dim=0)
    torch.testing.assert_close(mixed(both[0].x, both[0].mask), expected)


def test_what_is_missing_behind_a_window_is_not_learnt_from() -> None:
    lags = torch.randn(30, 5)
    ahead = lags[:, :2].clone()
    with_gaps, without = LagBank(1, 6, 2), LagBank(1, 6, 2)
    gaps = ahead.clone()
    gaps[3, 1] = gaps[20, 0] = float("nan")
    kept = [row for row in range(30) if row not in (3, 20)]
    with_gaps.fit(windows(lags, gaps), windows(lags, gaps))
    without.fit(windows(lags[kept], ahead[kept]), windows(lags[kept], ahead[kept]))
    torch.testing.assert_close(with_gaps.weight, without.weight)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"penalties": []}, "penalties"),
        ({"penalties": [0.1, -1.0]}, "penalties"),
        ({"fractions": []}, "fractions"),
        ({"fractions": [1.0, 1.5]}, "fractions"),
        ({"max_own": -1}, "max_own"),
        ({"share": 1.5}, "share"),
        ({"look_back": 0}, "look_back"),
        ({"num_targets": 2}, "num_targets"),
    ],
)
def test_a_bank_of_lags_that_cannot_be_is_refused(options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}="):
        LagBank(**{"in_channels": 1, "look_back": 6, "horizon": 2} | options)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_a_bank_takes_the_share_that_held_out_errors_call_for(share: float) -> None:
    """As the share of the least error of many that are tried."""
    net, bank, target = torch.randn(3, 200, 2, 1, 1).double()
    net, bank = target + 0.3 * net, target + bank + 0.2 * net
    joined = LagBank(1, 6, 2, share=share)

    def error(of: torch.Tensor) -> float:
        return float((of - target).square().mean())

    tried = [error(part * bank + (1 - part) * net) for part in torch.linspace(0, 1, 1001)]
    found = joined.weigh(error(net), error(bank), error(joined.join(net, bank)))
    assert found == pytest.approx(min(tried), rel=1e-5)
    assert error(joined.join(net, bank)) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize(
    ("net", "bank", "both"),
    [(1.0, 1.0, 0.9), (1.0, 0.9, 0.92), (1.0, 1.0, 1.0), (float("nan"), 1.0, 1.0), (0.0, 0.0, 0.0)],
)
def test_a_bank_keeps_its_share_where_no_other_is_clearly_better(
    net: float, bank: float, both: float
) -> None:
    joined = LagBank(1, 6, 2)
    assert joined.weigh(net, bank, both) is None
    assert joined.fitted_share == 0.5


def test_a_part_that_is_alone_stays_alone() -> None:
    for share in (0.0, 1.0):
        assert LagBank(1, 6, 2, share=share).weigh(1.0, 3.0, 1.0) is None
