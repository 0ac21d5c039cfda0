"""Scores and flags on the command line: the numbers of the test step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.predict import main
from seqfuse.train import train
from tests import tables
from tests.conftest import QUIET, composed
from tests.tables import AIMS, PUMPS


@pytest.fixture(scope="module", params=AIMS)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp(request.param)
    tables.pumps(folder / "pumps.csv")
    words = [
        *QUIET,
        *PUMPS,
        f"data.file={folder}/pumps.csv",
        "trainer.max_epochs=8",
        "callbacks.figures=null",
    ]
    metrics = train(composed([*words, *AIMS[request.param]]), folder / "run")
    return folder / "run" / "checkpoints" / "best.ckpt", metrics


@pytest.mark.long
def test_a_split_gives_the_numbers_of_the_test(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path
) -> None:
    ckpt, metrics = trained
    code, _, err = command(
        main, f"ckpt={ckpt}", "split=test", own_file(ckpt), "output=out.csv", *QUIET
    )
    assert not code, err
    out = pd.read_csv("out.csv")
    assert list(out) == ["recording", "time", "score", "anomaly", "label"]
    assert out.groupby("recording").size().to_dict() == {"east": 200, "west": 200}
    tested = out[out.groupby("recording").cumcount() >= 60]
    hits = (tested.anomaly & tested.label).sum()
    f1 = 2 * hits / (tested.anomaly.sum() + tested.label.sum())
    assert f1 == pytest.approx(metrics["test/f1"], abs=1e-6)
    assert hits > 0
    assert (out.anomaly == (out.score >= threshold(ckpt))).all()


@pytest.mark.long
def test_a_file_without_labels_gives_the_same(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path
) -> None:
    ckpt, _ = trained
    tables.pumps(tmp_path / "new.csv").drop(columns="anomaly").to_csv(
        tmp_path / "new.csv", index=False
    )
    command(main, f"ckpt={ckpt}", "split=test", own_file(ckpt), "output=all.csv", *QUIET)
    code, _, err = command(main, f"ckpt={ckpt}", "input=new.csv", "output=out.parquet", *QUIET)
    assert not code, err
    out, expected = pd.read_parquet("out.parquet"), pd.read_csv("all.csv").drop(columns="label")
    pd.testing.assert_frame_equal(out.drop(columns="time"), expected.drop(columns="time"))
    assert (out.time.astype(str) == expected.time).all()


def test_steps_that_no_window_looks_at_have_no_score(
    trained: tuple[Path, dict], command: Callable
) -> None:
    ckpt, _ = trained
    command(main, f"ckpt={ckpt}", "split=test", own_file(ckpt), "output=out.csv", *QUIET)
    unknown = pd.read_csv("out.csv").score.isna().groupby(np.repeat([0, 1], 200)).sum()
    first = 16 if "forecast" in str(ckpt) else 0
    assert unknown.tolist() == [first, first]


@pytest.mark.long
def test_alarms_stand_in_a_table_of_their_own(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path
) -> None:
    ckpt, _ = trained
    tables.pumps(tmp_path / "new.csv")
    words = (f"ckpt={ckpt}", "input=new.csv", "output=out.csv", "alarms=alarms.csv", *QUIET)
    code, out, err = command(main, *words, "budget=15")
    assert not code, err
    alarms, rows = pd.read_csv("alarms.csv"), pd.read_csv("out.csv")
    assert list(alarms) == ["recording", "start", "end", "peak", "score", "channels"]
    assert len(alarms) <= 4, "200 minutes of each pump are 0.28 days"
    assert f"{len(alarms)} alarms  alarms.csv" in out
    assert set(alarms.recording) == {"east", "west"}
    assert set(alarms.channels) == {"value"}
    at_peak = rows.set_index(["recording", "time"]).score
    peaks = zip(alarms.recording, alarms.peak, strict=True)
    assert [at_peak[peak] for peak in peaks] == alarms.score.to_list()
    jump = (alarms.start <= "2024-01-01 02:36") & (alarms.end >= "2024-01-01 02:30")
    assert jump.sum() == 2
    loaded = seqfuse.load(ckpt, budget=15)
    found = pd.DataFrame(loaded.alarms(tmp_path / "new.csv"))
    pd.testing.assert_frame_equal(found.astype({"start": str, "end": str, "peak": str}), alarms)


@pytest.mark.long
def test_a_quantile_lowers_the_threshold_as_in_training(
    trained: tuple[Path, dict], tmp_path: Path
) -> None:
    loaded = seqfuse.load(trained[0])
    value = threshold(trained[0])
    assert seqfuse.load(trained[0], quantile=0.999).threshold == pytest.approx(value, rel=1e-5)
    places = [seqfuse.load(trained[0], quantile=q).threshold for q in (0.5, 0.9, 0.99, 0.9999)]
    assert places == sorted(places)
    tables.pumps(tmp_path / "new.csv")
    few, many = (loaded.predict(tmp_path / "new.csv", quantile=q)["anomaly"] for q in (0.99, 0.5))
    assert many.sum() > few.sum() > 0


def own_file(ckpt: Path) -> str:
    """The file that was trained on, which a checkpoint alone does not have read."""
    return f"data.file={ckpt.parents[2]}/pumps.csv"


def threshold(ckpt: Path) -> float:
    return torch.load(ckpt, weights_only=True)["state_dict"]["calibrator.value"].item()


def test_the_threshold_lies_in_the_checkpoint(trained: tuple[Path, dict]) -> None:
    ckpt, metrics = trained
    assert threshold(ckpt) == pytest.approx(metrics["test/threshold"])
    assert 0 < threshold(ckpt) < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("input=other.csv",), "has no column 'pump' for data.group"),
        (("input=young.csv",), "has 7 rows of 24, too few for a window"),
        (("input=new.csv", "every=3"), "every=3 is not for anomalies"),
        (("input=new.csv", "threshold=0.5", "budget=2"), "threshold=0.5 and budget=2"),
        (("input=new.csv", "quantile=1.5"), "quantile=1.5"),
        (("input=new.csv", "alarms=out.csv"), "alarms=out.csv is the output"),
        (("input=new.csv", "alarms=new.csv", "overwrite=true"), "new.csv is the input"),
    ],
)
def test_mistakes_are_named(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path, words: tuple, message: str
) -> None:
    frame = tables.pumps(tmp_path / "new.csv")
    frame.drop(columns="pump").to_csv(tmp_path / "other.csv", index=False)
    frame[:24].to_csv(tmp_path / "young.csv", index=False)
    code, _, err = command(main, f"ckpt={trained[0]}", "output=out.csv", *words, *QUIET)
    assert code
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()
