"""Attributions by integrated gradients and occlusion, over an engine with a known derivative."""

import numpy as np
import pytest
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations import deletion, explained, methods
from seqfuse.runtime.explanations.cases import Case, Input
from seqfuse.runtime.explanations.methods import attention, integrated_gradients, occlusion
from seqfuse.runtime.explanations.scores import Linear, LogOdds, Score, chosen

STEPS, CHANNELS, HIDDEN, CLASSES = 20, 3, 32, 3
GENERATOR = np.random.default_rng(0)
INNER = GENERATOR.normal(size=(CHANNELS, HIDDEN))
OUTER = GENERATOR.normal(size=(HIDDEN, CLASSES)) / 5
SMALL = 1e-3
"""The norm below which an item is not normalised: nearly all is gained on a tiny stretch."""


class Relu:
    """Class scores by one hidden layer over each step of a normalised item, and its gradient."""

    def __call__(self, feeds):
        x, mask = feeds["x"].astype(float), feeds["mask"]
        scale = np.maximum(np.sqrt(np.square(x).sum(axis=(1, 2), keepdims=True)), SMALL) / 5
        hidden = np.maximum((x / scale) @ INNER, 0) * mask[..., None]
        return hidden.sum(axis=1) @ OUTER, np.zeros((len(x), 1, x.shape[1]))

    def along(self, feeds, baselines, places, slope):
        start = baselines["x"].astype(float)
        change = feeds["x"] - start
        x = start + places[:, None, None] * change
        prediction, _ = self({**feeds, "x": x})
        norm = np.sqrt(np.square(x).sum(axis=(1, 2), keepdims=True))
        scale = np.maximum(norm, SMALL) / 5
        outer = (slope(prediction) @ OUTER.T)[:, None] * feeds["mask"][..., None]
        inner = (outer * ((x / scale) @ INNER > 0)) @ INNER.T
        along = np.where(norm > SMALL, x * (inner * x).sum(axis=(1, 2), keepdims=True), 0)
        gradient = inner / scale - along / (scale * np.maximum(norm, SMALL) ** 2)
        return prediction, {"x": gradient * change}


def case(x: NDArray, lengths: NDArray, score: Score | None = None) -> Case:
    mask = np.arange(x.shape[1]) < lengths[:, None]
    x = np.where(mask[..., None], x, 0).astype(np.float32)
    feeds = {"x": x, "mask": mask}
    prediction, weights = Relu()(feeds)
    names = ["a"] * len(x)
    present = np.repeat(mask[..., None], CHANNELS, axis=2)
    return Case(
        feeds,
        [Input("", "x", np.zeros_like(x), np.arange(CHANNELS), ["u", "v", "w"], present)],
        prediction,
        weights,
        np.ones((len(x), 1)),
        1,
        score or LogOdds(prediction.argmax(axis=1)[:, None], names),
        {"row": np.arange(len(x))},
        [{}] * len(x),
    )


LENGTHS = GENERATOR.integers(5, STEPS + 1, 12)
X = GENERATOR.normal(size=(12, STEPS, CHANNELS))
EVERY = np.arange(12)


def values(attribution: methods.Attribution) -> NDArray:
    [part] = attribution.parts
    return part.values


def test_integrated_gradients_sum_up_to_the_difference_from_the_baseline() -> None:
    items = case(X, LENGTHS)
    found = integrated_gradients(Relu(), items)
    nothing, _ = Relu()({**items.feeds, "x": np.zeros_like(items.feeds["x"])})
    wanted = items.score.value(items.prediction, EVERY) - items.score.value(nothing, EVERY)
    assert np.abs(wanted).min() > 0.01
    np.testing.assert_allclose(values(found).sum(axis=(1, 2)), wanted, atol=1e-3)
    np.testing.assert_allclose(found.gap, values(found).sum(axis=(1, 2)) - wanted, atol=1e-9)


