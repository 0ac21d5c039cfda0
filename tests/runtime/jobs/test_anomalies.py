"""Scores of recordings in memory and in files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.jobs.anomalies import Detector
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from seqfuse.runtime.scores.alarms import RATES
from tests.runtime.fakes import Zeros, metadata

X = np.random.default_rng(0).normal(size=(80, 2))


TABLE = {"time": "when", "time_format": None, "gaps": "refuse"}


def detector(
    limit: dict | None = None, alarms: bool = False, zeros: int = 2, **more: object
) -> Detector:
    pipeline = RecordingPipeline()
    pipeline.fit("a", X, ["flow", "heat"])
    scorer = {"kind": "Likelihood", "recent": 2, "history": 0, "whole": True, "level": False}
    known = {
        **{"look_back": 8, "horizon": 2, "overlap": 0, "window_stride": 1, "validation": 0.2},
        **{"scorer": scorer, "threshold": 0.5, "train": {"fraction": 0.5}, "columns": "all"},
        "thresholds": np.linspace(0, 1, len(RATES)).tolist(),
    }
    reader = {"kind": "labelled", "table": TABLE, "label": "odd", "train": {"fraction": 0.5}}
    described = metadata(pipeline, **{"file_format": reader} | known | more)
    return Detector(described, Zeros(zeros, 2, 1), alarms=alarms, **(limit or {}))


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
        detector(file_format={"kind": "nab"}).predict(frame)


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


SUBSPACE = {"kind": "Subspace", "fraction": 0.9, "num_folds": 4}


def broken() -> np.ndarray:
    """(400 2) of which heat, and it alone, is far off from step 300 to 309."""
    x = np.random.default_rng(1).normal(size=(400, 2))
    x[300:310, 1] += 12
    return x


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scorer": {"kind": "Likelihood", "recent": 2, "history": 0, "whole": 0, "level": True}},
        {"look_back": 4, "horizon": 4, "overlap": 4, "scorer": SUBSPACE},
    ],
)
def test_an_alarm_says_when_and_by_which_channel(more: dict) -> None:
    size = more.get("horizon", 2)
    job = detector(zeros=size, **more)
    found = job.alarms(broken(), name="pump")
    scores, flags = job.predict(broken(), name="pump")
    at = int(np.argmax(found["score"]))
    assert found["recording"][at] == "pump"
    assert 300 - size - job.gap <= found["start"][at] <= 300
    assert 309 <= found["end"][at] <= 309 + size + job.gap
    assert scores[found["peak"][at]] == found["score"][at] == np.nanmax(scores)
    assert found["channels"][at] == "heat"
    covered = np.zeros(400, dtype=bool)
    for first, last in zip(found["start"], found["end"], strict=True):
        covered[first : last + 1] = True
    assert covered[flags == 1].all()


def test_contributions_add_up_to_what_is_scored() -> None:
    for scorer, size in ((SUBSPACE, 4), (detector().metadata["scorer"], 2)):
        overlap = size if scorer is SUBSPACE else 0
        sizes = {"look_back": 4, "horizon": size, "overlap": overlap}
        job = detector(alarms=True, zeros=size, scorer=scorer, **sizes)
        [(scored, _)] = job._scored([job._recordings(broken(), None, "pump")])
        strange = np.flatnonzero(scored.scores > 0.01)
        strange = strange[strange >= 330 - 2 * size]
        assert len(strange) > 20
        total = scored.contributions.sum(axis=1)[strange]
        rises = np.diff(total[np.argsort(scored.scores[strange])])
        assert (rises > -1e-5 * total.max()).all(), "scores are a rising function of the sum"


def test_another_limit_flags_other_steps() -> None:
    scores, flags = detector().predict(X)
    real = np.nan_to_num(scores, nan=-1)
    np.testing.assert_array_equal(flags, real >= 0.5)
    for job, options in (
        (detector(), {"threshold": 0.2}),
        (detector(limit={"threshold": 0.2}), {}),
    ):
        np.testing.assert_array_equal(job.predict(X, **options)[1], real >= 0.2)
    assert detector(limit={"quantile": "0.999"}).threshold == pytest.approx(0.5)
    np.testing.assert_array_equal(detector().predict(X, quantile=0.9)[1], real >= 1 / 6 - 1e-9)
    np.testing.assert_array_equal(detector().predict(X)[1], flags)


def test_a_budget_counts_alarms_a_day_of_a_file(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(2).normal(size=(480, 2)), columns=["flow", "heat"])
    frame.insert(0, "when", pd.date_range("2024-01-01", periods=480, freq="h"))
    frame.to_csv(tmp_path / "pump.csv", index=False)
    for budget, count in ((0.5, 10), (0.25, 5), (0.049, 0)):
        job = detector(limit={"budget": budget}, alarms=True)
        rows = job.rows(tmp_path / "pump.csv")
        flags = np.concatenate([block["anomaly"] for block in rows])
        [alarms] = rows.alarms()
        assert len(alarms["start"]) == count
        assert (flags.sum() > 0) == (count > 0)
        assert "budget" in next(iter(rows.notes()))
        assert alarms["start"].dtype == alarms["peak"].dtype == np.dtype("M8[s]")
        assert len(job.alarms(frame)["score"]) == count
    with pytest.raises(InputError, match="budget=.*time stamps.*quantile="):
        detector().predict(X, budget=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.5, "quantile": 0.9}, "threshold=0.5 and quantile=0.9"),
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"threshold": True}, "threshold=True"),
        ({"threshold": "high"}, "threshold=high"),
        ({"quantile": 1}, "quantile=1 .*0.999999"),
        ({"budget": 0}, "budget=0"),
        ({"budget": float("inf")}, "budget=inf"),
    ],
)
def test_a_limit_out_of_range_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        detector(limit=options)
    with pytest.raises(InputError, match=message):
        detector().predict(X, **options)


def test_a_folder_without_thresholds_is_named() -> None:
    known = detector().metadata
    older = {name: known[name] for name in known if name != "thresholds"}
    job = Detector(older, Zeros(2, 2, 1), quantile=0.9)
    with pytest.raises(InputError, match="quantile= .*export it again"):
        job.predict(X)
