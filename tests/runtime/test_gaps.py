"""Windows with gaps: interpolation as pandas has it, and nothing of what is held out."""

import numpy as np
import pandas as pd

from seqfuse.runtime.gaps import held_out, interpolated, seen, shared


def windows(missing: float = 0.5) -> np.ndarray:
    """Three windows of twenty steps and four channels; the last channel of the first has none."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(3, 20, 4))
    values[draw.random(values.shape) < missing] = np.nan
    values[0, :, 3] = np.nan
    return values


def test_interpolation_is_that_of_pandas() -> None:
    values = windows()
    for found, given in zip(interpolated(values), values, strict=True):
        wanted = pd.DataFrame(given).interpolate(limit_direction="both").fillna(0)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_what_is_there_stays_and_is_marked() -> None:
    values = windows()
    x, there = seen(values), ~np.isnan(values)
    assert x.dtype == np.float32
    assert x.shape == (3, 20, 8)
    np.testing.assert_array_equal(x[..., 4:], there)
    np.testing.assert_array_equal(x[..., :4][there], values[there].astype(np.float32))
    assert np.isfinite(x).all()


def test_what_is_held_out_is_asked_for_and_not_seen() -> None:
    values = windows(0.2)
    hidden = np.random.default_rng(1).random((3, 20, 2)) < 0.3
    x, y = held_out(values, hidden)
    there = ~np.isnan(values[..., :2])
    np.testing.assert_array_equal(~np.isnan(y), hidden & there)
    np.testing.assert_array_equal(y[hidden & there], values[..., :2][hidden & there].astype("f4"))
    np.testing.assert_array_equal(x[..., 4:6], there & ~hidden)
    np.testing.assert_array_equal(x[..., 6:], ~np.isnan(values[..., 2:]))  # covariates are seen
    poisoned = values.copy()
    poisoned[..., :2][hidden] += 1e6
    np.testing.assert_array_equal(held_out(poisoned, hidden)[0], x)


def test_what_interpolated_values_contribute_goes_to_those_they_are_made_of() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(3, 9, 2))
    values[0, 2:5, 0] = values[1, :3, 1] = values[2, 6:, 0] = np.nan
    values[2, :, 1] = np.nan
    slope, there, filled = generator.normal(size=values.shape), ~np.isnan(values), seen(values)
    parts = shared(slope * filled[..., :2], filled[..., :2], there)
    assert not parts[~there].any()
    np.testing.assert_allclose(parts.sum(), (slope * filled[..., :2]).sum(), rtol=1e-6)
    for place in np.argwhere(there).tolist():
        alone = np.where(there, 0.0, np.nan)  # the weight of one value in all others
        alone[tuple(place)] = values[tuple(place)]
        wanted = (slope * np.nan_to_num(seen(alone)[..., :2])).sum()
        np.testing.assert_allclose(parts[tuple(place)], wanted, rtol=1e-5, atol=1e-9)
