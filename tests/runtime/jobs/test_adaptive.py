"""Adaptive conformal bands: coverage of a drifting series, and what they may look at."""

import numpy as np
import pytest

from seqfuse.runtime.jobs.adaptive import Adaptive

LEVELS = [0.025, 0.1, 0.5, 0.9, 0.975]
BAND = np.array([-1.96, -1.28, 0.0, 1.28, 1.96])


def series(rows: int, drift: float, seed: int = 0) -> np.ndarray:
    """(t 2) noise of standard deviation 1, which grows by `drift` until the end."""
    noise = np.random.default_rng(seed).normal(size=(rows, 2))
    return noise * (1 + drift * np.linspace(0, 1, rows))[:, None]


def forecasts(y: np.ndarray, horizon: int, every: int = 1) -> tuple[np.ndarray, ...]:
    """Rows at which horizons begin, bands of a net that knows nothing of the drift, and truth."""
    starts = np.arange(10, len(y) - horizon + 1, every)
    bands = np.broadcast_to(BAND, (len(starts), horizon, 2, 5)).copy()
    return starts, bands, np.stack([y[start : start + horizon] for start in starts])


def adapted(
    y: np.ndarray, horizon: int, every: int = 1, batch: int = 1000
) -> tuple[Adaptive, np.ndarray]:
    starts, bands, truth = forecasts(y, horizon, every)
    owners = np.zeros(len(starts), dtype=np.int64)
    model = Adaptive(LEVELS, starts, owners, np.array([len(y)]), horizon)
    parts = np.split(np.arange(len(starts)), range(batch, len(starts), batch))
    return model, np.concatenate(
        [model(starts[rows], owners[rows], bands[rows], truth[rows]) for rows in parts]
    )


@pytest.mark.parametrize("every", [1, 4])
def test_of_a_drifting_series_they_hold_what_they_promise(every: int) -> None:
    model, _ = adapted(series(2500, 3.0), 4, every)
    before, after = model.hits / (model.targets)
    assert (before < [0.85, 0.65]).all()
    np.testing.assert_allclose(after, [0.95, 0.8], atol=0.04)


def test_of_a_steady_series_they_stay_near() -> None:
    model, _ = adapted(series(1500, 0.0), 4)
    np.testing.assert_allclose(model.hits / model.targets, [[0.95, 0.8]] * 2, atol=0.03)


def test_what_comes_later_changes_nothing() -> None:
    y = series(200, 3.0)
    other = y.copy()
    other[150:] *= 50
    (_, one), (_, two) = adapted(y, 6), adapted(other, 6)
    seen = 150 - 10  # the origin of this forecast is row 150: it may look at row 149
    np.testing.assert_array_equal(one[: seen + 1], two[: seen + 1])
    assert not np.allclose(one[seen + 1 :], two[seen + 1 :])


def test_batches_make_no_difference() -> None:
    (_, one), (_, two) = adapted(series(300, 2.0), 6), adapted(series(300, 2.0), 6, batch=7)
    np.testing.assert_array_equal(one, two)


def test_quantiles_stay_in_order_and_the_median_as_it_is() -> None:
    _, bands = adapted(series(300, -0.9), 6)
    assert (np.diff(bands, axis=3) >= 0).all()
    assert (bands[..., 2] == 0).all()


def test_each_series_begins_anew_and_missing_values_count_nothing() -> None:
    y, horizon = series(120, 3.0), 3
    y[::3, 0] = np.nan
    starts, bands, truth = forecasts(y, horizon)
    n, both = len(starts), np.concatenate([starts, starts + len(y)])
    owners = np.repeat([0, 1], n)
    model = Adaptive(LEVELS, both, owners, np.array([len(y), 2 * len(y)]), horizon)
    found = model(both, owners, np.concatenate([bands, bands]), np.concatenate([truth, truth]))
    np.testing.assert_array_equal(found[:n], found[n:])
    assert np.isfinite(found).all()
    assert model.targets == 2 * int((~np.isnan(truth)).sum())


def test_too_few_forecasts_keep_their_bands_and_say_so() -> None:
    y = series(10 + 3 + 11, 3.0)  # 12 forecasts: enough for 80 %, not for 95 %
    model, bands = adapted(y, 3)
    assert (bands[..., 0] == np.minimum(BAND[0], bands[..., 1])).all()
    assert not (bands[..., 1] == BAND[1]).all()
    wide, narrow = model.lines()
    for part in ("95%", "1 of 1 series", "40 forecasts"):
        assert part in wide
    assert "80%" in narrow
    assert "series" not in narrow
