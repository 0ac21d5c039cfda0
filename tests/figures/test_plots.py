"""Figures: what is on their axes."""

import numpy as np
import pytest

from seqfuse.figures.plots import Panel, confusion_matrix, forecasts, pixels
from seqfuse.figures.text_plots import MOST, Sentence, sentences, worst_pairs

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


@pytest.mark.parametrize("word", ["$$", "$_$", r"$\foo$"])
def test_a_word_is_no_formula(word: str) -> None:
    weights = np.full(3, 1 / 3, dtype=np.float32)
    said = Sentence(["pay", word, "now"], weights, f"row 0: {word}", ["O", word, "O"], ["O"] * 3)
    truth, found, classes = np.array([0, 1, 1]), np.array([0, 1, 0]), ["a", word]
    for figure in (
        sentences([said]),
        worst_pairs(truth, found, classes),
        confusion_matrix(truth, found, classes),
    ):
        assert pixels(figure).std() > 0


def test_a_long_text_is_drawn_in_part() -> None:
    weights = np.full(5000, 1 / 5000, dtype=np.float32)
    figure = sentences([Sentence(["word"] * 5000, weights, "row 0")])
    drawn = [text.get_text() for text in figure.axes[0].texts]
    assert drawn.count("word") == MOST
    assert drawn[0] == "row 0, the first 120 of 5,000 words"
    assert pixels(figure).shape[0] < 1000
