"""Teachers of a distillation: read from checkpoints, checked, frozen."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from seqfuse.config import build
from seqfuse.data.module import DataModule
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task
from seqfuse.tasks.contrastive import NO_HEAD, ContrastiveTask
from seqfuse.tasks.distill import DistillTask
from seqfuse.tasks.losses import TagLoss

SPANS = ("look_back", "horizon")
"""Of the data section: what a teacher must have been trained with, too."""


def start(task: Task, data: DataModule, config: build.Config) -> None:
    """Gives a distillation its teachers: `teacher`, one checkpoint or a list.

    Args:
        task: of the run.
        data: set up.
        config: of the run.

    Raises:
        InputError: none is named, a file cannot be read, or its net was trained for something else.
    """
    named = config.get("teacher")
    if not isinstance(task, DistillTask):
        if named:
            raise InputError(f"teacher={named} is for task=distill: type it, or leave out teacher")
        return
    if not named:
        raise InputError(
            "task=distill has no teacher: type teacher=logs/<name>/<time>/checkpoints/best.ckpt"
        )
    if getattr(data.splits.pipeline, "per_step", False) != isinstance(task.loss, TagLoss):
        raise InputError(
            "task=distill is for labels of items, task=distill_tags for those of steps"
        )
    paths = named if isinstance(named, list) else [named]
    task.teachers = tuple(_teacher(str(path), task.net, data, config) for path in paths)


def _teacher(path: str, student: nn.Module, data: DataModule, config: build.Config) -> nn.Module:
    trained, theirs, told = build.load(path, config.get("trust", ()), key="teacher")
    if isinstance(trained, ContrastiveTask):
        raise InputError(f"teacher={path}: {NO_HEAD}")
    _check_data(path, theirs.splits.pipeline.state_dict(), data.splits.pipeline.state_dict())
    for span in SPANS:
        ours, other = config["data"].get(span), told["data"].get(span)
        if ours != other:
            raise InputError(f"teacher={path} has data.{span}={other}, this run {ours}")
    net = trained.net.requires_grad_(False).eval()
    _check_outputs(path, net, student, data)
    levels = [one["task"].get("quantiles") for one in (told, config)]
    if levels[0] != levels[1]:
        raise InputError(
            f"teacher={path} forecasts task.quantiles={levels[0]}, this run {levels[1]}: type "
            f"task.quantiles={str(levels[0]).replace(' ', '')}"
        )
    say(f"teacher     {path}: {sum(p.numel() for p in net.parameters()):,} parameters")
    return net


def _check_data(path: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raises InputError unless both nets see the same numbers in the same data."""
    if theirs.get("classes") != ours.get("classes"):
        raise InputError(
            f"teacher={path} knows {_few(theirs.get('classes'))}; the classes here are "
            f"{_few(ours.get('classes'))}: train it on the same data"
        )
    channels = [len(one.get("mean", ())) for one in (theirs, ours)]
    if channels[0] != channels[1]:
        raise InputError(
            f"teacher={path} was trained on {channels[0]} channels, the data here has {channels[1]}"
        )
    odd = [key for key in {**ours, **theirs} if not _same(theirs.get(key), ours.get(key))]
    if odd:
        raise InputError(
            f"teacher={path} was fitted to other rows: its '{odd[0]}' is not that of this run; "
            "type the same data.*, and the same seed, or data.module.splits.seed for the folds"
        )


def _few(classes: Any) -> str:
    names = [str(name) for name in classes or ["no classes"]]
    more = [f"... ({len(names)})"] if len(names) > 6 else []
    return ", ".join(names[:6] + more)


def _same(one: Any, two: Any) -> bool:
    """Whether two states agree; numbers may differ by what another machine rounds."""
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)
    return one == two


@torch.no_grad()
def _check_outputs(path: str, teacher: nn.Module, student: nn.Module, data: DataModule) -> None:
    """Raises InputError unless both nets say as much of an item."""
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
