"""Estimators of tables."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import seqfuse
from seqfuse import predict
from seqfuse.runtime.errors import InputError
from tests import composing

CPU = ["trainer.accelerator=cpu", "trainer.max_epochs=2"]
STEPS = np.arange(400)
HOURS = pd.date_range("2024-01-01", periods=400, freq="h")
FRAME = pd.DataFrame({"load": np.sin(STEPS / 4), "heat": np.cos(STEPS / 9)}, index=HOURS)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    composing.remember(monkeypatch)


def forecaster(**more: object) -> seqfuse.Forecaster:
    known = {"horizon": 8, "look_back": 16, "overrides": ["model.segment_size=8", *CPU]}
    return seqfuse.Forecaster(**{**known, **more})


def detector(**more: object) -> seqfuse.Detector:
    known = {"look_back": 16, "horizon": 4, "overrides": ["model.segment_size=4", *CPU]}
    return seqfuse.Detector(**{**known, **more})


@pytest.mark.long
def test_forecasts_come_behind_the_last_row(command) -> None:
    model = forecaster().fit(FRAME)
    found = model.predict(5)
    assert found.index.tolist() == (HOURS[-1] + pd.to_timedelta(range(1, 6), unit="h")).tolist()
    assert {"load", "heat", "load_q0.1"} <= set(found)
    pd.testing.assert_frame_equal(model.predict()[:5], found)
    pd.testing.assert_frame_equal(model.predict(X=FRAME), model.predict())
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(model)).predict(5), found)
    earlier = model.predict(X=FRAME[:-10])
    assert earlier.index[0] == HOURS[-10]
    model.save("model.ckpt")
    loaded = seqfuse.Forecaster.load("model.ckpt")
    pd.testing.assert_frame_equal(loaded.predict(X=FRAME), model.predict())
    with pytest.raises(InputError, match="X=frame"):
        loaded.predict()
    for wrong in (0, 9):
        with pytest.raises(InputError, match=f"horizon={wrong}: .* 8"):
            model.predict(wrong)
    FRAME.rename_axis("date").to_csv("new.csv")
    code, _, err = command(predict.main, "ckpt=model.ckpt", "input=new.csv", "output=out.csv")
    assert code == 0, err
    rows = pd.read_csv("out.csv")
    np.testing.assert_allclose(rows["load"], model.predict()["load"], atol=1e-6)


@pytest.mark.long
def test_a_forecaster_takes_columns_groups_and_what_is_known() -> None:
    parts = [FRAME.assign(shop=shop, day=HOURS, town=i) for i, shop in enumerate(("a", "b"))]
    frame = pd.concat(parts, ignore_index=True)
    options = {"time": "day", "group": "shop", "targets": ["load"], "known": ["hour"]}
    options |= {"static": ["town"], "categories": ["town", "hour"]}
    model = forecaster(**options, covariates=["heat"]).fit(frame)
    found = model.predict(2)
    assert found.index.names == ["shop", "time"]
    assert found.index.get_level_values("shop").tolist() == ["a", "a", "b", "b"]
    assert clone(model).get_params() == model.get_params()
    assert model.model_.columns[:4] == ["load", "heat", "town=0", "town=1"]
    new = frame[frame["shop"] == "b"].assign(shop="new", town=2.0)
    assert model.predict(2, X=new).index.get_level_values("shop").tolist() == ["new", "new"]
    with pytest.raises(InputError, match="time='day'"):
        forecaster().fit(frame)
    with pytest.raises(InputError, match="ndarray"):
        forecaster().fit(FRAME.to_numpy())
    series = forecaster().fit(FRAME["load"].rename("load"))
    assert len(series.predict(3)) == 3


def imputer(**more: object) -> seqfuse.Imputer:
    return seqfuse.Imputer(**{"look_back": 16, "max_steps": 4, "overrides": CPU[:1], **more})


@pytest.mark.long
def test_an_imputer_fills_what_is_missing() -> None:
    gaps = FRAME.copy()
    gaps.iloc[50:55, 0] = gaps.iloc[390:, 1] = np.nan
    model = imputer().fit(gaps)
    whole = model.transform(gaps)
    assert whole.notna().all().all()
    is_there = gaps.notna()
    pd.testing.assert_frame_equal(whole.where(is_there), gaps)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(model)).transform(gaps), whole)
    fewer = gaps.drop(gaps.index[[7, 8, 52]])  # stamps that are missing stay so
    found = model.transform(fewer)
    assert found.notna().all().all()
    pd.testing.assert_frame_equal(found.where(fewer.notna()), fewer)
    series = imputer().fit(gaps["load"]).transform(gaps["load"])
    assert isinstance(series, pd.Series)
    assert series.notna().all()


@pytest.mark.long
def test_an_imputer_fills_each_series_of_a_group() -> None:
    parts = [FRAME.assign(shop=shop, day=HOURS) for shop in ("a", "b")]
    frame = pd.concat(parts).sample(frac=1, random_state=0)
    frame = frame.sort_values(["day", "shop"]).reset_index(drop=True)
    frame.loc[frame.index[100:140], "load"] = np.nan
    model = imputer(time="day", group="shop", targets=["load"], covariates=["heat"]).fit(frame)
    whole = model.transform(frame)
    assert whole["load"].notna().all()
    pd.testing.assert_frame_equal(whole.drop(columns="load"), frame.drop(columns="load"))
    with pytest.raises(InputError, match=r"data.masking.rate=2"):
        imputer(rate=2).fit(FRAME)


@pytest.mark.long
def test_a_detector_scores_what_comes_behind() -> None:
    model = detector().fit(FRAME)
    new = FRAME.copy()
    new.iloc[200:206] += 8
    scores = model.score_samples(new)
    assert scores.shape == (400,)
    assert np.isfinite(scores).all()
    assert scores[200:206].min() < scores[:190].min()
    flags = model.predict(new)
    np.testing.assert_array_equal(flags == -1, scores <= -model.model_.threshold)
    np.testing.assert_array_equal(model.decision_function(new) <= 0, flags == -1)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.score_samples(new), scores)
    np.testing.assert_array_equal(model.score_samples(new[["load", "heat"]]), scores)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(new[["heat", "load"]])
    array = detector().fit(FRAME.to_numpy())
    np.testing.assert_array_equal(array.score_samples(new.to_numpy()), scores)


@pytest.mark.long
def test_a_detector_does_not_take_what_it_was_fitted_to_for_what_comes_behind() -> None:
    """At the seam a season would jump, and a look-back of normal steps be flagged."""
    week = pd.DataFrame({"sales": np.tile([5.0, 1, 1, 2, 3, 8, 9], 31)[:214]})
    week.iloc[50] = np.nan
    model = detector().fit(week)
    scores = model.score_samples(week)
    assert (scores[:16] == 0).all()
    assert np.isfinite(scores).all()
    assert (model.predict(week) == -1).mean() < 0.1
    assert (detector().fit_predict(week) == -1).mean() < 0.1


@pytest.mark.long
def test_a_saved_detector_reads_tables() -> None:
    model = detector().fit(FRAME.rename_axis("date").reset_index())
    model.save("model.ckpt")
    rows = seqfuse.load("model.ckpt").predict(FRAME.rename_axis("date").reset_index())
    loaded = seqfuse.Detector.load("model.ckpt").score_samples(FRAME)
    np.testing.assert_array_equal(rows["score"], -loaded)
