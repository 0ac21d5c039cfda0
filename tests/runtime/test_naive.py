"""Naive forecasts, and summaries of errors beside theirs."""

import numpy as np
import pytest

from seqfuse.runtime.naive import Comparison, drift, follow, repeated

SCALE = np.array([[1.0, 10.0]])
PAST = np.array([1.0, 5, 2, 7])[None, :, None]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (repeated(4, 3), [7, 7, 7]),
        (repeated(4, 3, 2), [2, 7, 2]),
        (repeated(4, 3, 9), [1, 5, 2]),
        (drift(4, 3), [9, 11, 13]),
        (drift(1, 2), [7, 7]),
    ],
)
def test_naive_forecasts(kind: tuple, wanted: list[float]) -> None:
    past = PAST if max(kind[0]) else PAST[:, -1:]
    np.testing.assert_allclose(follow(past, kind)[0, :, 0], wanted, rtol=1e-6)


def test_errors_of_each_target_and_the_verdict_on_all() -> None:
    """Two targets in other units; a value that did not come counts nowhere."""
    comparison = Comparison(["load", "heat"], season=2)
    past = np.concatenate([PAST, 10 * PAST], axis=2)
    truth = np.array([[[3.0, 30.0], [8.0, np.nan]]])
    comparison.update(past, truth, np.array([[[3.5, 35.0], [8.0, 0.0]]]), SCALE)
    errors = comparison.errors()
    assert comparison.kinds == ["net", "last value", "seasonal, 2 steps", "drift"]
    np.testing.assert_allclose(errors["MAE"][:, 0], [0.25, 2.5, 1, (6 + 3) / 2], rtol=1e-6)
    np.testing.assert_allclose(errors["MAE"][:, 1], [5, 40, 10, 60], rtol=1e-6)
    np.testing.assert_allclose(errors["MSE"][:, 0], [0.125, 8.5, 1, 22.5], rtol=1e-6)
    text = "\n".join(comparison.lines())
    assert "1 forecasts" in text
    for row in ("load  MAE  0.25", "heat  MSE  25 "):
        assert row in text
    assert "worth       scaled MAE 0.3333 is 67 % below" in text, "3 cells: 0.5, 0.5 and 0"
    assert text.count("(seasonal, 2 steps: 1)") == 2


def test_a_net_that_is_no_better_is_warned_of() -> None:
    comparison = Comparison(["load"], season=1)
    assert not list(comparison.lines()), "nothing came yet"
    comparison.update(PAST, np.full((1, 2, 1), np.nan), np.zeros((1, 2, 1)), SCALE[:, :1])
    assert not list(comparison.lines())
    comparison.update(PAST, np.full((1, 2, 1), 7.0), np.zeros((1, 2, 1)), SCALE[:, :1])
    lines = list(comparison.lines())
    assert "seasonal" not in "".join(lines)
    assert lines[-1].startswith("warning     scaled MAE 7 is no better than")
