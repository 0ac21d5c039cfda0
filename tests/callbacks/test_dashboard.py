"""What TensorBoard is given, read back from the event files."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from seqfuse.search.outcome import Outcome
from seqfuse.train import train
from tests.conftest import DRAWN, Compose, composed


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    words = ("callbacks.figures.every_n_epochs=1", "trainer.log_every_n_steps=1")
    folder = tmp_path_factory.mktemp("run")
    train(composed([*DRAWN, *words]), folder)
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    return accumulator.Reload()


@pytest.mark.long
def test_tags(events: EventAccumulator) -> None:
    tags = events.Tags()
    wanted = {f"{stage}/loss" for stage in ("train", "val", "test")}
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error")
    wanted |= {f"{stage}/{name}" for stage in ("val", "test") for name in metrics}
    wanted |= {"train/lr", "train/gradient_norm"}
    assert wanted <= set(tags["scalars"])
    figures = ("confusion_matrix", "reliability", "precision_recall", "attention", "most_wrong")
    images = {f"{s}/{name}" for s in ("val", "test") for name in figures} | {"test/unfamiliar"}
    assert set(tags["images"]) == images
    assert len(events.Images("val/attention")) == 2, "one for each epoch, none per step"
    assert "config/text_summary" in tags["tensors"]
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "hidden_size: 64" in text


@pytest.mark.long
def test_charts_are_grouped_and_named(events: EventAccumulator) -> None:
    content = events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    layout = Layout.FromString(content)
    charts = {category.title: category for category in layout.category}
    assert set(charts) == {"Learning", "Validation", "Speed"}
    assert charts["Learning"].chart[0].multiline.tag == ["train/loss", "val/loss"]
    scalars = set(events.Tags()["scalars"])
    shown = {tag for each in charts.values() for chart in each.chart for tag in chart.multiline.tag}
    assert shown - scalars == {"train/(gpu_)?memory_mib"}


@pytest.mark.long
def test_the_projector_has_test_items_with_class_and_row(events: EventAccumulator) -> None:
    folder = Path(events.path)
    config = (folder / "projector_config.pbtxt").read_text()
    [table], [points] = folder.glob("*/test/metadata.tsv"), folder.glob("*/test/tensors.tsv")
    assert str(table.relative_to(folder)) in config
    header, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert header == ["class", "row"]
    assert {name for name, _ in rows} == {"negative", "positive"}
    assert len(rows) == len(points.read_text().splitlines()) == 16
    values = np.loadtxt(points, delimiter="\t")
    assert np.isfinite(values).all()
    assert values.std() > 0


@pytest.mark.long
def test_forecasts_have_no_class_to_project(tmp_path: Path) -> None:
    stamps = np.datetime64("2024-01-01T00", "h") + np.arange(200)
    rows = [f"{stamp},{np.sin(i / 4):.3f}" for i, stamp in enumerate(stamps)]
    (tmp_path / "a.csv").write_text("\n".join(["date,load", *rows]))
    words = ["data=csv", f"data.file={tmp_path}/a.csv", "data.look_back=16", "data.horizon=8"]
    words += ["model.segment_size=8", "trainer.max_steps=1", "trainer.enable_progress_bar=false"]
    train(composed([*words, "callbacks.figures=null"]), tmp_path / "run")
    accumulator = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert "test/mse" in accumulator.Tags()["scalars"]
    assert not list((tmp_path / "run" / "tensorboard").glob("projector*"))


def test_hyperparameters_come_with_metrics(events: EventAccumulator) -> None:
    plugin = events.summary_metadata
    assert "_hparams_/experiment" in plugin
    start = plugin["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer/lr" in start
    assert b"data/name" in start
    assert b"Task" in start
    assert b"freeze" in start
    assert b"_target_" not in start
    assert b"test/accuracy" in plugin["_hparams_/experiment"].plugin_data.content


def test_one_number_per_step_and_none_after_it(events: EventAccumulator) -> None:
    norms = events.Scalars("train/gradient_norm")
    assert [event.step for event in norms] == list(range(8))
    assert all(event.value > 0 for event in norms)
    assert len(events.Scalars("val/loss")) == 2


@pytest.mark.long
def test_in_a_sweep_the_tab_has_what_was_given(tiny: Compose, tmp_path: Path) -> None:
    words = ["model=base", "optimizer.lr=0.01", "trial.number=3"]
    Outcome("killed", {}).write(tmp_path, overrides=words)
    train(tiny("callbacks.figures=null", "test=false", "optimizer.lr=0.01"), tmp_path)
    accumulator = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    plugin = accumulator.summary_metadata
    start = plugin["_hparams_/session_start_info"].plugin_data.content
    options = HParamsPluginData.FromString(start).session_start_info.hparams
    assert set(options) == {"model", "optimizer/lr", "status"}
    assert options["optimizer/lr"].number_value == 0.01
    assert options["status"].string_value == "completed"
    experiment = plugin["_hparams_/experiment"].plugin_data.content
    names = HParamsPluginData.FromString(experiment).experiment.metric_infos
    assert [metric.name.tag for metric in names] == ["best/val/loss"]
    assert len(accumulator.Scalars("best/val/loss")) == 1
