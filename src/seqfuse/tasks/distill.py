"""Distillation: a net that also learns from the outputs of nets trained before."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from hydra.utils import get_object
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torchmetrics import Metric

from seqfuse.config import checkpoint, loading, recipes
from seqfuse.data.module import DataModule
from seqfuse.nn import collectives, crf
from seqfuse.nn.shapes import Batch
from seqfuse.predicting.model import Record
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import NO_LABEL, Labelled
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task
from seqfuse.tasks.calibration import Familiarity
from seqfuse.tasks.contrastive import NO_HEAD, ContrastiveTask
from seqfuse.tasks.losses import ObservedLoss, TagLoss, mean_over

TINY = 1e-9
"""The lowest probability of a tag of a CRF, so that it has a logarithm."""
SPANS = ("look_back", "horizon")
"""Keys of the data section that a teacher must have been trained with, too."""


class SoftTargets(nn.Module):
    """T² KL(teachers ‖ student), both softened by a temperature T (Hinton et al. 2015, section 2).

    T² keeps gradients about as large at every T. Several teachers are one: the mean of their
    softened probabilities. Of CRFs, it is the marginals of each step's tags.

    Args:
        temperature: above 0; scores are divided by it.
    """

    def __init__(self, temperature: float = 4.0):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.temperature = temperature

    def forward(
        self, prediction: Tensor, outputs: Sequence[Tensor], y: Tensor
    ) -> Float[Tensor, ""]:
        """Scores (b k), (b t k) or, of a CRF, (b t k k), and labels (b) or (b t)."""
        labelled = y != NO_LABEL
        wanted = torch.stack([self._softened(output, labelled).exp() for output in outputs]).mean(
            dim=0
        )
        student = self._softened(prediction, labelled)
        divergence = F.kl_div(student, wanted, reduction="none").sum(dim=-1)
        return self.temperature**2 * mean_over(divergence, labelled)

    def items(self, y: Tensor) -> Tensor:
        """The number of labelled series or steps."""
        return (y != NO_LABEL).sum()

    def _softened(self, scores: Tensor, labelled: Tensor) -> Tensor:
        scores = scores.float() / self.temperature
        if scores.dim() < 4:
            return scores.log_softmax(dim=-1)
        return crf.marginals(scores, labelled).clamp(min=TINY).log()


class SameOutputs(ObservedLoss):
    """The mean absolute distance of forecasts from the mean of the teachers'."""

    def forward(
        self,
        prediction: Float[Tensor, "b h k p"],
        outputs: Sequence[Float[Tensor, "b h k p"]],
        y: Float[Tensor, "b h k"],
    ) -> Float[Tensor, ""]:
        wanted = torch.stack(list(outputs)).mean(dim=0)
        return mean_over((prediction - wanted).abs().mean(dim=-1), ~y.isnan())


