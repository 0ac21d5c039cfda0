"""Written graphs equal torch at other batches and lengths, for each kind of net."""

import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from seqfuse.config import build, recipes
from seqfuse.exporting import parity
from seqfuse.exporting.graph import Graph, export, write
from seqfuse.exporting.quantise import write_int8
from seqfuse.exporting.samples import Samples, sources_of
from seqfuse.nn.shapes import Output
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.clips import ClipPipeline
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.runtime.pipelines.sources import SourcesPipeline
from seqfuse.runtime.pipelines.text import TextPipeline, texts
from seqfuse.tasks.calibration import EntityBias
from tests.conftest import composed

TABLE = ("data=csv", "data.file=x", "data.look_back=24", "data.horizon=7", "model.segment_size=6")
NETS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "base": (("data=synthetic", "model=base"), {}),
    "wide": (("data=synthetic", "model/attention=multihead"), {}),
    "series": (
        ("data=archive", "model.cnn.max_steps=7", "model.lstm.max_steps=3"),
        {"channels": 3},
    ),
    "text": (("data=text", "data.train=x", "data.test=x", "data.buckets=50"), {}),
    "tags": (("data=conll", "data.train=x", "data.test=x", "model/head=crf"), {}),
    "steps": (("data=har_steps", "model/attention=steps", "model.cnn.norm=layer"), {}),
    "table": (TABLE, {"channels": 5, "num_targets": 2, "num_known": 2}),
    "alone": (TABLE, {"channels": 1}),
    "autoencoder": (
        (*TABLE[2:4], "data=nab", "model=autoencoder", "data.reconstruct=true"),
        {"channels": 2, "num_targets": 2},
    ),
    "early": (("data=har_fusion",), {"source_channels": {"phone": 3, "watch": 2}}),
    "late": (
        ("data=har_fusion", "model/stem=late_fusion", "model/cnn=none", "model/lstm=none"),
        {"source_channels": {"phone": 3, "watch": 2}},
    ),
    "clips": (("data=video", "data.folder=x", "data.size=8", "model.stem.channels=[4]"), {}),
}


def pipeline_of(name: str, config: dict) -> Any:
    if name in ("text", "tags"):
        knobs = {"subwords": config["data"]["subwords"], "buckets": 50, "max_subwords": 6}
        return TextPipeline(**knobs).fit(texts([["a", "bc"], ["d"]], labels=["x", "y"]))
    if name == "clips":
        pipeline = ClipPipeline()
        pipeline.shape = (3, 8, 8)
        return pipeline
    if "source_channels" in config["data"] and name in ("early", "late"):
        pipeline = SourcesPipeline(SeriesPipeline)
        pipeline.parts = {"phone": SeriesPipeline(), "watch": SeriesPipeline()}
        return pipeline
    return SeriesPipeline()


def made(name: str) -> tuple[Graph, Samples]:
    """A net with its first weights, and batches for it."""
    words, given = NETS[name]
    recipe = composed(words)
    data: dict[str, Any] = {**recipes.ANY_SIZES, **given}
    if name in ("text", "tags"):
        data |= pipeline_of(name, {"data": recipe.data}).sizes()
    data["channels"] = 3 if name == "clips" else data["channels"]
    auto = {key: value for key, value in data.items() if recipe.data.get(key) == "auto"}
    config = recipes.resolve(recipes.fill(recipe, auto))
    task = build.build_task(config)
    pipeline = pipeline_of(name, config)
    graph = Graph(task.net, task.calibrator, sources_of(pipeline)).eval()
    return graph, Samples(config, pipeline, graph)


def written(graph: nn.Module, feeds: dict[str, Tensor], path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that the exporter is the older one
        write(graph, feeds, path, 17)  # type: ignore[arg-type]
    return path


@pytest.mark.long
@pytest.mark.parametrize("name", NETS)
def test_a_graph_is_what_torch_is(name: str, tmp_path: Path) -> None:
    graph, samples = made(name)
    path = written(graph, samples(3, samples.steps, True), tmp_path / "model.onnx")
    assert parity.check(graph, path, samples) <= 1e-5
    inputs = [one.name for one in onnx.load(path).graph.input]
    assert inputs == graph.inputs


@pytest.mark.long
def test_every_lstm_is_turned_into_whole_numbers(tmp_path: Path) -> None:
    graph, samples = made("tags")
    path = written(graph, samples(3, 12, True), tmp_path / "model.onnx")
    write_int8(path, tmp_path / "int8.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert kinds.count("DynamicQuantizeLSTM") == 2
    assert "LSTM" not in kinds


class Frozen(nn.Module):
    """Counts its items by `len`, which tracing takes for a number that never changes."""

    def forward(self, x: Tensor, mask: Tensor) -> Output:
        found = x.mean(dim=1) * len(x)
        return Output(found, mask.unsqueeze(1).to(x.dtype))


def test_a_net_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    _, samples = made("base")
    graph = Graph(Frozen(), None).eval()
    path = written(graph, samples(3, 12, True), tmp_path / "model.onnx")
    with pytest.raises(InputError, match="differs from torch by .* at 1 items of 6 steps") as error:
        parity.check(graph, path, samples)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_process_of_its_own_says_why_it_fails(tmp_path: Path) -> None:
    graph, samples = made("base")
    feeds = {**samples(3, 12, True), "x": torch.zeros(3, 12, 2)}
    with pytest.raises(InputError, match="cannot be written as ONNX: RuntimeError: .*channels"):
        export(graph, feeds, tmp_path / "model.onnx", 17)


@pytest.mark.long
def test_a_bias_of_tags_goes_into_the_graph(tmp_path: Path) -> None:
    graph, samples = made("tags")
    graph.calibrator = EntityBias(["B-a", "O"])
    graph.calibrator.bias.fill_(2.5)
    path = written(graph, samples(3, 12, True), tmp_path / "model.onnx")
    assert parity.check(graph, path, samples) <= 1e-5
