"""From a loaded checkpoint to a folder: graph, check, int8, measurements, card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from seqfuse.data.module import DataModule
from seqfuse.exporting import card, folder, measure, metadata, parity
from seqfuse.exporting.graph import Feeds, Graph, export
from seqfuse.exporting.quantise import write_int8
from seqfuse.exporting.samples import Samples, sources_of
from seqfuse.runtime.bundle import GRAPH, GRAPH_INT8
from seqfuse.runtime.engine import OnnxEngine
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.anomaly import AnomalyTask
from seqfuse.tasks.base import Task

FILES = {"fp32": GRAPH, "int8": GRAPH_INT8}


class TooMuchLost(InputError):
    """int8 costs more of the metric than may be; `before` is that of torch."""

    def __init__(self, text: str, before: float):
        super().__init__(text)
        self.before = before


@dataclass(eq=False, repr=False)
class Export:
    """One checkpoint on its way out.

    `config` is of the command; int8 is held against the metric `before`, or that of the net as it
    is.
    """

    task: Task
    data: DataModule
    trained: dict[str, Any]
    config: dict[str, Any]
    trainer: Trainer
    before: float | None = None

    def __post_init__(self) -> None:
        task, pipeline = self.task, self.data.splits.pipeline
        familiarity = task.familiarity if "distances" in task.metadata() else None
        self.graph = Graph(task.net, task.correction, sources_of(pipeline), familiarity).eval()
        self.samples = Samples(self.trained, pipeline, self.graph)
        self.metadata = metadata.describe(task, self.data, self.trained, self.opset)

    def write(self, part: Path) -> card.Measured:
        export(self.graph, self.samples(3, self.samples.steps, True), part / GRAPH, self.opset)
        worst = parity.check(self.graph, part / GRAPH, self.samples)
        if self.config["int8"]:
            write_int8(part / GRAPH, part / GRAPH_INT8)
        measured = self._measured(part, worst)
        self._check_loss(measured)
        folder.write_example(part, self.graph, self._example())
        folder.write_run(part)
        folder.write_metadata(part, self.metadata)
        card.write_card(part, self.metadata, self.trained, self.config, measured)
        return measured

    @property
    def opset(self) -> int:
        return self.config["opset"]

    @property
    def measures(self) -> bool:
        return self.config["split"] != "none"

    def _sessions(self, part: Path) -> dict[str, measure.Session]:
        return {
            who: measure.Session(OnnxEngine(part / name, threads=1), self.graph)
            for who, name in FILES.items()
            if (part / name).exists()
        }

    def _measured(self, part: Path, worst: float) -> card.Measured:
        sessions = self._sessions(part)
        metrics = {}
        if self.measures:
            for who, session in {"torch": None, **sessions}.items():
                metrics[who] = measure.metrics(self.task, self.data, self.trainer, session)
        self.task.eval()
        calls = {"torch": self.graph.run} | {who: session.run for who, session in sessions.items()}
        steps = self._steps()
        repeats = self.config["repeats"]
        latency = {
            batch: measure.latencies(calls, self.samples(batch, steps, False), repeats)
            for batch in measure.BATCHES
        }
        sizes = {who: (part / FILES[who]).stat().st_size for who in sessions}
        decides = measure.deciding(self.task, self.trained)[0]
        tuned = 0 if self.before is None else self.config["finetune"]["epochs"]
        return card.Measured(metrics, sizes, latency, steps, decides, worst, tuned)

    def _steps(self) -> int:
        """Steps of the longest item that was measured, or of a look-back."""
        if "look_back" in self.metadata or not self.measures:
            return self.samples.steps
        return int(self.data.tensors(self.config["split"]).num_steps)

    def _check_loss(self, measured: card.Measured) -> None:
        if "int8" not in measured.metrics:
            return
        name, more = measure.deciding(self.task, self.trained)
        first = self.before is None
        before = measured.metrics["torch"][name] if self.before is None else self.before
        after = measured.metrics["int8"][name]
        lost, bound = measure.loss_of(before, after, more), self.config["bound"]
        if lost > bound:
            remedy = "int8=finetune, " if first else "finetune.epochs=<more>, "
            text = (
                f"int8 makes {name} {after:.4f}, which was {before:.4f}: worse by {lost:.4f}, "
                f"above bound={bound:g}: type {remedy}int8=null or a larger bound"
            )
            raise TooMuchLost(text, before)

    def _example(self) -> Feeds:
        """The first items of what was measured, or made-up ones."""
        if not self.measures:
            return self.samples(3, self.samples.steps, True)
        batch = self.data.tensors(self.config["split"]).__getitems__([0, 1])
        feeds = measure.flat(self.graph, batch.x, batch.mask)
        missing = set(self.graph.inputs) - set(feeds)
        return self.samples(3, self.samples.steps, True) if missing else contiguous(feeds)


def check_job(config: Any, task: Task) -> None:
    """Raises InputError if the split has nothing to measure by, or the net is not to be tuned."""
    if config.int8 == "finetune" and task.num_members > 1:
        raise InputError(
            "int8=finetune trains one net, and this is an ensemble: type int8=true, or leave it out"
        )
    if isinstance(task, AnomalyTask) and config.split == "val":
        raise InputError("split=val: anomalies are known in the test split alone: type split=test "
                         "or split=none")  # fmt: skip


def contiguous(feeds: Feeds) -> Feeds:
    """Copies, which own their memory."""
    return {name: torch.clone(value).contiguous() for name, value in feeds.items()}
