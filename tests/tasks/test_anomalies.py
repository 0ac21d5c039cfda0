"""Scores, measures and the anomaly task, against hand-worked numbers and the library's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from aeon.benchmarking.metrics.anomaly_detection import range_pr_vus_score

import seqfuse
from seqfuse.data.monitored import Monitored
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.scores.likelihood import Likelihood, merge
from seqfuse.tasks import measures
from seqfuse.tasks.measures import Scored
from seqfuse.train import train
from tests.conftest import composed


def recording(n: int = 100, name: str = "a", where: tuple[int, int] = (70, 75)) -> Recording:
    values = np.arange(n, dtype=np.float32).reshape(-1, 1)
    labels = np.zeros(n, dtype=bool)
    labels[where[0] : where[1]] = True
    return Recording(name, np.arange(n), values, ["value"], labels, 40)


def test_overlapping_errors_are_averaged_per_step() -> None:
    errors = np.array([[1.0, 2, 3], [5.0, 6, 7]])
    merged = merge(errors, np.array([1, 2]), 6)
    np.testing.assert_equal(merged, [np.nan, 1, (2 + 5) / 2, (3 + 6) / 2, 7, np.nan])


def test_a_score_never_looks_ahead() -> None:
    errors = np.random.default_rng(0).random(200)
    scorer = Likelihood(recent=4, history=50)
    whole = scorer(errors, 60)
    changed = errors.copy()
    changed[150:] = 99.0
    np.testing.assert_array_equal(scorer(changed, 60)[:150], whole[:150])
    assert scorer(changed, 60)[150] > whole.max()


def test_score_of_a_step() -> None:
    errors = np.array([1.0, 3, 1, 3, 1, 3, 7, np.nan])
    score = Likelihood(recent=1, history=6)(errors, 4)
    assert score[6] == pytest.approx(5 / (5 + 4), rel=1e-4)  # 7 is five deviations above 2
    assert score[7] == 0
    assert score[2] == 0


def test_nothing_is_strange_where_nothing_was_normal() -> None:
    errors = np.append(np.full(40, np.nan), np.ones(20))
    assert Likelihood(recent=1, history=0)(errors, 40).tolist() == [0] * 60


def test_what_stood_still_in_training_may_stir_a_little() -> None:
    errors = np.append(np.full(50, 1e-4), [5e-4, 0.05])
    score = Likelihood(recent=1, history=0)(errors, 40)
    assert score[50] < 0.02
    assert score[51] > 0.5


@pytest.mark.parametrize("buffer", [0, 1, 2, 7, 40])
def test_vus_pr_is_that_of_aeon(buffer: int) -> None:
    generator = np.random.default_rng(buffer)
    labels = np.zeros(400, dtype=bool)
    labels[40:60] = labels[150:152] = labels[390:] = True
    scores = np.round(generator.random(400) + labels * 0.5, 2)
    expected = range_pr_vus_score(labels.astype(int), scores, buffer)
    assert measures.vus_pr(labels, scores, buffer) == pytest.approx(expected, abs=1e-12)


def test_f1_counts_steps_behind_the_training_part() -> None:
    scores = np.zeros(100)
    scores[[10, 71, 72, 90]] = 1.0
    found = measures.F1()([Scored(recording(), scores)], 0.5)
    assert found == {
        "f1": pytest.approx(2 * 2 / (3 + 5)),
        "precision": pytest.approx(2 / 3),
        "recall": pytest.approx(2 / 5),
        "false_alarms": pytest.approx(1 / 55),
    }


def test_without_an_anomaly_flags_alone_are_counted() -> None:
    scores = np.zeros(100)
    scores[[10, 71]] = 1.0
    normal = recording()._replace(labels=np.zeros(100, dtype=bool))
    found = measures.F1()([Scored(normal, scores)], 0.5)
    assert found.pop("false_alarms") == pytest.approx(1 / 60)
    assert np.isnan(list(found.values())).all()
    assert set(found) == set(measures.F1().names)


def test_f1_by_a_threshold_of_each_recordings_own() -> None:
    low, high = np.zeros(100), np.full(100, 0.8)
    low[[10, 71, 72, 90]], high[:40], high[[73, 74]] = 0.3, 0.6, 0.5
    low[:40] = 0.2
    found = measures.OwnF1(1.0)([Scored(recording(), low), Scored(recording(), high)], 0.9)
    assert found == {
        "own_f1": pytest.approx(2 * 5 / (61 + 10)),
        "own_precision": pytest.approx(5 / 61),
        "own_recall": pytest.approx(5 / 10),
        "own_false_alarms": pytest.approx(56 / 110),
    }


def test_an_alarm_that_goes_on_is_told_once() -> None:
    scores = np.array([0.1, 0.5, 0.5, 0.4, 0.6, 0.2, 0.2, 0.3])
    alarms = measures.NabScore(hold=3).alarms(scores)
    np.testing.assert_array_equal(alarms, [0.1, 0.5, 0, 0, 0.6, 0, 0, 0])


def test_nab_score_of_a_detector_that_hits_first() -> None:
    scores = np.zeros(100)
    scores[70] = 0.9
    found = measures.NabScore()([Scored(recording(), scores)], 0.5)
    assert found["nab_standard"] == pytest.approx(100)
    assert found["nab_low_fn_hindsight"] == pytest.approx(100)


def changed(*steps: int) -> Recording:
    """A second a step, with changes."""
    start = np.datetime64("2024-01-01T00:00:00")
    time = start + np.arange(400).astype("timedelta64[s]")
    return recording(400)._replace(time=time, changes=list(steps))


@pytest.mark.parametrize(
    ("flagged", "standard", "low_fp", "low_fn"),
    [
        ([], 0, 0, 0),
        ([(85, 285)], 100, 100, 100),  # begins and ends where both windows do
        ([(115, 315)], 100 * 0.89 / 2, 100 * 0.78 / 2, 100 * 1.89 / 3),
        ([(85, 400)], 50, 50, 50),
        ([(50, 70)], -100 * 0.22 / 4, -100 * 0.44 / 4, -100 * 0.22 / 6),
        ([(85, 90), (100, 285)], 100, 100, 100),  # the first in a window counts
    ],
)
def test_changes_are_scored_in_windows_around_them(
    flagged: list, standard: float, low_fp: float, low_fn: float
) -> None:
    scores = np.zeros(400)
    for first, end in flagged:
        scores[first:end] = 1.0
    found = measures.ChangePoints(30)([Scored(changed(100, 300), scores)], 0.5)
    assert found == pytest.approx(
        {"changes_nab_standard": standard, "changes_nab_low_fp": low_fp,
         "changes_nab_low_fn": low_fn}
    )  # fmt: skip


def test_changes_as_on_the_leaderboard_of_skab() -> None:
    """Windows begin at the change; the training part has neither changes nor detections."""
    scores = np.full(400, 0.3)
    scores[20:30] = scores[105:] = 0.6
    for quantile, threshold, key in ((None, 0.5, ""), (0.7, 0.9, "own_")):
        measure = measures.ChangePoints(60, before=0, quantile=quantile)
        found = measure([Scored(changed(25, 105, 300), scores)], threshold)
        assert found[f"{key}changes_nab_standard"] == pytest.approx(50)
    clock = measures.ClockBaseline(60, before=0)([Scored(changed(25, 100, 280), scores)], 0.5)
    assert clock["clock_changes_nab_standard"] == pytest.approx(100 - 100 * 2 * 0.11 / 4)
    for wrong in ({"before": 2}, {"quantile": 0}, {"seconds": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            measures.ChangePoints(**wrong)


def test_a_window_of_changes_is_cut_where_the_one_before_ends() -> None:
    scores = np.zeros(400)
    scores[105:] = 1.0  # within both windows, if they were whole
    found = measures.ChangePoints(30)([Scored(changed(100, 110), scores)], 0.5)
    fall = (1 - np.tanh(np.pi * (20 / 30 - 0.5)) / np.tanh(np.pi / 2)) / 2
    wanted = 100 * (fall * 1.11 - 0.11 + 1) / 4
    assert found["changes_nab_standard"] == pytest.approx(wanted)
    assert np.isnan(measures.ChangePoints()([Scored(recording(), np.zeros(100))], 0.5)[
        "changes_nab_standard"
    ])  # fmt: skip


def test_pca_finds_what_breaks_a_pattern() -> None:
    steps = np.arange(600)
    values = np.sin(steps / 5)[:, None].astype(np.float32)
    values[400:410] = 0.9
    one = recording(600, where=(400, 410))._replace(values=values, num_train=200)
    found = measures.PcaBaseline(size=32, max_buffer=8)([Scored(one, np.zeros(600))], 0.5)
    assert found["pca_vus_pr"] > 0.3


def test_pca_of_a_part_that_stands_still() -> None:
    one = recording(300, where=(200, 210))
    values = np.zeros((300, 1), dtype=np.float32)
    values[200:210] = 5.0
    one = one._replace(values=values, num_train=100)
    found = measures.PcaBaseline(size=8, max_buffer=8)([Scored(one, np.zeros(300))], 0.5)
    assert found["pca_vus_pr"] > 0.8


def monitored(**options) -> Monitored:
    sizes = {"look_back": 10, "horizon": 4, "stride": 2}
    source = [recording(), recording(80, "b")]
    splits = Monitored(lambda: source, RecordingPipeline(limit=1e9), **sizes | options)
    splits.fit()
    return splits


def test_windows_stay_in_their_recording_and_part() -> None:
    splits = monitored()
    starts = {s: splits.tensors(s).index.tolist() for s in ("train", "val", "test")}
    assert starts["train"] == [*range(10, 29, 2), *range(110, 129, 2)]
    assert starts["val"] == [32, 34, 36, 132, 134, 136]
    assert starts["test"] == [*range(10, 97, 2), *range(110, 177, 2)]
    batch = splits.tensors("test").__getitems__([0])
    steps = torch.cat([batch.x[..., 0], batch.y[..., 0]], dim=1)[0]
    raw = splits.pipeline.scales["a"].undo(steps.numpy()[:, None])[:, 0]
    np.testing.assert_array_equal(raw.round(), np.arange(14))


def test_the_last_steps_are_scored_too() -> None:
    assert monitored(horizon=3, stride=3).tensors("test").index.tolist()[-1] == 177


def table(path: Path, n: int = 300) -> Path:
    generator = np.random.default_rng(0)
    anomaly = np.zeros(n, dtype=int)
    anomaly[200:206] = 1
    value = np.sin(np.arange(n) / 3) + 0.05 * generator.normal(size=n)
    value[200:206] += 3
    date = pd.date_range("2024-01-01", periods=n, freq="min")
    frame = pd.DataFrame({"date": date, "value": value, "anomaly": anomaly})
    frame.to_csv(path, index=False)
    return path


@pytest.mark.long
def test_the_user_s_table_from_the_command_line(tmp_path: Path) -> None:
    table(tmp_path / "mine.csv")
    words = ["data=labelled", f"data.file={tmp_path}/mine.csv", "data.look_back=24"]
    words += ["model.segment_size=8", "trainer.max_epochs=15", "data.batch_size=16"]
    words += ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    metrics = train(composed(words), tmp_path / "run")
    assert metrics["test/vus_pr"] > 0.3
    assert 0 < metrics["test/threshold"] < 1
    assert (tmp_path / "run" / "figures" / "test_anomalies.png").is_file()


SCORES = {
    "errors": (),
    "components": ("data.reconstruct=true", "data.horizon=96", "model=autoencoder",
                   "task/scorer=subspace"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("kind", "period", "seed"), [("errors", 48, 0), ("components", 25, 2)])
def test_normal_rows_of_the_user_s_table_are_no_anomalies(
    kind: str, period: int, seed: int, tmp_path: Path
) -> None:
    """Both commands of README, on 2,000 rows; the net has seen 480 of them."""
    generator, steps = np.random.default_rng(seed), np.arange(2000)
    value = np.sin(2 * np.pi * steps / period) + 0.1 * generator.normal(size=2000)
    anomaly = np.isin(steps, np.r_[1200:1206, 1700:1706])
    value[1200:1206] += 2
    value[1700:1706] -= 2
    date = pd.date_range("2024-01-01", periods=2000, freq="h")
    frame = pd.DataFrame({"date": date, "value": value, "anomaly": anomaly.astype(int)})
    frame.to_csv(tmp_path / "labelled.csv", index=False)
    words = ["data=labelled", f"data.file={tmp_path}/labelled.csv", *SCORES[kind]]
    words += ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    words += ["trainer.max_epochs=25", "callbacks.figures=null"]
    metrics = train(composed(words), tmp_path / "run")
    model = seqfuse.load(tmp_path / "run/checkpoints/best.ckpt")
    found = pd.DataFrame(model.table(tmp_path / "labelled.csv"))
    near = np.convolve(anomaly, np.ones(257), "same") > 0.5  # the net and the score look back
    assert found.anomaly[anomaly].all()
    assert found.anomaly[600:][~near[600:]].sum() <= 3  # of 860, at a rate of 1 in 1,000
    assert metrics["test/recall"] == 1