class DistillTask(Task):
    """A student that learns from labels and from what its teachers say of the same batch.

    Validation and test measure the student by its labels alone, so that they mean the same with
    and without teachers, and need none. Teachers are no part of the module: neither the optimizer
    nor a checkpoint knows them.

    Args:
        match: the student's prediction, the teachers' outputs and the target to a scalar, a mean
            over what its `items` counts.
        teaching: fraction of `match` in the training loss; labels have the rest.
        teachers: frozen nets.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        metrics: Mapping[str, Metric],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer, int], dict[str, Any]],
        match: nn.Module,
        teaching: float = 0.5,
        calibrator: nn.Module | None = None,
        record: Record | None = None,
        teachers: Iterable[nn.Module] = (),
        familiarity: Familiarity | None = None,
    ):
        super().__init__(net, loss, metrics, optimizer, scheduler, calibrator, record, familiarity)
        if not 0 <= teaching <= 1:
            raise ValueError(f"teaching={teaching} must be from 0 to 1")
        self.match: Any = match
        self.teaching = teaching
        self.teachers = tuple(teachers)  # where torch does not look for parts of a module

    def on_fit_start(self) -> None:
        super().on_fit_start()
        for teacher in self.teachers:
            teacher.to(self.device)

    def _loss(self, prediction: Tensor, batch: Batch, stage: str) -> tuple[Tensor, int]:
        hard, size = super()._loss(prediction, batch, stage)
        if stage != "train" or not self.teachers:
            return hard, size
        match = self.match(prediction, self._outputs(batch), batch.y)
        if collectives.count() > 1:  # a mean over other items than the loss's
            match, _ = collectives.pooled(match, self.match.items(batch.y), size)
        return self._mixed(hard, match), size

    def _loss_of_none(self, nothing: Tensor, stage: str) -> tuple[Tensor, int]:
        hard, size = super()._loss_of_none(nothing, stage)
        if stage != "train" or not self.teachers:
            return hard, size
        return self._mixed(hard, super()._loss_of_none(nothing, stage)[0]), size

    def _mixed(self, hard: Tensor, match: Tensor) -> Tensor:
        return (1 - self.teaching) * hard + self.teaching * match

    @torch.no_grad()
    def _outputs(self, batch: Batch) -> list[Tensor]:
        return [teacher(batch.x, batch.mask).prediction for teacher in self.teachers]


def teachers(
    config: recipes.Config, student: nn.Module, data: DataModule
) -> dict[str, list[nn.Module]]:
    """The argument `teachers` of a distillation, nothing for other tasks.

    `teacher` of the config names one checkpoint or several.
    """
    named = config.get("teacher")
    if not _makes(config["task"], DistillTask):
        if named:
            raise InputError(f"teacher={named} is for task=distill: type it, or leave out teacher")
        return {}
    if not named:
        raise InputError(
            "task=distill has no teacher: type teacher=logs/<name>/<time>/checkpoints/best.ckpt"
        )
    pipeline = data.splits.pipeline
    is_per_step = isinstance(pipeline, Labelled) and pipeline.labels.per_step
    if is_per_step != _makes(config["task"]["loss"], TagLoss):
        raise InputError(
            "task=distill is for labels of items, task=distill_tags for those of steps"
        )
    paths = named if isinstance(named, list) else [named]
    return {"teachers": [_teacher(str(path), student, data, config) for path in paths]}


def _makes(node: Mapping[str, Any], kind: type) -> bool:
    target = get_object(node["_target_"])
    return isinstance(target, type) and issubclass(target, kind)


def _teacher(path: str, student: nn.Module, data: DataModule, config: recipes.Config) -> nn.Module:
    trained, its_data, its_config = loading.load(
        checkpoint.fetched(path), config.get("trust", ()), key="teacher"
    )
    if isinstance(trained, ContrastiveTask):
        raise InputError(f"teacher={path}: {NO_HEAD}")
    _check_data(path, its_data.splits.pipeline.state_dict(), data.splits.pipeline.state_dict())
    for span in SPANS:
        ours, theirs = config["data"].get(span), its_config["data"].get(span)
        if ours != theirs:
            raise InputError(f"teacher={path} has data.{span}={theirs}, this run {ours}")
    net = trained.net.requires_grad_(False).eval()
    _check_outputs(path, net, student, data)
    theirs, ours = (section["task"].get("quantiles") for section in (its_config, config))
    if theirs != ours:
        raise InputError(
            f"teacher={path} forecasts task.quantiles={theirs}, this run {ours}: type "
            f"task.quantiles={str(theirs).replace(' ', '')}"
        )
    say(f"teacher     {path}: {sum(p.numel() for p in net.parameters()):,} parameters")
    return net


def _check_data(path: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raises InputError unless both nets see the same numbers in the same data."""
    known, wanted = (state.get("labels", {}).get("classes") for state in (theirs, ours))
    if known != wanted:
        raise InputError(
            f"teacher={path} knows {_few(known)}; the classes here are {_few(wanted)}: train it "
            "on the same data"
        )
    trained, here = (len(_means(state)) for state in (theirs, ours))
    if trained != here:
        raise InputError(
            f"teacher={path} was trained on {trained} channels, the data here has {here}"
        )
    odd = [key for key in {**ours, **theirs} if not _same(theirs.get(key), ours.get(key))]
    if odd:
        raise InputError(
            f"teacher={path} was fitted to other rows: its '{odd[0]}' is not that of this run; "
            "type the same data.*, and the same seed, or data.module.splits.seed for the folds"
        )


def _means(state: Mapping[str, Any]) -> Any:
    """One for each channel, where they are scaled."""
    return state.get("standardisation", {}).get("mean", ())


def _few(classes: Any) -> str:
    names = [str(name) for name in classes or ["no classes"]]
    more = [f"... ({len(names)})"] if len(names) > 6 else []
    return ", ".join(names[:6] + more)


def _same(a: Any, b: Any) -> bool:
    """Whether two states agree; numbers may differ by what another machine rounds."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return a == b


@torch.no_grad()
def _check_outputs(path: str, teacher: nn.Module, student: nn.Module, data: DataModule) -> None:
    """Raises InputError unless both nets return as many numbers for an item."""
    items = data.tensors("train")
    batch = items.__getitems__(list(range(min(2, len(items)))))
    was_training = student.training
    shapes = [net.eval()(batch.x, batch.mask).prediction.shape for net in (teacher, student)]
    student.train(was_training)
    theirs, ours = (list(shape[1:]) for shape in shapes)
    if theirs[: len(ours)] != ours and ours[: len(theirs)] != theirs:
        raise InputError(
            f"teacher={path} gives {theirs} numbers an item, the student {ours}: it was trained "
            "for another job"
        )
