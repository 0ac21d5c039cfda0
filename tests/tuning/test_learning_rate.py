"""What is suggested for curves whose answer is known."""

import numpy as np
import pytest

from seqfuse.tuning.learning_rate import HIGHEST, LOWEST, STEPS, Curve, draw, suggest

RATES = np.geomspace(LOWEST, HIGHEST, STEPS)
NOISE = np.random.default_rng(0).normal(size=STEPS)


def test_a_tenth_of_the_rate_with_the_least_loss() -> None:
    """A parabola in log rate with its vertex at 0.01; a running mean lags by a few steps."""
    losses = 1 + 0.1 * (np.log10(RATES) + 2) ** 2
    assert suggest(Curve(RATES, losses)) == pytest.approx(0.001, rel=0.8)
    assert suggest(Curve(RATES, losses + 0.01 * NOISE)) == pytest.approx(0.001, rel=0.8)


@pytest.mark.parametrize(
    "losses",
    [np.full(STEPS, 0.7), 0.7 + 0.1 * NOISE, np.linspace(0.7, 3, STEPS), np.full(5, 0.7)],
    ids=["flat", "noise", "rising", "short"],
)
def test_none_where_the_loss_does_not_fall(losses: np.ndarray) -> None:
    curve = Curve(RATES[: len(losses)], losses)
    assert suggest(curve) is None
    assert len(draw(curve, None).axes[0].lines) == 2


def test_the_running_mean_is_one_from_the_start() -> None:
    np.testing.assert_allclose(Curve(RATES, np.full(STEPS, 0.7)).smooth(), 0.7)
    np.testing.assert_allclose(Curve(RATES[:2], np.array([1.0, 2.0])).smooth(), [1, 14 / 9])


def test_the_figure_marks_the_suggestion() -> None:
    losses = 1 + 0.1 * (np.log10(RATES) + 2) ** 2
    axes = draw(Curve(RATES, losses), 0.003).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), losses)
    assert list(np.asarray(axes.lines[2].get_xdata())) == [0.003, 0.003]
    assert axes.get_xscale() == "log"
