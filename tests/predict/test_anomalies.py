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
from tests.conftest import composed
from tests.tables import AIMS, PUMPS

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")


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


def test_from_python_as_on_the_command_line(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path
) -> None:
    ckpt, _ = trained
    tables.pumps(tmp_path / "new.csv")
    command(main, f"ckpt={ckpt}", "input=new.csv", "output=out.parquet", *QUIET)
    found = pd.DataFrame(seqfuse.load(ckpt).table(tmp_path / "new.csv"))
    pd.testing.assert_frame_equal(found, pd.read_parquet("out.parquet"), check_dtype=False)


def test_steps_that_no_window_looks_at_have_no_score(
    trained: tuple[Path, dict], command: Callable
) -> None:
    ckpt, _ = trained
    command(main, f"ckpt={ckpt}", "split=test", own_file(ckpt), "output=out.csv", *QUIET)
    unknown = pd.read_csv("out.csv").score.isna().groupby(np.repeat([0, 1], 200)).sum()
    first = 16 if "forecast" in str(ckpt) else 0
    assert unknown.tolist() == [first, first]


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
        (("split=val",), "type split=test"),
        (("input=new.npz",), "new.npz: the ending must be one of: .csv, .csv.gz, .tsv"),
        (("input=other.csv",), "has no column 'pump' for data.group"),
        (("input=speed.csv",), "has the columns speed, training had value"),
        (("input=short.csv",), "has 3 rows of 10, too few for a window"),
        (("input=young.csv",), "has 7 rows of 24, too few for a window"),
        (("input=new.csv", "every=3"), "every=3 is not for anomalies"),
    ],
)
def test_mistakes_are_named(
    trained: tuple[Path, dict], command: Callable, tmp_path: Path, words: tuple, message: str
) -> None:
    frame = tables.pumps(tmp_path / "new.csv")
    frame.drop(columns="pump").to_csv(tmp_path / "other.csv", index=False)
    frame.rename(columns={"value": "speed"}).to_csv(tmp_path / "speed.csv", index=False)
    frame[:10].to_csv(tmp_path / "short.csv", index=False)
    frame[:24].to_csv(tmp_path / "young.csv", index=False)
    (tmp_path / "new.npz").write_bytes(b"")
    own = [own_file(trained[0])] * ("split=val" in words)
    code, _, err = command(main, f"ckpt={trained[0]}", "output=out.csv", *own, *words, *QUIET)
    assert code
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()
