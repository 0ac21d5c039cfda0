"""Measurements of an export: metrics, size, latency; of torch and the written graphs."""

import statistics
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from seqfuse.data.module import DataModule
from seqfuse.exporting.graph import Feeds, Graph
from seqfuse.nn.shapes import Output
from seqfuse.runtime.batches import input_name
from seqfuse.runtime.engine import OnnxEngine
from seqfuse.tasks.anomaly import AnomalyTask
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Temperature

BATCHES = (1, 64)


class Latency(NamedTuple):
    """Milliseconds of a call, on one thread."""

    median: float
    p95: float


class Session(nn.Module):
    """A written graph in the place of the net that it was written from."""

    def __init__(self, engine: OnnxEngine, graph: Graph):
        super().__init__()
        self.engine, self.graph = engine, graph

    def forward(self, x: Any, mask: Any) -> Output:
        outputs = self.run(flat(self.graph, x, mask))
        apart = outputs.get("disagreement")
        return Output(outputs["prediction"], outputs["weights"], {}, apart)

    def run(self, feeds: Feeds) -> dict[str, Tensor]:
        """Runs the graph on named tensors, without those of missing sources."""
        predicted = self.engine({name: tensor.numpy() for name, tensor in feeds.items()})
        return {name: torch.from_numpy(each) for name, each in predicted.named().items()}


def flat(graph: Graph, x: Any, mask: Any) -> dict[str, Tensor]:
    """A batch's x and mask by the names of a graph's inputs; missing sources are left out."""
    if not graph.sources:
        return {"x": x, "mask": mask}
    feeds = {input_name(name, "mask"): part for name, part in mask.items()}
    return feeds | {input_name(name, "x"): x[name] for name in graph.sources if name in x}


def metrics(
    task: Task, data: DataModule, trainer: Trainer, session: Session | None = None
) -> dict[str, float]:
    """Metrics of a task on the split `data.evaluated`, or of a session in the net's place.

    Without what is of predictions before calibration, such as the loss, and the accuracies of
    parts: a graph returns neither.
    """
    measured = task if session is None else task.with_net(session)
    trainer.test(measured, datamodule=data, verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    inner = {"test/loss", *(name for part in task.alone.values() for name in part)}  # type: ignore[union-attr]
    if task.calibrated is not None and not isinstance(task.calibrator, Temperature):
        inner |= {*task.calibrated}  # labels, whose graph gives scores above thresholds
    return {n.removeprefix("test/"): v for n, v in metrics.items() if _is_returned(n, inner)}


def _is_returned(name: str, inner: Collection[str]) -> bool:
    return name not in inner and not name.endswith("_uncalibrated")


def deciding(task: Task, config: Mapping[str, Any]) -> tuple[str, bool]:
    """The metric that int8 is judged by, and whether more of it is better.

    That which the checkpoint was chosen by; where it was the loss, the task's first one.
    """
    if isinstance(task, AnomalyTask):
        return ("nab_standard" if "nab" in task.measures else next(iter(task.measures))), True
    name = str(config["task"]["monitor"]).rpartition("/")[2]
    if name == "loss":
        name = next(iter(config["task"]["metrics"]))
    metric = task.metrics["test_"][name]
    return name, bool(metric.higher_is_better)


def loss_of(before: float, after: float, more_is_better: bool) -> float:
    """How much worse a metric became: of a share the difference, of an error its growth."""
    if more_is_better:
        return before - after
    return (after - before) / max(abs(before), 1e-12)


def latencies(
    calls: Mapping[str, Callable[[Feeds], Any]], feeds: Feeds, repeats: int
) -> dict[str, Latency]:
    """Times calls, by name, in turns, so that a busy spell of the machine is shared.

    Each is given the feeds `repeats` times, after three that are not counted.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call(feeds)
            if i >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    torch.set_num_threads(before)
    return {name: Latency(*_spread(values)) for name, values in times.items()}


def _spread(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)]
