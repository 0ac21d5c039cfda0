"""From config to objects: the only place that instantiates."""

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from seqfuse.config import runs, untrusted
from seqfuse.config.checks.fit import check_task, check_windows
from seqfuse.config.checks.trainer import check_trainer, ends, precision, validates
from seqfuse.config.mistakes import refusal
from seqfuse.config.recipes import Config, any_sizes, fill, resolve
from seqfuse.nn.attention import Mean
from seqfuse.nn.heads import ClassHead, CrfHead
from seqfuse.nn.net import Net
from seqfuse.nn.revin import Interpolation
from seqfuse.nn.shapes import Adaptive, Block, ReadOut
from seqfuse.predicting.ensemble import Ensemble
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.losses import Averaging

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task

OURS = ("monitor", "mode", "quantiles")
"""Options of a task that others read."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable of the user's own, which Lightning would write over."""
MOMENTS = {
    "checkpoint": "save_on_train_epoch_end",
    "early_stopping": "check_on_train_epoch_end",
}
MAX_MEMBERS = 100
"""Largest size of an ensemble."""
TRAINER_OURS = ("auto_steps", "auto_epochs", "compile", "num_threads")
"""Options of the trainer's section that are not Lightning's."""


def make(node: Mapping[str, Any], key: str, **wired: Any) -> Any:
    """Instantiates a node; `wired` are arguments that come from other parts."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise InputError(f"{key}={node}: a part is a section whose _target_ names a class")
    untrusted.check_resolved(node, key)
    try:
        if not wired:
            return instantiate(dict(node), _convert_="all")
        return instantiate(dict(node), _convert_="all", _partial_=True)(**wired)
    except InputError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, InputError):
            raise cause from None
        raise refusal(key, str(cause or error)) from error


def rehearse(recipe: DictConfig) -> None:
    """Checks every range before data is read: builds net, task and optimizer without memory."""
    check_task(recipe)
    trial = resolve(fill(recipe, any_sizes(recipe)))
    check_windows(trial["data"])
    check_trainer(trial, {**trial["trainer"], "precision": precision(trial["trainer"])})
    trial["optimizer"].pop("fused", None)  # not for tensors without memory
    with torch.device("meta"):
        task = build_task(trial)
    try:
        optimizer = task.optimizer(task.net.parameters())
    except IndexError:
        raise InputError(f"optimizer: a list is too short: {trial['optimizer']}") from None
    except (TypeError, ValueError) as error:
        raise refusal("optimizer", str(error)) from None
    if not all(math.isfinite(group["lr"]) for group in optimizer.param_groups):
        raise InputError(f"optimizer.lr={trial['optimizer'].get('lr')} must be a finite number")
    task.scheduler(optimizer, 1000 if ends(trial["trainer"]) else 0)


def build_data(
    config: Config, evaluated: str = "test", given: Mapping[str, Any] | None = None
) -> "DataModule":
    """The data module, with nothing read yet.

    Testing looks at the split `evaluated`; `given` are arguments of the splits that lie in memory,
    in place of those of the config.
    """
    node, built = config["data"]["module"], {}
    if given:
        files = {key: part for key, part in node["splits"].items() if key not in given}
        built = {"splits": make(files, "data.module.splits", **given)}
        node = {key: part for key, part in node.items() if key != "splits"}
    shuffle = not config.get("trainer", {}).get("overfit_batches")
    return make(node, "data", shuffle=shuffle, evaluated=evaluated, **built)


PARTS = (
    *("normalization", "stem", "cnn", "lstm", "attention", "skip", "head", "init"),
    *("autoregression", "bank"),
)


def build_net(model: Config) -> Net:
    """Joins the parts: each gets the width of the one before it."""
    odd = [key for key, node in model.items() if isinstance(node, Mapping) and key not in PARTS]
    if odd:
        raise InputError(f"model.{odd[0]} is no part of a net: these are {', '.join(PARTS)}")
    width = model["in_channels"]
    parts: dict[str, Any] = {}
    normalization = parts["normalization"] = _part(model, "normalization", in_channels=width)
    segments = {"num_queries": 1, "context_channels": 0}
    if normalization:
        width = normalization.out_channels
        segments = {name: getattr(normalization, name) for name in segments}
    for name in ("stem", "cnn", "lstm"):
        block = parts[name] = _part(model, name, in_channels=width)
        if block and not isinstance(block, Block):
            raise InputError(f"model.{name}: {type(block).__name__} has no out_channels, its width")
        width = block.out_channels if block else width
        if name == "cnn":
            parts["skip"] = _part(model, "skip", in_channels=width)
    node = model.get("attention") or {}
    auto = {name: value for name, value in segments.items() if node.get(name) == "auto"}
    parts["attention"] = _part(model, "attention", in_channels=width, **auto) or Mean(width)
    for name in ("attention", "skip"):
        if parts[name] and not isinstance(parts[name], ReadOut):
            raise InputError(f"model.{name}: {type(parts[name]).__name__} is no nn.shapes.ReadOut")
    width = parts["attention"].out_channels + (parts["skip"].out_channels if parts["skip"] else 0)
    queries = parts["attention"].num_queries
    folds = normalization and not isinstance(normalization, Interpolation)
    folded = {"num_targets": 1} if folds and "num_targets" in model["head"] else {}
    parts["head"] = _part(model, "head", in_channels=width, num_queries=queries, **folded)
    if isinstance(parts["head"], ClassHead) and parts["attention"].keeps_steps:
        raise InputError("a class needs a whole item: type model/attention=mean")
    merges = any(isinstance(parts[name], Adaptive) for name in ("cnn", "lstm"))
    if merges and parts["attention"].keeps_steps:
        raise InputError(
            "model.cnn and model.lstm leave at most max_steps of the steps, each of which is asked "
            "for: type model=steps for labels of steps, model=wide for other tasks"
        )
    parts["init"] = _part(model, "init")
    folded = {"num_targets": 1} if normalization else {}
    parts["autoregression"] = _part(model, "autoregression", **folded)
    parts["bank"] = _part(model, "bank", in_channels=model["in_channels"])
    return Net(**parts)


def _part(model: Config, name: str, **wired: int) -> Any:
    return make(model[name], f"model.{name}", **wired) if model.get(name) else None


def build_task(config: Config, net: nn.Module | None = None, **given: Any) -> "Task":
    """Net, loss, metrics, optimizer and schedule; `given` are further arguments of the task."""
    from seqfuse.ddp.checks import shards

    node = {key: value for key, value in config["task"].items() if key not in OURS}
    optimizer = dict(config["optimizer"])
    half = precision(config["trainer"]) in ("16-mixed", "bf16-mixed")
    # Lightning does not clip for an optimizer that unscales itself; and shards may be empty.
    if "fused" in optimizer and (half or shards(config["trainer"])):
        optimizer["fused"] = False
    return make(
        node,
        "task",
        net=new_net(config) if net is None else net,
        optimizer=make(optimizer, "optimizer"),
        scheduler=make(config["scheduler"], "scheduler"),
        **given,
    )


def net_section(config: Config) -> Config:
    """The section of the net; without a bank of classes, unless each series has one class."""
    model, loss = config["model"], config["task"].get("loss") or {}
    bank = model.get("bank") or {}
    if str(loss.get("_target_")).endswith(".CrossEntropy") or "num_classes" not in bank:
        return model
    if bank.get("share") == 1:
        raise InputError("model=bank is for one class per series: type model=series")
    return {**model, "bank": None}


def new_net(config: Config) -> nn.Module:
    """The net of a config, or as many of them as its ensemble has members."""
    size = config.get("ensemble", 1)  # configs of older checkpoints have none
    return build_net(net_section(config)) if size == 1 else _build_ensemble(config, size)


def _build_ensemble(config: Config, size: Any) -> Ensemble:
    """Nets of one config, and the bank that they share."""
    if type(size) is not int or not 1 <= size <= MAX_MEMBERS:
        raise InputError(f"ensemble={size} must be a whole number from 1 to {MAX_MEMBERS}")
    loss, model = make(config["task"]["loss"], "task.loss"), net_section(config)
    if not isinstance(loss, Averaging):
        raise InputError(
            f"ensemble={size}: predictions for {type(loss).__name__} have no average: leave out "
            "ensemble, or give the loss one (see predicting.ensemble)"
        )
    if (model.get("bank") or {}).get("share") == 1:
        raise InputError(
            f"ensemble={size}: a bank alone is the same for every seed: type another model, or "
            "leave out ensemble"
        )
    members = [build_net({**model, "bank": None}) for _ in range(size)]
    if isinstance(members[0].head, CrfHead):
        raise InputError(
            f"ensemble={size}: a CRF's scores are of paths, which have no mean: type "
            "model/head=tags, or leave out ensemble"
        )
    return Ensemble(members, loss.average, _part(model, "bank", in_channels=model["in_channels"]))


def build_trainer(config: Config, *watching: "Callback") -> "Trainer":
    """The trainer, with its callbacks, further ones and loggers; writes into `paths.run`."""
    from seqfuse.ddp.checks import sizes
    from seqfuse.resume.whole import WholeFiles

    runs.quieten()
    node = {k: v for k, v in config["trainer"].items() if k not in TRAINER_OURS}
    node["precision"] = precision(node)
    check_trainer(config, node)
    node |= sizes(node)
    callbacks = {k: v for k, v in (config.get("callbacks") or {}).items() if v}
    if callbacks.get("early_stopping", {}).get("patience", 0) is None:
        del callbacks["early_stopping"]
    if set(callbacks) == {"figures"}:  # of the task, and callbacks=none was chosen
        callbacks = {}
    loggers = {k: v for k, v in (config.get("logger") or {}).items() if v}
    if not node["enable_progress_bar"]:
        callbacks.pop("progress_bar", None)
    if not loggers:
        callbacks.pop("lr_monitor", None)
    if not validates(config):
        node["limit_val_batches"] = 0
    # Only what is saved and decided at validation, before the schedule's step, resumes exactly.
    for name, moment in MOMENTS.items():
        if name in callbacks:
            callbacks[name] = {**callbacks[name], moment: not validates(config)}
    if not validates(config) and node["max_steps"] > 0 and "checkpoint" in callbacks:
        # The last weights, at the end of the cycle.
        callbacks["checkpoint"] = {**callbacks["checkpoint"], "monitor": None}
    node["enable_checkpointing"] = bool({"checkpoint", "last_checkpoint"} & set(callbacks))
    workspace = os.environ.get(WORKSPACE)
    trainer = make(
        node,
        "trainer",
        plugins=WholeFiles(),
        callbacks=[*(make(v, f"callbacks.{k}") for k, v in callbacks.items()), *watching],
        logger=[make(v, f"logger.{k}") for k, v in loggers.items()],
        default_root_dir=config["paths"]["run"],
    )
    if workspace is not None:
        os.environ[WORKSPACE] = workspace
    return trainer
