"""Net and calibration as one graph of plain tensors, written as ONNX by a process of its own."""

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqfuse.nn.shapes import CLOCK
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.engine import OUTPUTS
from seqfuse.runtime.errors import InputError

Feeds = Mapping[str, Tensor]


class Graph(nn.Module):
    """Tensors in, tensors out, in the order of `runtime.engine.OUTPUTS`.

    Args:
        net: raw batch to `Output`.
        calibrator: corrects predictions; None leaves them as they are.
        sources: names of several sources, in order; the clock comes first, without values.
        familiarity: measures distances of encodings; None measures none.
    """

    def __init__(
        self,
        net: nn.Module,
        calibrator: nn.Module | None,
        sources: Sequence[str] = (),
        familiarity: nn.Module | None = None,
    ):
        super().__init__()
        self.net, self.calibrator, self.familiarity = net, calibrator, familiarity
        self.sources = list(sources)
        clock = [input_name(CLOCK, "mask")] if sources else []
        both = [input_name(source, kind) for source in sources or [""] for kind in ("x", "mask")]
        self.inputs = [*clock, *both]
        """Names, in the order of the arguments."""

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.outputs(*tensors).values())

    def outputs(self, *tensors: Tensor) -> dict[str, Tensor]:
        named = dict(zip(self.inputs, tensors, strict=True))
        x: Any = named.get("x")
        mask: Any = named.get("mask")
        if self.sources:
            x = {source: named[input_name(source, "x")] for source in self.sources}
            names = (CLOCK, *self.sources)
            mask = {source: named[input_name(source, "mask")] for source in names}
        output = self.net(x, mask)
        prediction = output.prediction
        if self.calibrator is not None:
            prediction = self.calibrator(prediction)
        distance = None if self.familiarity is None else self.familiarity(output.encoding)
        values = (prediction, output.weights, output.disagreement, distance)
        pairs = zip(OUTPUTS, values, strict=True)
        return {name: value for name, value in pairs if value is not None}

    @torch.inference_mode()
    def run(self, feeds: Feeds) -> dict[str, Tensor]:
        return self.outputs(*(feeds[name] for name in self.inputs))


def export(graph: Graph, feeds: Feeds, path: Path, opset: int) -> None:
    """Writes a graph in eval mode, in a process that does nothing else.

    It is traced of `feeds`, a batch of two items or more; `opset` is the version of the operators.
    """
    content = pickle.dumps({"graph": graph, "feeds": dict(feeds), "opset": opset})
    command = [sys.executable, "-P", "-m", "seqfuse.exporting.child", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_places())}
    done = subprocess.run(command, input=content, env=environment, capture_output=True)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = (lines or ["it was killed"])[-1][:300]
        raise InputError(f"the net cannot be written as ONNX: {reason}")


def _places() -> list[str]:
    """Search path of modules, without the current folder unless PYTHONPATH names it."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    named = {os.path.abspath(path) for path in given if path}
    return [path for path in sys.path if path and (path in named or not _is_here(path))]


def _is_here(path: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(os.curdir)


def write(graph: Graph, feeds: Feeds, path: Path, opset: int) -> None:
    """Writes a graph, in this process.

    The exporter that traces is used: the newer one, by torch.export, takes twenty times as long,
    and its LSTMs are not turned into `DynamicQuantizeLSTM` (torch 2.15, ONNX Runtime 1.32).
    """
    tensors = tuple(feeds[name] for name in graph.inputs)
    with torch.no_grad():
        outputs = graph.outputs(*tensors)
    prediction, weights = outputs["prediction"], outputs["weights"]
    axes: dict[str, dict[int, str]] = {
        name: {0: "batch", 1: f"{name.rpartition('_')[0] or 'x'}_time"} for name in graph.inputs
    }
    axes["prediction"] = {0: "batch"}
    axes["weights"] = {0: "batch", 1: "queries", 2: "steps"}
    # As many as there are steps: one for each.
    if prediction.dim() > 2 and prediction.shape[1] == weights.shape[1] == tensors[0].shape[1]:
        axes["prediction"][1] = "time"
    if "disagreement" in outputs:
        axes["disagreement"] = axes["prediction"]
    if "distance" in outputs:
        axes["distance"] = {0: "batch"}
    torch.onnx.export(
        graph,
        tensors,
        str(path),
        dynamo=False,
        opset_version=opset,
        input_names=graph.inputs,
        output_names=list(outputs),
        dynamic_axes=axes,
    )
