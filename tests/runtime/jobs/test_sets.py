"""Conformal sets of classes: scores by hand, coverage, and what is refused."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.sets import Sets, names, scores

Drawn = tuple[np.ndarray, np.ndarray]


def drawn(n: int, seed: int, classes: int = 5, power: float = 2.0) -> Drawn:
    """Probabilities (n k), and classes drawn by sharper ones: the net is not sure enough."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), size=n) + 1e-6
    sharper = p**power / (p**power).sum(axis=1, keepdims=True)
    y = (rng.random((n, 1)) > sharper.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return p / p.sum(axis=1, keepdims=True), y


def sets(p: np.ndarray, y: np.ndarray, level: float) -> Sets:
    each = scores(p)[np.arange(len(y)), y]
    metadata = {"conformal": {"scores": each.tolist(), "classes": y.tolist()}}
    return Sets(metadata, p.shape[1], level)


def test_scores_are_what_stands_before() -> None:
    found = scores(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(found, [[0.8, 0.0, 0.5], [0.8, 0.9, 0.0]])
    many = scores(np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]]))[0]
    np.testing.assert_allclose(many[[4, 5, 6]], [0.77, 0.87 + 0.01, 0.95 + 0.02])


@pytest.mark.parametrize("level", [0.6, 0.8, 0.9])
def test_sets_hold_the_truth_as_often_as_promised(level: float) -> None:
    """Over calibration parts of 200 items; what each covers differs by those that it happens on."""
    n, hits = 200, []
    for seed in range(40):
        p, y = drawn(n + 500, seed, power=0.4)
        included = sets(p[:n], y[:n], level)(p[n:])
        hits.append(included[np.arange(500), y[n:]].mean())
    error = 4 * np.sqrt(level * (1 - level) * (1 / n + 1 / 500) / len(hits))
    assert (
        level - error < np.mean(hits) < level + 1 / n + error + 0.02
    )  # 0.02: thresholds of classes


def test_few_items_err_within_the_binomial() -> None:
    p, y = drawn(5000, 1, power=0.4)
    included = sets(p[:1000], y[:1000], 0.9)(p[1000:])
    low, high = binom.interval(0.9999, 1000, 0.9)
    covered = included[np.arange(4000), y[1000:]].mean()
    assert low / 1000 - 0.01 < covered < high / 1000 + 0.01


def test_the_most_probable_class_is_always_in() -> None:
    p, y = drawn(300, 2, power=9.0)  # nearly always right
    included = sets(p, y, 0.5)(p)
    assert included[np.arange(300), p.argmax(axis=1)].all()
    assert (included.sum(axis=1) == 1).all()


def test_higher_levels_hold_lower_ones() -> None:
    p, y = drawn(400, 3)
    low, high = (sets(p, y, level)(p) for level in (0.7, 0.95))
    assert (low <= high).all()
    assert low.sum() < high.sum()


def test_a_class_with_enough_items_has_a_threshold_of_its_own() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1, 2], [600, 60, 20])
    p = np.full((680, 3), 0.1)
    p[np.arange(680), y] = 0.8
    wrong = (y == 1) & (rng.random(680) < 0.5)  # of the second class every second is missed
    p[wrong] = [0.7, 0.2, 0.1]
    known = sets(p, y, 0.9)
    assert known.thresholds.tolist() == [0.0, pytest.approx(0.7), 0.0]
    assert known(p)[y == 1, 1].mean() >= 0.9


@pytest.mark.parametrize(
    ("right", "count", "level", "advised"),
    [(97, 100, 0.9, "level=0.99"), (97, 98, 0.9, "98 calibration items"),
     (93, 100, 0.9, "level=0.95"), (89, 100, 0.9, ""), (90, 100, 0.95, "")],
)  # fmt: skip
def test_a_level_that_says_nothing_is_told(
    right: int, count: int, level: float, advised: str
) -> None:
    """The net is right in so many of its calibration items, and 0.6 sure of another class else."""
    each = np.where(np.arange(count) < right, 0.0, 0.6).tolist()
    known = Sets({"conformal": {"scores": each, "classes": [0] * count}}, 2, level)
    assert known.accuracy == right / count
    assert (advised in known.note()) if advised else not known.note()


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, "much", True, float("nan")])
def test_levels(level: Any) -> None:
    with pytest.raises(InputError, match=f"level={level} must be a number above 0 and below 1"):
        sets(*drawn(50, 0), level)


def test_what_no_set_can_be_made_of() -> None:
    with pytest.raises(InputError, match="level=0.9 needs a calibration part.*data.calibration"):
        Sets({}, 3, 0.9)
    with pytest.raises(InputError, match="level=0.9: the net knows one class"):
        Sets({}, 1, 0.9)
    with pytest.raises(InputError, match="level=0.9 needs 9 calibration items, and the net has 8"):
        sets(*drawn(8, 0), 0.9)
    assert sets(*drawn(9, 0), 0.9)


def test_names() -> None:
    included = np.array([[True, False, True], [False, True, False]])
    assert names(included, ["a", "b", "c"]) == [["a", "c"], ["b"]]
