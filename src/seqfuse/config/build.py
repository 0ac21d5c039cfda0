"""From config to objects: the only place that instantiates.

A *recipe* is a composed config with its interpolations; a *config* is plain containers.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from seqfuse.config import checkpoint, untrusted
from seqfuse.config.mistakes import refusal
from seqfuse.config.saving import WholeFiles
from seqfuse.config.settings import (
    check_task,
    check_trainer,
    ends,
    keep_workspace,
    precision,
    validates,
)
from seqfuse.config.sizes import any_sizes, fill
from seqfuse.data.module import DataModule
from seqfuse.nn.heads import ClassHead
from seqfuse.nn.net import Net
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.base import Task

Config = dict[str, Any]
OURS = ("monitor", "mode", "quantiles")
"""Knobs of a task that others read."""
MOMENTS = {
    "checkpoint": "save_on_train_epoch_end",
    "early_stopping": "check_on_train_epoch_end",
}


def make(node: Mapping[str, Any], key: str, **wired: Any) -> Any:
    """Instantiates a node; `wired` are arguments that come from other parts.

    Raises:
        InputError: it is no node, or the target refuses its arguments; names the key.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise InputError(f"{key}={node}: a part is a section whose _target_ names a class")
    untrusted.check_resolved(node, key)
    try:
        return instantiate(dict(node), _convert_="all", **wired)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        raise refusal(key, str(cause or error)) from error


def resolve(recipe: DictConfig) -> Config:
    """The recipe as plain containers."""
    return OmegaConf.to_container(recipe, resolve=True)  # type: ignore[return-value]


def unresolved(recipe: DictConfig) -> Config:
    """The recipe as plain containers, interpolations kept."""
    return OmegaConf.to_container(recipe, resolve=False)  # type: ignore[return-value]


def rehearse(recipe: DictConfig) -> None:
    """Builds net, task and optimizer without memory: ranges are checked before data is read.

    Raises:
        InputError: a knob is out of range.
    """
    check_task(recipe)
    config = resolve(fill(recipe, any_sizes(recipe)))
    config["optimizer"].pop("fused", None)  # not for tensors without memory
    with torch.device("meta"):
        task = build_task(config)
    try:
        optimizer = task.optimizer(task.net.parameters())
    except IndexError:
        raise InputError(f"optimizer: a list is too short: {config['optimizer']}") from None
    except (TypeError, ValueError) as error:
        raise refusal("optimizer", str(error)) from None
    if not all(math.isfinite(group["lr"]) for group in optimizer.param_groups):
        raise InputError(f"optimizer.lr={config['optimizer'].get('lr')} must be a finite number")
    task.scheduler(optimizer, 1000 if ends(config["trainer"]) else 0)


def build_data(config: Config) -> DataModule:
    """The data module, with nothing read yet."""
    data = make(config["data"]["module"], "data")
    data.shuffles = not config.get("trainer", {}).get("overfit_batches")
    return data


def build_net(model: Config) -> Net:
    """Joins the parts: each is told the width of the one before it."""
    width = model["in_channels"]
    frame = _part(model, "frame", in_channels=width)
    width = getattr(frame, "out_channels", width)
    parts: dict[str, Any] = {"frame": frame}
    for name in ("stem", "cnn", "lstm"):
        parts[name] = _part(model, name, in_channels=width)
        width = getattr(parts[name], "out_channels", width)
        if name == "cnn":
            parts["skip"] = _part(model, "skip", in_channels=width)
    parts["attention"] = _part(model, "attention", in_channels=width, **_segments(model, frame))
    width = getattr(parts["attention"], "out_channels", width)
    width += getattr(parts["skip"], "out_channels", 0)
    queries = getattr(parts["attention"], "num_queries", 1)
    folded = {"num_targets": 1} if frame and "num_targets" in model["head"] else {}
    parts["head"] = _part(model, "head", in_channels=width, num_queries=queries, **folded)
    if isinstance(parts["head"], ClassHead) and getattr(parts["attention"], "keeps_steps", False):
        raise InputError("a class is told from a whole item: type model/attention=mean")
    parts["init"] = _part(model, "init")
    return Net(**parts)


