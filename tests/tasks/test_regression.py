"""Numbers of items: head, losses, metrics against scikit-learn's, intervals, one batch by heart."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)
from torch import Tensor

from seqfuse.nn.attention import Mean
from seqfuse.nn.heads import NumberHead
from seqfuse.nn.net import Net
from seqfuse.nn.shapes import Batch
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Conformal, PointConformal
from seqfuse.tasks.losses import Pinball, SquaredError
from seqfuse.tasks.metrics import (
    R2,
    Coverage,
    Crps,
    EachTarget,
    Metric,
    PointError,
    RootMeanSquaredError,
)
from seqfuse.tasks.schedules import Constant


def value(metric: Metric, *batches: tuple[Tensor, Tensor]) -> float:
    for preds, target in batches:
        metric.update(preds, target)
    return float(metric.compute())


def test_metrics_are_those_of_scikit_learn() -> None:
    y = torch.randn(60, 2) + torch.tensor([50.0, 0.0])
    y[3, 0] = y[40, 1] = torch.nan
    prediction = (y.nan_to_num() + torch.randn(60, 2)).unsqueeze(-1)
    batches = list(zip(prediction.split(17), y.split(17), strict=True))
    pairs = []
    for target, preds in zip(y.T, prediction[..., 0].T, strict=True):
        observed = ~target.isnan()
        pairs.append((target[observed].numpy(), preds[observed].numpy()))
    wanted = np.mean([r2_score(*pair) for pair in pairs])
    assert value(R2(), *batches) == pytest.approx(wanted, rel=1e-5)
    both = [np.concatenate(part) for part in zip(*pairs, strict=True)]
    wanted = root_mean_squared_error(both[0], both[1])
    assert value(RootMeanSquaredError(), *batches) == pytest.approx(wanted, rel=1e-5)


def test_r2_of_one_value_alone_is_undefined() -> None:
    y = torch.full((5, 1), 3.0)
    assert np.isnan(value(R2(), (torch.randn(5, 1, 1), y)))
    task = Task(torch.nn.Linear(1, 1), SquaredError(), {"r2": R2()}, torch.optim.Adam, Constant())
    assert task.undefined("r2") == R2.undefined


def test_intervals_hold_their_fraction() -> None:
    levels = [0.1, 0.5, 0.9]
    torch.manual_seed(0)
    y, guess = torch.randn(4000, 2), torch.tensor([-0.1, 0.0, 0.1]).expand(4000, 2, 3)
    conformal = Conformal(levels, [2])
    conformal.update(guess[:2000], y[:2000])
    conformal.fit()
    coverage = value(Coverage(levels, 0.8), (conformal(guess[2000:]), y[2000:]))
    assert coverage == pytest.approx(0.8, abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize("quantiles", [[0.5], [0.1, 0.5, 0.9]])
def test_one_batch_is_overfitted(quantiles: list[float]) -> None:
    loss = SquaredError() if len(quantiles) == 1 else Pinball(quantiles)
    net = Net(NumberHead(6, num_targets=2, quantiles=quantiles), attention=Mean(6))
    x, mask = torch.randn(4, 5, 6), torch.ones(4, 5, dtype=torch.bool)
    batch = Batch(x, mask, torch.randn(4, 2), torch.arange(4))
    task = Task(net, loss, {"mse": PointError(2)}, torch.optim.Adam, Constant())
    assert net(x, mask).prediction.shape == (4, 2, len(quantiles))
    optimizer = torch.optim.Adam(net.parameters(), 0.03)
    for _ in range(600):
        optimizer.zero_grad()
        task.training_step(batch, 0).backward()
        optimizer.step()
    assert task.training_step(batch, 0) < 0.02


def test_ranges() -> None:
    with pytest.raises(ValueError, match="num_targets=0"):
        NumberHead(6, num_targets=0)
    with pytest.raises(ValueError, match="quantiles=0"):
        NumberHead(6, quantiles=[])


def test_errors_are_in_the_user_s_units_of_each_target() -> None:
    deviations, names = [10.0, 0.5], ["a", "b"]
    y = torch.randn(60, 2)
    y[3, 0] = y[40, 1] = torch.nan
    prediction = (y.nan_to_num() + torch.randn(60, 2)).unsqueeze(-1)
    batches = list(zip(prediction.split(17), y.split(17), strict=True))
    metric = EachTarget(names, deviations)
    for batch in batches:
        metric.update(*batch)
    found = {name: float(number) for name, number in metric.compute().items()}
    errors = []
    for k, name in enumerate(names):
        rows = ~y[:, k].isnan()
        pair = [(part[rows, k] * deviations[k]).numpy() for part in (y, prediction[..., 0])]
        assert found[f"mse_{name}"] == pytest.approx(mean_squared_error(*pair), rel=1e-5)
        assert found[f"mae_{name}"] == pytest.approx(mean_absolute_error(*pair), rel=1e-5)
        assert found[f"r2_{name}"] == pytest.approx(r2_score(*pair), rel=1e-5)
        errors.append(np.abs(pair[0] - pair[1]))
    wanted = np.concatenate(errors)
    assert value(PointError(1, deviations), *batches) == pytest.approx(wanted.mean(), rel=1e-5)
    rmse = value(RootMeanSquaredError(deviations), *batches)
    assert rmse == pytest.approx(np.sqrt((wanted**2).mean()), rel=1e-5)
    crps = value(Crps([0.5], deviations), *batches)
    assert crps == pytest.approx(wanted.mean(), rel=1e-5)
    one = EachTarget(["a"], [10.0])
    one.update(prediction[:, :1], y[:, :1])
    assert one.compute() == {}
    nothing = EachTarget(names, deviations)
    nothing.update(prediction, torch.stack([torch.ones(60), torch.full((60,), torch.nan)], 1))
    assert set(nothing.compute()) == {"mse_a", "mae_a"}


def test_bands_around_a_point_hold_their_fraction() -> None:
    levels = [0.05, 0.5, 0.95]
    conformal, guess = PointConformal(levels, [2]), torch.zeros(4000, 2, 1)
    y = torch.randn(4000, 2) * torch.tensor([1.0, 5.0])
    assert conformal(guess).equal(guess)  # as nothing was held out
    assert np.isnan(value(Coverage(levels, 0.9), (conformal(guess), y)))
    conformal.update(guess[:2000], y[:2000])
    conformal.fit()
    band = conformal(guess[2000:])
    assert value(Coverage(levels, 0.9), (band, y[2000:])) == pytest.approx(0.9, abs=0.02)
    assert (band[..., 1] == 0).all()
    assert (band[..., 0] == -band[..., 2]).all()
    assert (band[0, 1, 2] / band[0, 0, 2]).item() == pytest.approx(5, rel=0.1)
    other = PointConformal(levels, [2])
    other.load_state_dict(conformal.state_dict())
    assert other(guess).equal(conformal(guess))


def test_a_target_of_one_value_has_no_r2_after_scaling() -> None:
    y = torch.full((100, 1), 0.1234567) / 0.7
    assert np.isnan(value(R2(), (torch.randn(100, 1, 1), y)))


def test_a_target_that_was_never_observed_has_no_band() -> None:
    conformal = PointConformal([0.05, 0.5, 0.95], [2])
    y = torch.randn(50, 2)
    y[:, 1] = torch.nan
    conformal.update(torch.zeros(50, 2, 1), y)
    conformal.fit()
    assert conformal.fitted
    low, point, high = conformal(torch.zeros(3, 2, 1)).unbind(dim=-1)
    assert (low[:, 0] < point[:, 0]).all()
    assert (point == 0).all()
    assert low[:, 1].isnan().all()
    assert high[:, 1].isnan().all()
