"""A line per epoch on the console, also in a pipe, and curves at the end."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from seqfuse.callbacks.history import FEWEST
from seqfuse.figures.curves import curves
from seqfuse.train import train
from tests.conftest import Compose, composed

LINE = re.compile(
    r"epoch (?P<epoch>\d+)/(?P<epochs>\d+|\?)  train/loss (?P<train>[\d.]+)"
    r"  val/loss (?P<val>[\d.]+)  val/(?P<name>\w+) (?P<metric>[\d.]+)"
    r"  lr (?P<lr>[\de.-]+)(?P<left>  [\d:]+ left)?"
)
VALIDATED = ("data.num_folds=4", "trainer.max_epochs=3")


def lines(out: str) -> list[dict[str, str | None]]:
    found = [LINE.fullmatch(line) for line in out.splitlines()]
    return [match.groupdict() for match in found if match]


@pytest.mark.long
def test_a_line_per_epoch(tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    metrics = train(tiny(*VALIDATED, "task.monitor=val/accuracy", "task.mode=max"), tmp_path)
    out = capsys.readouterr().out
    rows = lines(out)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert {row["epochs"] for row in rows} == {"3"}
    assert {row["name"] for row in rows} == {"accuracy"}
    assert [bool(row["left"]) for row in rows] == [True, True, False]
    assert float(rows[-1]["val"] or "") == pytest.approx(metrics["val/loss"], abs=1e-4)
    assert float(rows[-1]["train"] or "") == pytest.approx(metrics["train/loss"], abs=1e-4)
    assert len({row["train"] for row in rows}) == 3
    assert (tmp_path / "figures" / "curves.png").is_file()
    # The validation of the weights that were tested stands among the results.
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["logged"]
    shown = dict(line.split() for line in out.splitlines() if line.startswith(("val/", "test/")))
    assert shown["val/accuracy"] == f"{float(best['val/accuracy']):.4f}"
    assert shown["val/accuracy"] == f"{metrics['best/val/accuracy']:.4f}"
    assert {"test/accuracy", "val/loss"} <= set(shown)
    assert "val/accuracy" in json.loads((tmp_path / "metrics.json").read_text())


@pytest.mark.long
@pytest.mark.parametrize("most", [5, 9])
def test_few_lines_of_many_epochs(
    most: int, tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["data.num_folds=4", "trainer.max_epochs=-1", "trainer.max_steps=40"]
    words += [f"callbacks.history.lines={most}", "callbacks.history.curves=false"]
    train(tiny(*words), tmp_path)
    rows = lines(capsys.readouterr().out)
    assert 4 <= len(rows) <= 6
    assert rows[-1]["epoch"] == rows[-1]["epochs"] == "10"
    assert not (tmp_path / "figures").exists()


@pytest.mark.long
def test_a_run_that_goes_on_draws_all_its_epochs(
    tiny: Compose, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    train(tiny("data.num_folds=4", "trainer.max_epochs=2", "test=false"), tmp_path)
    assert not (tmp_path / "figures").exists(), f"no curves of fewer than {FEWEST} epochs"
    capsys.readouterr()
    resume = f"resume={tmp_path}/checkpoints/last.ckpt"
    train(tiny("data.num_folds=4", "trainer.max_epochs=4", "test=false", resume), tmp_path)
    assert [row["epoch"] for row in lines(capsys.readouterr().out)][-2:] == ["3", "4"]
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]
    rows = next(state[name] for name in state if "History" in name)["rows"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert (tmp_path / "figures" / "curves.png").is_file()


def test_curves_have_a_panel_for_what_was_measured() -> None:
    rows = [{"epoch": i, "lr": 10.0**-i, "train/loss": 1 / i, "val/f1": i / 9} for i in (1, 2, 3)]
    figure = curves(rows, "val/f1")
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert set(panels) == {"loss", "f1", "learning rate"}
    assert panels["learning rate"].get_yscale() == "log"
    assert [line.get_ydata().tolist() for line in panels["f1"].lines] == [[1 / 9, 2 / 9, 3 / 9]]
    assert {axes.get_title() for axes in curves(rows[:1] * 3, "").axes} == {"loss", "learning rate"}


@pytest.mark.long
def test_forecasts_are_shown_by_their_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    stamps = np.datetime64("2024-01-01T00", "h") + np.arange(200)
    rows = [f"{stamp},{np.sin(i / 4):.3f}" for i, stamp in enumerate(stamps)]
    (tmp_path / "a.csv").write_text("\n".join(["date,load", *rows]))
    words = ["data=csv", f"data.file={tmp_path}/a.csv", "data.look_back=16", "data.horizon=8"]
    words += ["model.segment_size=8", "trainer.max_steps=1", "trainer.enable_progress_bar=false"]
    train(composed([*words, "test=false", "callbacks.figures=null"]), tmp_path / "run")
    assert {row["name"] for row in lines(capsys.readouterr().out)} == {"mse"}