def _segments(model: Config, frame: Any) -> dict[str, int]:
    """What an attention leaves at `auto`: a query per output segment, and the context."""
    found = {"num_queries": 1, "context_channels": 0}
    found = {name: getattr(frame, name, value) for name, value in found.items()}
    node = model.get("attention") or {}
    return {name: value for name, value in found.items() if node.get(name) == "auto"}


def _part(model: Config, name: str, **wired: int) -> Any:
    return make(model[name], f"model.{name}", **wired) if model.get(name) else None


def build_task(config: Config) -> Task:
    """Net, loss, metrics, optimizer and schedule."""
    node = {key: value for key, value in config["task"].items() if key not in OURS}
    optimizer = dict(config["optimizer"])
    if "fused" in optimizer and precision(config["trainer"]) in ("16-mixed", "bf16-mixed"):
        optimizer["fused"] = False  # Lightning does not clip for an optimizer that unscales itself
    return make(
        node,
        "task",
        net=build_net(config["model"]),
        optimizer=make(optimizer, "optimizer"),
        scheduler=make(config["scheduler"], "scheduler"),
    )


def build_trainer(config: Config) -> Trainer:
    """The trainer, with its callbacks and loggers; writes into `paths.run`."""
    node = {k: v for k, v in config["trainer"].items() if k not in ("compile", "num_threads")}
    node["precision"] = precision(node)
    check_trainer(config, node)
    callbacks = {k: v for k, v in (config.get("callbacks") or {}).items() if v}
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
            callbacks[name][moment] = not validates(config)
    node["enable_checkpointing"] = bool({"checkpoint", "last_checkpoint"} & set(callbacks))
    with keep_workspace():
        return make(
            node,
            "trainer",
            plugins=WholeFiles(),
            callbacks=[make(v, f"callbacks.{k}") for k, v in callbacks.items()],
            logger=[make(v, f"logger.{k}") for k, v in loggers.items()],
            default_root_dir=config["paths"]["run"],
        )


def load(
    path: str | Path,
    trust: Sequence[str] = (),
    recipe: DictConfig | None = None,
    key: str = "ckpt",
) -> tuple[Task, DataModule, Config]:
    """Rebuilds task and data module from a checkpoint; no data is read.

    Args:
        path: of the checkpoint.
        trust: top-level packages of the user's own that its config may name.
        recipe: stands in for the checkpoint's data section.
        key: that names the checkpoint in the config, for messages.

    Raises:
        InputError: the checkpoint cannot be read or trusted.
    """
    content = checkpoint.read(path, key)
    checkpoint.check_numbers(content, path)
    config, built = content["config"], BUILT
    if recipe is not None:
        config, built = _with_recipe(config, resolve(recipe)), (*BUILT, "callbacks")
    try:
        config = {**config, "data": untrusted.without_downloads(config["data"])}
        untrusted.check_targets({key: config[key] for key in built}, trust)
        task, data = build_task(config), build_data(config)
        task.load_state_dict(content["state_dict"])
        data.load_state_dict(content[DataModule.__qualname__])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except LookupError as error:
        raise InputError(f"{path} is no whole checkpoint: it lacks {error}") from None
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit its config ({reason})") from None
    except (TypeError, AttributeError):
        raise InputError(f"{path}: its config or its pipeline is not one of seqfuse's") from None
    task.record = {"config": config, "recipe": content["recipe"]}
    return task.eval(), data, config


def _with_recipe(config: Config, recipe: Config) -> Config:
    """The checkpoint's config with the data section, and the figures, of the command."""
    trained, wanted = config["data"].get("horizon"), recipe["data"].get("horizon")
    if trained != wanted:
        raise InputError(f"data.horizon={wanted}: the net forecasts {trained} steps: leave it out")
    return {**config, "data": recipe["data"], "callbacks": recipe.get("callbacks")}


BUILT = ("data", "model", "task", "optimizer", "scheduler")
