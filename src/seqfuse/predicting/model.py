"""A net with what corrects and judges its predictions, without what trains it."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from seqfuse.nn.shapes import Output
from seqfuse.predicting.ensemble import Ensemble


class Record(NamedTuple):
    """Configuration of a task, as its checkpoints hold it (see `seqfuse.config.checkpoint`)."""

    config: dict[str, Any]
    """Plain containers, resolved, with all sizes filled in."""
    recipe: dict[str, Any]
    """The configuration with its interpolations."""
    found: dict[str, Any]
    """Values of options that were searched for, by key."""


@runtime_checkable
class Describing(Protocol):
    """A part whose values users of predictions need."""

    def metadata(self) -> dict[str, Any]:
        """Plain data; empty where there is none yet."""
        ...


class Model(nn.Module):
    """A net, the calibrator of its predictions and the distances of its items.

    A task is one that is trained, too: names of weights are the same. The record is of its
    checkpoint.
    """

    def __init__(
        self,
        net: nn.Module,
        calibrator: nn.Module | None = None,
        familiarity: nn.Module | None = None,
        record: Record | None = None,
    ):
        super().__init__()
        self.net = net
        self.calibrator: Any = calibrator
        self.familiarity: Any = familiarity
        self.record = record or Record({}, {}, {})
        self.num_members = len(net.members) if isinstance(net, Ensemble) else 1

    def forward(self, x: Tensor, mask: Tensor) -> Output:
        return self.net(x, mask)

    def calibrate(self, prediction: Tensor) -> Tensor:
        """The prediction as users get it."""
        return prediction if self.calibrator is None else self.calibrator(prediction)

    def distance(self, output: Output) -> Tensor | None:
        """(b) of items from those of training; None where none is measured."""
        distances = self.familiarity
        if distances is None or not distances.is_fitted or output.encoding is None:
            return None
        return distances(output.encoding)

    def metadata(self) -> dict[str, Any]:
        quantiles = self.record.config["task"].get("quantiles")
        more: dict[str, Any] = {"quantiles": list(quantiles)} if quantiles else {}
        for part in (self.calibrator, self.familiarity):
            if isinstance(part, Describing):
                more |= part.metadata()
        if self.num_members > 1:
            more["members"] = self.num_members
        return {"stride": int(self.net.stride), **more}  # type: ignore[arg-type]


class ClipScores(Model):
    """A net that reconstructs clips, whose errors are scores."""

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "job": "clip_scores"}


MODELS = {
    "seqfuse.tasks.base.Task": Model,
    "seqfuse.tasks.anomaly.AnomalyTask": Model,
    "seqfuse.tasks.clips.ClipAnomalyTask": ClipScores,
    "seqfuse.tasks.distill.DistillTask": Model,
}
"""By the task that trained them; importing one takes Lightning."""
