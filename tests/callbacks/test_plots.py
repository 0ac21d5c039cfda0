"""Figures: what is on their axes."""

import numpy as np
import pytest

from seqfuse.callbacks.plots import Panel, forecasts

START = np.datetime64("2024-01-01T00:00:00")
TIMES = {
    "dates": START + np.arange(12).astype("timedelta64[h]"),
    "rows": np.arange(16_000, 16_012),
}


@pytest.mark.parametrize("clock", TIMES)
def test_a_forecast_lies_on_its_clock(clock: str) -> None:
    weights = np.full(8, 1 / 8, dtype=np.float32)
    prediction = np.stack([np.zeros(4), np.ones(4), np.full(4, 2.0)], axis=1)
    time = TIMES[clock]
    panel = Panel(time, np.ones(8), np.ones(4), prediction, [0.1, 0.5, 0.9], weights, 8, "load")
    axes = forecasts([panel]).axes[0]
    low, high = axes.get_xlim()
    history, truth = axes.get_lines()[0], axes.get_lines()[1]
    assert high - low == pytest.approx(11 if clock == "rows" else 11 / 24)
    assert len(history.get_xdata()) == 8  # type: ignore[arg-type]
    assert np.asarray(truth.get_xdata())[0] == time[8]
    left, right, *_ = axes.get_images()[0].get_extent()
    assert (left, right) == pytest.approx((low, low + (high - low) * 7 / 11))
