"""Uneven samples on an even grid, against numbers by hand."""

import numpy as np

from seqfuse.runtime.read.devices import average, nearest

TIME = np.array([100, 105, 119, 120, 161, 175])


def test_a_step_is_the_mean_of_its_samples_and_a_gap_is_bridged() -> None:
    x = np.array([[1.0], [3.0], [5.0], [7.0], [10.0], [99.0]], dtype=np.float32)
    found = average(x, TIME, 100, 20, 4)  # nothing falls into the step from 140 to 160
    np.testing.assert_allclose(found[:, 0], [3.0, 7.0, (7.0 + 54.5) / 2, 54.5])


def test_what_lies_outside_does_not_count_and_the_edges_go_on() -> None:
    x = np.arange(6, dtype=np.float32)[:, None]
    np.testing.assert_allclose(average(x, TIME, 90, 10, 2)[:, 0], [0.5, 0.5])
    np.testing.assert_allclose(average(x, TIME, 170, 10, 3)[:, 0], [5, 5, 5])


def test_missing_values_are_left_out_by_channel() -> None:
    x = np.array([[1, np.nan, 2], [np.nan, np.nan, 4], [3, np.nan, 6]], dtype=np.float32)
    found = average(x, TIME[:3], 100, 10, 2)
    np.testing.assert_allclose(found[:, [0, 2]], [[1, 3], [3, 6]])
    assert np.isnan(found[:, 1]).all()


def test_labels_come_from_the_nearest_sample() -> None:
    # Middles: 110, 130, 150, 170.
    assert nearest(TIME, 100, 20, 4).tolist() == [1, 3, 4, 5]
    assert nearest(TIME[:1], 100, 20, 2).tolist() == [0, 0]
