"""The bank: its features, its regression, and the join with a net."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifierCV
from torch import Tensor

from seqfuse.config import build, recipes
from seqfuse.nn.bank import ridge
from seqfuse.nn.bank.bank import Bank
from seqfuse.nn.bank.convolutions import Competing, Convolutions, Fractions
from tests.conftest import composed

ORDER = [*range(0, 84, 2), *range(1, 84, 2)]
"""The numbers that aeon gives to our kernels."""


def series(n: int = 12, steps: int = 40, channels: int = 1) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(n, steps, channels, generator=draw).cumsum(dim=1)
    return x, torch.ones(n, steps, dtype=torch.bool)


def fitted(kind: type, size: int, channels: int = 1, steps: int = 40) -> Convolutions:
    draw = torch.Generator().manual_seed(0)
    part = kind(channels, steps, size, draw)
    part.fit(*series(steps=steps, channels=channels), draw)
    return part


def convolved(part: Convolutions, row: np.ndarray, place: int, sums: int) -> np.ndarray:
    """A plain loop over kernels, taps and steps; the row (c t) in whole numbers."""
    kernels, dilation = part.kernels[place].numpy(), part.dilations[place]
    channels, (_, steps) = part.channels[place].numpy(), row.shape
    outputs = np.zeros((len(kernels), steps))
    for k, kernel in enumerate(kernels):
        chosen = channels[k * sums // len(kernels)] @ row
        for t in range(steps):
            for tap, weight in enumerate(kernel):
                source = t + (tap - 4) * dilation
                if 0 <= source < steps:
                    outputs[k, t] += weight * chosen[source]
    return outputs


def whole(part: Convolutions, row: Tensor) -> np.ndarray:
    return np.round(row.double().numpy().T * part.scale.double().numpy()[:, None])


@pytest.mark.parametrize("channels", [1, 4])
def test_fractions_equal_a_slow_reference(channels: int) -> None:
    part = fitted(Fractions, 1000, channels)
    assert isinstance(part, Fractions)
    x, mask = series(2, channels=channels)
    features = part(x, mask)
    assert features.shape == (2, part.num_features) == (2, 84 * 11)
    expected = []
    for place, biases in enumerate(part.biases.split(part.counts, dim=1)):
        outputs = convolved(part, whole(part, x[1]), place, 84)
        margin = 4 * part.dilations[place]
        for k in range(84):
            inside = (place + k // 42) % 2 and 2 * margin < 40
            row = outputs[k, margin : 40 - margin] if inside else outputs[k]
            expected += [(row > bias).mean() for bias in biases[k].numpy()]
    torch.testing.assert_close(features[1], torch.tensor(expected).float())


@pytest.mark.parametrize("channels", [1, 5])
def test_competing_kernels_equal_a_slow_reference(channels: int) -> None:
    part = fitted(Competing, 4, channels)
    x, mask = series(2, channels=channels)
    expected = []
    for place in range(len(part.dilations)):
        sums = 4
        outputs = convolved(part, whole(part, x[1]), place, sums).reshape(4, 8, 40)
        best, worst = np.zeros((4, 8)), np.zeros((4, 8))
        for group in range(4):
            for t in range(40):
                step = outputs[group, :, t]
                best[group] += (step == step.max()) * step.max()
                worst[group] += step == step.min()
        expected += [*(best.ravel() / part.limit), *worst.ravel()]
    wanted = np.sqrt(np.clip(np.array(expected) / 40, 0, None))
    features = part(x, mask)
    assert features.shape == (2, part.num_features)
    torch.testing.assert_close(features[1], torch.from_numpy(wanted).float())


@pytest.mark.slow
def test_fractions_are_those_of_aeon() -> None:
    """With its biases; series are whole numbers, as ours are."""
    from aeon.transformations.collection.convolution_based import MiniRocket  # compiles

    x = torch.randint(-500, 500, (30, 120, 1), generator=torch.Generator().manual_seed(2)).float()
    mask = torch.ones(30, 120, dtype=torch.bool)
    theirs = MiniRocket(n_kernels=5000, random_state=0)
    wanted = theirs.fit_transform(x.transpose(1, 2).numpy())
    part = Fractions(1, 120, 5000, torch.Generator().manual_seed(0))
    _, _, dilations, counts, biases = theirs.parameters
    assert part.dilations == dilations.tolist()
    assert part.counts == counts.tolist()
    first, ours, columns = 0, [], []
    for count in part.counts:
        numbers = first + np.arange(84 * count).reshape(84, count)[ORDER]
        ours.append(torch.from_numpy(np.floor(biases[numbers]) + 0.5))
        columns.append(numbers.ravel())
        first += 84 * count
    part.biases.copy_(torch.cat(ours, dim=1))  # scale is 1
    torch.testing.assert_close(
        part(x, mask), torch.from_numpy(wanted[:, np.concatenate(columns)]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("channels", [1, 6])
@pytest.mark.slow
def test_competing_kernels_are_those_of_aeon(channels: int) -> None:
    from aeon.transformations.collection.convolution_based._hydra import _HydraInternal

    draw = torch.Generator().manual_seed(3)
    x = torch.randint(-2000, 2000, (20, 100, channels), generator=draw).float()
    mask = torch.ones(20, 100, dtype=torch.bool)
    theirs, part = _HydraInternal(100, channels, k=8, g=32), Competing(channels, 100, 32, draw)
    theirs.divisor, theirs.h = 1, 32  # all groups look at the values, none at their changes
    theirs.W = part.kernels[:, None, :, None]
    # Of a group: the numbers of the channels whose sum it sees.
    theirs.idx = [
        torch.stack([row.nonzero()[:, 0] for row in rows])[None] for rows in part.channels
    ]
    wanted = theirs(x.transpose(1, 2)).unflatten(1, (len(part.dilations), 2, 32 * 8))
    wanted_best, wanted_worst = (wanted.clamp(min=0) / 100).unbind(dim=2)
    best, worst = part(x, mask).square().reshape(wanted.shape).unbind(dim=2)
    assert part.scale.eq(1).all()
    # Where several kernels fit equally well, the first alone counts there, and all of them here.
    for found, expected in ((best, wanted_best / part.limit), (worst, wanted_worst)):
        assert ((found - expected).abs() > 1e-5).float().mean() < 0.02


def test_biases_are_quantiles_of_training_rows() -> None:
    part = fitted(Fractions, 5000)
    assert isinstance(part, Fractions)
    assert (part.biases % 1 == 0.5).all()
    x, mask = series()
    above = part(x, mask)
    assert above.mean().item() == pytest.approx(0.5, abs=0.03)
    assert part.num_features == 84 * (5000 // 84)


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 10, 150, 2000])
def test_dilations_span_the_series(steps: int) -> None:
    draw = torch.Generator().manual_seed(0)
    for part in (Fractions(1, steps, 5000, draw), Competing(1, steps, 32, draw)):
        assert part.dilations[0] == 1
        assert part.dilations == sorted(set(part.dilations))
        assert 8 * part.dilations[-1] <= max(steps - 1, 8)
    assert sum(Fractions(1, steps, 5000, draw).counts) == 59


@pytest.mark.parametrize(("n", "p"), [(30, 100), (100, 30)])
@pytest.mark.parametrize("classes", [2, 4])
def test_ridge_is_that_of_scikit_learn(n: int, p: int, classes: int) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(n) % classes
    x = draw.normal(size=(n, p)) + 0.5 * np.eye(classes, p)[y]
    theirs = RidgeClassifierCV(alphas=ridge.STRENGTHS.numpy(), store_cv_results=True).fit(x, y)
    targets = 2 * torch.eye(classes, dtype=torch.float64)[torch.from_numpy(y)] - 1
    ours = ridge.fit(torch.from_numpy(x), targets)
    assert ours.strength == pytest.approx(theirs.alpha_)
    scores = torch.from_numpy(x) @ ours.weight + ours.bias
    wanted = torch.from_numpy(theirs.decision_function(x)).reshape(n, -1)
    torch.testing.assert_close(scores[:, -wanted.shape[1] :], wanted, atol=1e-8, rtol=1e-6)
    for row in (0, n - 1):  # one row left out, at the strength that was chosen
        rest = np.delete(np.arange(n), row)
        alone = RidgeClassifierCV(alphas=[ours.strength]).fit(x[rest], y[rest])
        score = torch.from_numpy(alone.decision_function(x[[row]])).reshape(-1)
        torch.testing.assert_close(ours.left_out[row, -len(score) :], score, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("n", "p"), [(40, 90), (90, 12)])
def test_weights_of_rows_are_those_of_scikit_learn(n: int, p: int) -> None:
    draw = np.random.default_rng(0)
    y = (np.arange(n) % 5 == 0).astype(int)
    x = draw.normal(size=(n, p)) + 0.5 * np.eye(2, p)[y]
    weights = np.where(y == 1, 4.0, 1.0)
    weights *= n / weights.sum()
    targets = 2 * np.eye(2)[y] - 1
    ours = ridge.fit(*map(torch.from_numpy, (x, targets, 7 * weights)))
    theirs = Ridge(ours.strength).fit(x, targets, weights)
    scores = torch.from_numpy(x) @ ours.weight + ours.bias
    torch.testing.assert_close(scores, torch.from_numpy(theirs.predict(x)), atol=1e-8, rtol=1e-6)
    for row in (0, n - 1):
        rest = np.delete(np.arange(n), row)
        alone = Ridge(ours.strength).fit(x[rest], targets[rest], weights[rest])
        wanted = torch.from_numpy(alone.predict(x[[row]]))[0]
        torch.testing.assert_close(ours.left_out[row], wanted, atol=1e-6, rtol=1e-5)


def test_rows_of_twice_the_weight_count_as_two() -> None:
    scores, y = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1])
    twice = torch.cat([scores, scores[1:2]]), torch.cat([y, y[1:2]])
    few = ridge.temperature(scores, y, torch.tensor([1.0, 2.0, 1.0]))
    assert few == pytest.approx(ridge.temperature(*twice), rel=0.15)
    assert few > ridge.temperature(scores, y)


def test_temperature_has_the_highest_likelihood() -> None:
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(4000, 3, generator=draw, dtype=torch.float64)
    y = torch.distributions.Categorical(logits=scores / 0.4).sample()
    assert ridge.temperature(scores, y) == pytest.approx(0.4, rel=0.15)
    perfect = 2 * torch.eye(3, dtype=torch.float64)[y] - 1
    sure = (perfect[:5] / ridge.temperature(perfect[:5], y[:5])).softmax(dim=1).max()
    assert 0.75 < sure < 0.95, "five rows without a mistake are no certainty"


def bank(channels: int = 2, steps: int = 30, **options: float) -> Bank:
    sizes = {"num_features": 1000, "num_groups": 8, **options}
    made = Bank(channels, 3, steps, **sizes)  # type: ignore[arg-type]
    x, mask = series(15, steps, channels)
    made.fit(x, mask, torch.arange(15) % 3)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_and_batches_change_nothing(dtype: torch.dtype) -> None:
    model = bank().to(dtype)
    x, _ = series(4, 50, 2)
    x = x.to(dtype)
    lengths = [50, 1, 7, 30]
    mask = torch.arange(50) < torch.tensor(lengths).unsqueeze(1)
    features = model.features(x.masked_fill(~mask.unsqueeze(2), torch.nan), mask)
    for i, n in enumerate(lengths):
        alone = model.features(x[i : i + 1, :n], mask[i : i + 1, :n])[0]
        torch.testing.assert_close(features[i], alone, atol=2e-6, rtol=0)


def test_regressions_of_minirocket_and_hydra_are_averaged() -> None:
    model = Bank(1, 3, 30, num_features=1000, num_groups=8)
    x, mask = series(18, 30)
    y = torch.arange(18) % 3
    left_out = model.fit(x, mask, y)
    with torch.no_grad():
        features = model.features(x, mask)
        minirocket, hydra = (part(x, mask) for part in model.of_values)
    first = model.of_values[0].num_features
    assert torch.equal(features[:, :first], minirocket)
    assert torch.equal(features[:, model.widths[0] :][:, : hydra.shape[1]], hydra)
    scaled = (features - features.mean(dim=0)).double()
    deviation = scaled.std(dim=0, correction=0)
    scaled = torch.where(deviation > 1e-6, scaled / deviation, 0.0)
    targets, seen, unseen = 2 * torch.eye(3).double()[y] - 1, [], []
    for part in scaled.split(model.widths, dim=1):
        read = ridge.fit(part, targets)
        divisor = ridge.temperature(read.left_out, y)
        seen.append(((part @ read.weight + read.bias) / divisor).log_softmax(dim=1))
        unseen.append((read.left_out / divisor).log_softmax(dim=1))
    for found, each in ((model(x, mask), seen), (left_out, unseen)):
        wanted = torch.stack(each).mean(dim=0).log_softmax(dim=1)
        torch.testing.assert_close(found.double(), wanted.double(), atol=1e-3, rtol=1e-3)


def test_a_fit_is_repeatable_and_leaves_rows_out() -> None:
    first, second = bank(), bank()
    torch.testing.assert_close(first.state_dict(), second.state_dict(), atol=0, rtol=0)
    x, mask = series(15, 30, 2)
    y = torch.arange(15) % 3  # noise: what is learned by heart is worth nothing
    left_out = first.fit(x, mask, y)
    known, unknown = (p.gather(1, y.unsqueeze(1)).mean() for p in (first(x, mask), left_out))
    assert known > -math.log(3) + 0.05 > -math.log(3) + 0.02 > unknown


def test_odd_rows_have_finite_numbers() -> None:
    for x, y in (
        (torch.zeros(6, 20, 1), torch.arange(6) % 2),  # constant series
        (torch.randn(2, 20, 1), torch.tensor([0, 1])),  # a row of each class
        (torch.randn(5, 20, 1), torch.zeros(5, dtype=torch.long)),  # one class
        (torch.randn(4, 1, 1), torch.arange(4) % 2),  # one step
        (1e6 * torch.randn(6, 20, 1), torch.arange(6) % 2),
    ):
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        model = Bank(1, 2, x.shape[1], num_features=500, num_groups=4)
        assert model.fit(x, mask, y).isfinite().all()
        for value in model.state_dict().values():
            assert value.isfinite().all()
        assert (
            model(100 * torch.randn(3, 20, 1), torch.ones(3, 20, dtype=torch.bool)).isfinite().all()
        )


def test_large_sets_are_fitted_by_a_part_with_all_classes() -> None:
    y = torch.cat([torch.zeros(900, dtype=torch.long), torch.ones(98).long(), torch.tensor([2, 3])])
    rows = Bank(1, 4, 20, num_features=100, num_groups=2, max_rows=100).rows(y)
    assert len(rows) == len(rows.unique()) == 100
    counts = y[rows].bincount()
    assert counts.tolist() == pytest.approx([88, 10, 1, 1], abs=1)
    assert Bank(1, 4, 20, num_features=100, num_groups=2).rows(y).tolist() == list(range(1000))


def joined(share: float) -> torch.nn.Module:
    words = ["model=base", "model/bank=convolutions", f"model.bank.share={share}"]
    sizes = ["data.channels=2", "data.num_classes=3", "data.num_steps=30"]
    small = ["model.bank.num_features=1000", "model.bank.num_groups=8"]
    recipe = composed([*words, *sizes, *small])
    net = build.build_net(recipes.resolve(recipe)["model"])
    x, mask = series(15, 30, 2)
    net.bank.fit(x, mask, torch.arange(15) % 3)
    return net


@pytest.mark.long
def test_log_probabilities_are_joined_outside_of_training() -> None:
    x, mask = series(4, 30, 2)
    net = joined(0.25).eval()
    alone = joined(0.0).eval()(x, mask).prediction
    torch.testing.assert_close(alone.exp().sum(dim=1), torch.ones(4))
    net.load_state_dict(joined(0.0).state_dict())
    both = net(x, mask).prediction
    wanted = 0.25 * net.bank(x, mask) + 0.75 * net(x, mask).prediction
    assert not torch.allclose(both, wanted)
    scores = net.head(net.encode(x, mask)[0]).log_softmax(dim=1)
    wanted = (0.25 * net.bank(x, mask) + 0.75 * scores).log_softmax(dim=1)
    torch.testing.assert_close(both, wanted)
    net.train()
    assert net(x, mask).prediction.exp().sum(dim=1).sub(1).abs().max() > 0.01, "the net's scores"
    assert not any("bank" in name for name, _ in net.named_parameters())


@pytest.mark.long
def test_the_bank_alone_has_all_of_the_share() -> None:
    net = joined(1.0).eval()
    x, mask = series(4, 30, 2)
    torch.testing.assert_close(net(x, mask).prediction, net.bank(x, mask))


def test_kernels_are_those_of_the_paper() -> None:
    part = fitted(Fractions, 500)
    assert part.kernels.shape[1:] == (math.comb(9, 3), 9)
    taps = {tuple(kernel.nonzero().flatten().tolist()) for kernel in (part.kernels[0] == 2)}
    assert taps == set(combinations(range(9), 3))
    assert part.kernels.sum(dim=2).eq(0).all()
    assert fitted(Competing, 8).kernels.sum(dim=2).eq(0).all()
