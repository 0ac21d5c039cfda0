"""Scores of recordings in memory and in files."""

import numpy as np
import pytest

from seqfuse.plain.anomalies import Detector
from seqfuse.plain.errors import InputError
from seqfuse.plain.scaling import RecordingPipeline
from tests.plain.fakes import Bundle

X = np.random.default_rng(0).normal(size=(80, 2))


def detector(**facts: object) -> Detector:
    pipeline = RecordingPipeline()
    pipeline.fit("a", X, ["flow", "heat"])
    scorer = {"recent": 2, "history": 0, "whole": True, "level": False}
    known = {
        **{"look_back": 8, "horizon": 2, "overlap": 0, "window_stride": 1, "validation": 0.2},
        **{"scorer": scorer, "threshold": 0.5, "train": {"share": 0.5}, "shape": (2, 2, 1)},
        **{"time": ["when"], "group": None, "gaps": None},
    }
    return Detector(Bundle(pipeline, **known | facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "value", "message"),
    [
        (slice(61, 62), np.inf, "pump: row 61, column 'heat' is infinite: correct it"),
        (slice(5, 6), -np.inf, "pump: row 5, column 'heat' is infinite"),
        (slice(None), np.nan, "pump: column 'heat' has no value at all"),
    ],
)
def test_what_has_no_score_is_refused(rows: slice, value: float, message: str) -> None:
    x = X.copy()
    x[rows, 1] = value
    with pytest.raises(InputError, match=message):
        detector().predict(x, name="pump")


def test_a_missing_value_is_as_the_step_before() -> None:
    x, filled = X.copy(), X.copy()
    x[[0, 1, 30], 1], filled[[0, 1, 30], 1] = np.nan, X[[2, 2, 29], 1]
    found, wanted = (detector().predict(one)[0] for one in (x, filled))
    np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(found[8:]).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1, 2], [3]], "pump holds rows of unequal lengths, expected numbers .time, 2 columns"),
        (None, r"pump is object of shape \(\), expected numbers"),
        (X[:0], "pump: its leading part"),
    ],
)
def test_what_is_no_recording_is_named(x: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detector().predict(x, name="pump")
