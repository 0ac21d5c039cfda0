"""Labels of steps in a figure: bands, sources and attention on one time axis."""

import numpy as np
import pytest

from seqfuse.figures.step_plots import Strip, step_classes

TRUTH = np.array([0, 0, 1, 1, 2, 2])


def strip(title: str) -> Strip:
    signals = {
        "phone": np.ones((6, 5), dtype=np.float32),
        "watch": np.ones((12, 2), dtype=np.float32),
    }
    weights = np.full(6, 1 / 6, dtype=np.float32)
    return Strip(signals, TRUTH, np.array([0, 1, 1, 1, 2, 0]), weights, title)


def test_every_source_has_a_panel_on_the_clock_of_the_labels() -> None:
    figure = step_classes([strip("row 0"), strip("row 4")], ["a", "b", "c"], "missing: film")
    bands, phone, watch = figure.subfigs[1].axes
    assert bands.get_title() == "row 4"
    shown = np.asarray(bands.get_images()[0].get_array())
    assert shown.tolist() == [TRUTH.tolist(), [0, 1, 1, 1, 2, 0]]
    assert len(phone.get_lines()) == 3
    assert phone.get_ylabel() == "phone\n3 of 5 channels"
    time = np.asarray(watch.get_lines()[0].get_xdata(), dtype=float)
    assert (time[0], time[-1]) == pytest.approx((0.25, 5.75))
    left, right, *_ = watch.get_images()[0].get_extent()
    assert (left, right) == (0, 6)
    np.testing.assert_allclose(np.asarray(watch.get_images()[0].get_array()), 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert "missing: film" in figure.get_supxlabel()