def test_a_weighted_sum_is_in_the_units_of_its_weights_and_offset() -> None:
    items = case(X, LENGTHS)
    weights = np.zeros((12, CLASSES))
    weights[:, 1] = 2.0
    items = items._replace(score=Linear(weights, np.ones(12), ["b"] * 12))
    found = integrated_gradients(Relu(), items)
    np.testing.assert_allclose(found.score, 2 * items.prediction[:, 1] + 1)
    np.testing.assert_allclose(found.baseline, np.ones(12))
    np.testing.assert_allclose(
        values(found).sum(axis=(1, 2)), 2 * items.prediction[:, 1], atol=1e-3
    )


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_masked_steps_get_nothing_and_padding_changes_nothing(method: methods.Method) -> None:
    found = values(method(Relu(), case(X, LENGTHS), None))
    real = np.arange(STEPS) < LENGTHS[:, None]
    assert (found[~real] == 0).all()
    assert (found[real] != 0).any(axis=1).all()
    more = np.concatenate([X, np.full((12, 7, CHANNELS), 9.0)], axis=1)
    padded = values(method(Relu(), case(more, LENGTHS), None))
    np.testing.assert_allclose(padded[:, :STEPS], found, atol=1e-6)


@pytest.mark.parametrize("method", [integrated_gradients, occlusion])
def test_batched_is_one_by_one(method: methods.Method, monkeypatch: pytest.MonkeyPatch) -> None:
    found = values(method(Relu(), case(X, LENGTHS), None))
    monkeypatch.setattr(methods, "MAX_ITEMS", 5)
    for i in range(4):
        alone = values(method(Relu(), case(X[i : i + 1], LENGTHS[i : i + 1]), None))
        np.testing.assert_allclose(alone[0], found[i], atol=1e-6)


@pytest.mark.parametrize("segment", [None, 4])
def test_occlusion_is_the_difference_of_two_predictions(segment: int | None) -> None:
    items = case(X, LENGTHS)
    found = values(occlusion(Relu(), items, segment))
    size = segment or 1
    for row, channel in ((0, 0), (3, 2), (11, 1)):
        for first in range(0, LENGTHS[row], size):
            steps = range(first, min(first + size, LENGTHS[row]))
            without = items.feeds["x"].copy()
            without[row, steps, channel] = 0
            other, _ = Relu()({**items.feeds, "x": without})
            scores = (items.score.value(each, EVERY)[row] for each in (items.prediction, other))
            difference = next(scores) - next(scores)
            np.testing.assert_allclose(found[row, steps, channel].sum(), difference, atol=1e-9)


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3), (4, 5, 3, 3)])
def test_the_slope_of_log_odds_is_their_derivative(shape: tuple[int, ...]) -> None:
    prediction = GENERATOR.normal(size=shape)
    classes = GENERATOR.integers(0, 3, shape[:2] if len(shape) > 2 else (4, 1))
    weights = GENERATOR.uniform(size=classes.shape)
    score, rows = LogOdds(classes, ["a"] * 4, weights), np.arange(4)
    slope, tiny = score.slope(prediction, rows), 1e-6
    for index in np.ndindex(shape[1:]):
        moved = prediction.copy()
        moved[(slice(None), *index)] += tiny
        growth = (score.value(moved, rows) - score.value(prediction, rows)) / tiny
        np.testing.assert_allclose(slope[(slice(None), *index)], growth, atol=1e-4)
    if len(shape) == 2:
        odds = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
        chance = np.take_along_axis(odds, classes, axis=1)[:, 0]
        wanted = weights[:, 0] * np.log(chance / (1 - chance))
        np.testing.assert_allclose(score.value(prediction, rows), wanted)


def test_attention_is_spread_over_the_steps_it_pooled() -> None:
    items = case(X, LENGTHS)
    weights = np.zeros((12, 2, 5))
    weights[:, 0, 0], weights[:, 1, 1] = 1.0, 1.0
    items = items._replace(weights=weights, stride=4, queries=np.full((12, 2), 0.5))
    [part] = attention(Relu(), items).parts
    assert list(part.channels) == [""]
    found = part.values[..., 0]
    np.testing.assert_allclose(found[:, :4], 0.125)
    np.testing.assert_allclose(found[LENGTHS >= 8][:, 4:8], 0.125)
    assert (found[:, 8:] == 0).all()


@pytest.mark.parametrize("weights", [np.full((12, 1, STEPS), 1 / STEPS), np.eye(STEPS)[None]])
def test_a_net_that_looks_nowhere_has_no_attention(weights: NDArray) -> None:
    items = case(X, LENGTHS)
    weights = np.broadcast_to(weights, (12, *weights.shape[1:]))
    queries = np.full(weights.shape[:2], 1 / weights.shape[1])
    with pytest.raises(InputError, match="method=occlusion"):
        attention(Relu(), items._replace(weights=weights, queries=queries))


