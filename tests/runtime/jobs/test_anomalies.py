"""Scores of recordings in memory and in files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.anomalies import Detector
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from tests.runtime.fakes import Zeros, metadata

X = np.random.default_rng(0).normal(size=(80, 2))


TABLE = {"time": "when", "time_format": None, "gaps": "refuse"}


def detector(**more: object) -> Detector:
    pipeline = RecordingPipeline()
    pipeline.fit("a", X, ["flow", "heat"])
    scorer = {"kind": "Likelihood", "recent": 2, "history": 0, "whole": True, "level": False}
    known = {
        **{"look_back": 8, "horizon": 2, "overlap": 0, "window_stride": 1, "validation": 0.2},
        **{"scorer": scorer, "threshold": 0.5, "train": {"fraction": 0.5}, "columns": "all"},
    }
    reader = {"kind": "labelled", "table": TABLE, "label": "odd", "train": {"fraction": 0.5}}
    return Detector(metadata(pipeline, **{"reader": reader} | known | more), Zeros(2, 2, 1))


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


def test_a_table_is_scored_like_an_array(tmp_path: Path) -> None:
    rows = [f"2024-01-01 00:{i // 60:02d}:{i % 60:02d},{a},{b},x" for i, (a, b) in enumerate(X)]
    (tmp_path / "pump.csv").write_text("\n".join(["when,flow,heat,odd", *rows]))
    found = detector().table(tmp_path / "pump.csv")
    np.testing.assert_array_equal(found["score"], detector().predict(X)[0])
    assert set(found["recording"]) == {"pump"}


def test_a_table_in_memory_or_in_a_file_gives_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["flow", "heat"])
    frame.insert(0, "when", pd.date_range("2024-01-01", periods=len(X), freq="s"))
    frame.to_csv(tmp_path / "pump.csv", index=False)
    wanted = detector().predict(X)
    path = tmp_path / "pump.csv"
    for x in (path, str(path), frame, {name: frame[name].to_list() for name in frame}):
        found = detector().predict(x)
        np.testing.assert_array_equal(found["score"], wanted[0])
        np.testing.assert_array_equal(found["anomaly"], wanted[1])
    shifted = detector(train=None).predict(frame, num_train=60)["score"]
    np.testing.assert_array_equal(shifted, detector().predict(X, num_train=60)[0])
    with pytest.raises(InputError, match="table.*nab"):
        detector(reader={"kind": "nab"}).predict(frame)


def test_what_is_normal_can_be_said_where_nobody_knows() -> None:
    assert len(detector(train=None).predict(X, num_train=40)[0]) == 80
    with pytest.raises(InputError, match=r"pump: .*model.predict\(x, num_train=...\)"):
        detector(train=None).predict(X, name="pump")


def test_the_number_of_rows_is_known_before(tmp_path: Path) -> None:
    stamps = np.datetime64("2024-01-01") + np.arange(len(X))
    lines = [f"{when},{flow},{heat}" for when, (flow, heat) in zip(stamps, X, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["when,flow,heat", *lines]))
    rows = detector().rows(tmp_path / "a.csv")
    assert rows.total == len(X)
    assert sum(len(block["score"]) for block in rows) == len(X)
