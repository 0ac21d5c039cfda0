"""Linear parts of a forecast: of low rank, of a trend and what it leaves, and behind a cycle."""

import math

import pytest
import torch

from seqfuse.nn.heads import Autoregression, Cycle, Decomposed, LowRank

LOOK_BACK, HORIZON, PERIOD = 9, 4, 5


def clock(first: int, steps: int) -> torch.Tensor:
    """Sine and cosine of places in the cycle, from one on."""
    angles = torch.arange(first, first + steps, dtype=torch.float64) * (2 * math.pi / PERIOD)
    return torch.stack([angles.sin(), angles.cos()], dim=1)


def parts(targets: int = 1, series: int = 1) -> dict[str, torch.nn.Module]:
    sizes = {"look_back": LOOK_BACK, "horizon": HORIZON, "num_targets": targets}
    return {
        "low_rank": LowRank(**sizes, rank=3).double(),
        "decomposed": Decomposed(**sizes, window=3).double(),
        "cycle": Cycle(**sizes, period=PERIOD, num_series=series).double(),
    }


def random(part: torch.nn.Module) -> torch.nn.Module:
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter)
    return part


def series(batch: int, steps: int, channels: int, first: int = 3) -> torch.Tensor:
    """Channels, and behind them the clock; the last step of each is 0, as normalisation has it."""
    values = torch.randn(batch, steps, channels, dtype=torch.float64)
    values[:, -1] = 0.0
    return torch.cat([values, clock(first, steps).expand(batch, -1, -1)], dim=2)


def real(x: torch.Tensor, steps: int) -> torch.Tensor:
    return (torch.arange(x.shape[1]) < steps).expand(len(x), -1)


@pytest.mark.parametrize("name", parts())
def test_training_begins_with_the_net_alone(name: str) -> None:
    x = series(2, 12, 1)
    assert not parts()[name](x, real(x, 12)).any()


@pytest.mark.parametrize("name", parts())
@pytest.mark.parametrize("steps", [1, 6, 12])
def test_padding_changes_nothing(name: str, steps: int) -> None:
    part = random(parts(targets=2, series=2)[name])
    x = series(3, steps, 2)
    padded = torch.cat([x, torch.full((3, 5, 4), torch.nan, dtype=torch.float64)], dim=1)
    wanted = part(x, real(x, steps))
    assert wanted.shape == (3, HORIZON, 2, 1)
    torch.testing.assert_close(part(padded, real(padded, steps)), wanted, atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", parts())
def test_lags_beyond_the_look_back_are_not_read(name: str) -> None:
    part = random(parts()[name])
    x = series(2, 14, 1)
    other = x.clone()
    other[:, : 14 - LOOK_BACK, 0] += 1
    assert torch.equal(part(x, real(x, 14)), part(other, real(x, 14)))


def test_a_low_rank_is_that_of_a_product() -> None:
    part, plain = random(parts()["low_rank"]), Autoregression(LOOK_BACK, HORIZON).double()
    plain.weight.data = part.steps @ part.sums  # type: ignore[operator]
    x = series(2, 12, 1)
    torch.testing.assert_close(part(x, real(x, 12)), plain(x, real(x, 12)))
    assert torch.linalg.matrix_rank(plain.weight) == 3


@pytest.mark.parametrize("steps", [6, 12])
def test_a_trend_and_what_it_leaves_have_weights_of_their_own(steps: int) -> None:
    part = random(parts()["decomposed"])
    x = series(2, steps, 1)
    wanted = torch.zeros(2, HORIZON, dtype=torch.float64)
    for row in range(2):
        seen = x[row, -LOOK_BACK:, 0].flip(0).tolist()
        for lag, value in enumerate(seen):
            near = seen[max(lag - 1, 0) : lag + 2]
            trend = sum(near) / len(near)
            wanted[row] += part.trend[:, lag] * trend + part.remainder[:, lag] * (value - trend)
    torch.testing.assert_close(part(x, real(x, steps))[..., 0, 0], wanted)


def test_a_trend_of_equal_weights_is_a_plain_autoregression() -> None:
    part, plain = random(parts()["decomposed"]), Autoregression(LOOK_BACK, HORIZON).double()
    plain.weight.data = part.remainder.data = part.trend.data
    x = series(2, 12, 1)
    torch.testing.assert_close(part(x, real(x, 12)), plain(x, real(x, 12)))


@pytest.mark.parametrize("first", [0, 3, 23])
@pytest.mark.parametrize("steps", [6, 12])
def test_a_cycle_is_taken_off_and_added_again(first: int, steps: int) -> None:
    """Two series folded into the batch, each with a cycle of its own."""
    part = random(parts(series=2)["cycle"])
    x = series(4, steps, 1, first)
    wanted = torch.zeros(4, HORIZON, dtype=torch.float64)
    for row in range(4):
        cycle = part.cycle[row % 2]
        now = cycle[(first + steps - 1) % PERIOD]
        for lag in range(min(LOOK_BACK, steps)):
            place = first + steps - 1 - lag
            rest = x[row, steps - 1 - lag, 0] - (cycle[place % PERIOD] - now)
            wanted[row] += part.weight[:, lag] * rest
        for step in range(HORIZON):
            wanted[row, step] += cycle[(first + steps + step) % PERIOD] - now
    torch.testing.assert_close(part(x, real(x, steps))[..., 0, 0], wanted)


def test_a_series_that_repeats_is_learnt_without_any_lag() -> None:
    part = parts()["cycle"]
    values = torch.tensor([2.0, -1.0, 0.5, 3.0, -2.0], dtype=torch.float64)
    part.cycle.data = values.unsqueeze(0) + 7
    x = series(1, 12, 1, first=0)
    last = values[11 % PERIOD]
    x[0, :, 0] = values[torch.arange(12) % PERIOD] - last
    expected = values[(12 + torch.arange(HORIZON)) % PERIOD] - last
    torch.testing.assert_close(part(x, real(x, 12))[0, :, 0, 0], expected)


def test_targets_side_by_side_have_the_cycles_of_folded_ones() -> None:
    beside, folded = parts(targets=2, series=2)["cycle"], random(parts(series=2)["cycle"])
    beside.load_state_dict(folded.state_dict())
    x = series(3, 12, 2)
    rows = torch.stack([x[..., [0, 2, 3]], x[..., [1, 2, 3]]], dim=1).flatten(0, 1)
    expected = folded(rows, real(rows, 12)).reshape(3, 2, HORIZON).transpose(1, 2)
    torch.testing.assert_close(beside(x, real(x, 12)).squeeze(3), expected)


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        (LowRank, {"rank": 0}, "rank=0"),
        (Decomposed, {"window": 4}, "window=4"),
        (Cycle, {"period": 0, "num_series": 1}, "period=0"),
        (Cycle, {"period": 24, "num_series": 3, "num_targets": 2}, "num_series=3"),
    ],
)
def test_what_cannot_be_is_refused(kind: type, options: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        kind(**{"look_back": 6, "horizon": 2} | options)