def test_rows_name_steps_and_channels() -> None:
    items = case(X[:2], np.array([2, 1]))._replace(
        columns={"id": ["x", "y"]}, steps=[{"word": ["fly", "home"]}, {"word": ["yes"]}]
    )
    first, second = explained.explanations(Relu(), [items], "occlusion")
    table = first.table()
    assert list(table) == ["id", "step", "word", "channel", "attribution"]
    assert table["word"].tolist() == ["fly"] * 3 + ["home"] * 3
    assert table["channel"].tolist() == ["u", "v", "w"] * 2
    assert table["step"].tolist() == [1] * 3 + [2] * 3
    assert len(second.table()["id"]) == 3
    summary = first.summary()
    top = int(np.abs(table["attribution"]).argmax())
    assert summary["top_channel"] == [table["channel"][top]]
    assert summary["sum"] == [pytest.approx(table["attribution"].sum())]
    assert "fly" in first.line() or "home" in first.line()
    assert f"id x: class {first.target}, {first.score:.4g} log-odds" in first.line()
    assert first._replace(kind="").line().startswith(f"id x: {first.target}, ")


def test_what_is_not_there_is_named() -> None:
    items = case(X, LENGTHS)

    class Plain:
        def __call__(self, feeds):
            return Relu()(feeds)

    for words, engine, named in (
        (("gradient", None), Relu(), "method=gradient "),
        (("gradients", 3), Relu(), "segment=3"),
        (("occlusion", 0), Relu(), "segment=0"),
        (("gradients", None), Plain(), "method=occlusion"),
    ):
        with pytest.raises(InputError, match=named):
            list(explained.explanations(engine, [items], *words))
    with pytest.raises(InputError, match="target=d"):
        chosen("d", ["a", "b"], "class", EVERY)


class Telling:
    """Scores of a class that are the sum of a few steps, whatever the others are."""

    def __call__(self, feeds):
        odds = feeds["x"][:, 3:6, 0].sum(axis=1) * 2.0
        return np.stack([odds, np.zeros(len(odds))], axis=1), np.zeros((len(odds), 1, STEPS))


def telling() -> Case:
    items = case(np.abs(X) + 1, np.full(12, STEPS))
    prediction, weights = Telling()(items.feeds)
    score = LogOdds(np.zeros((12, 1), dtype=int), ["a"] * 12)
    return items._replace(prediction=prediction, weights=weights, score=score)


def test_a_good_order_has_a_small_area_of_deletion_and_a_large_one_of_insertion() -> None:
    items, steps = telling(), np.arange(STEPS)
    good = np.broadcast_to(np.isin(steps, (3, 4, 5)) * 1.0, (12, STEPS))
    chance = deletion.at_random(items, np.random.default_rng(0))
    orders = (good, chance, -good)
    areas = [
        [deletion.area(Telling(), items, order, 21, inserts).mean() for order in orders]
        for inserts in (False, True)
    ]
    assert areas[0][0] < areas[0][1] < areas[0][2]
    assert areas[1][0] > areas[1][1] > areas[1][2]
    whole = 1 / (1 + np.exp(-items.score.value(items.prediction, EVERY)))
    # By hand: whole, then three steps down to one half, where it stays.
    parts = items.feeds["x"][:, 3:6, 0] * 2.0
    left = [parts.sum(axis=1), parts[:, 1:].sum(axis=1), parts[:, 2], np.zeros(12)]
    chances = [1 / (1 + np.exp(-odds)) for odds in left]
    curve = np.stack([*chances, *[np.full(12, 0.5)] * 17], axis=1)
    np.testing.assert_allclose(curve[:, 0], whole, atol=1e-6)
    wanted = (curve.sum(axis=1) - (curve[:, 0] + curve[:, -1]) / 2) / 20
    np.testing.assert_allclose(deletion.area(Telling(), items, good, 21), wanted, atol=1e-6)


def test_a_verdict_tells_attention_that_looks_from_attention_that_does_not() -> None:
    items = telling()
    looks = np.zeros((12, 1, STEPS))
    looks[:, 0, 3:6] = 1 / 3
    elsewhere = (looks == 0) / (STEPS - 3)
    good, bad = (
        deletion.verdict(Telling(), [items._replace(weights=w)], "attention")
        for w in (looks, elsewhere)
    )
    assert good is not None
    assert bad is not None
    assert good.is_better
    assert not bad.is_better
    assert good.area < good.chance < bad.area
    assert "no better" in bad.line("attention")
    assert "no better" not in good.line("attention")
    several = items._replace(inputs=[*items.inputs] * 2)
    assert deletion.verdict(Telling(), [several], "attention") is None
