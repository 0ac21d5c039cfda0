"""From config to objects: the only place that instantiates.

A *recipe* is a composed config with its interpolations; a *config* is plain containers.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from seqfuse.config import checkpoint, runs, untrusted
from seqfuse.config.checks.fit import check_task, check_windows
from seqfuse.config.checks.trainer import check_trainer, ends, precision, validates
from seqfuse.config.mistakes import refusal
from seqfuse.data.interfaces import Splits
from seqfuse.data.read import vectors
from seqfuse.data.read.files import TableFile
from seqfuse.nn import collectives
from seqfuse.nn.attention import Mean
from seqfuse.nn.heads import ClassHead, CrfHead
from seqfuse.nn.net import Net
from seqfuse.nn.revin import Interpolation
from seqfuse.nn.shapes import Adaptive, Block, ReadOut
from seqfuse.nn.stems import set_vectors
from seqfuse.predicting.engine import TorchEngine, place
from seqfuse.predicting.ensemble import Ensemble
from seqfuse.predicting.model import MODELS, Model, Record
from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.tasks.calibration import Threshold
from seqfuse.tasks.losses import Averaging

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task

Config = dict[str, Any]
DATA = "DataModule"
"""Key of the data in a checkpoint."""
OURS = ("monitor", "mode", "quantiles")
"""Options of a task that others read."""
MODULE = "seqfuse.data.module.DataModule"
TRAINING = (
    *(("task", name) for name in ("_target_", "metrics", "measures", "match")),
    *(("data", "module", name) for name in ("_target_", "augment")),
    *(("optimizer",), ("scheduler",)),
)
"""Parts that a model is rebuilt without, by the keys that lead there."""
WEIGHTS = ("net.", "calibrator.", "familiarity.")
"""Beginnings of the names of a model's weights."""
BUILT = ("data", "model", "task", "optimizer", "scheduler")
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable of the user's own, which Lightning would write over."""
MOMENTS = {
    "checkpoint": "save_on_train_epoch_end",
    "early_stopping": "check_on_train_epoch_end",
}
ANY_SIZES = {
    "channels": 1,
    "num_steps": 1,
    "sources": ["any"],
    "source_channels": {"any": 1},
    "num_classes": 2,
    "classes": ["B-a", "O"],  # of any job: names, and tags
    "class_counts": [1, 1],
    "vocab_size": 2,
    "num_subwords": 2,
    "batch_size": 1,
    "num_targets": 1,
    "target_names": ["any"],
    "target_std": [1.0],
    "num_known": 0,
    "num_columns": 1,
    "naive_errors": [1.0],
    "season": 1,
    "look_back": 336,
    "horizon": 96,
    "num_folds": 5,
    "calibration": False,
}
TASKS = {"classes": "classification", "numbers": "regression", "several": "multilabel"}
"""For each type of labels."""
MAX_MEMBERS = 100
"""Largest size of an ensemble."""
SEGMENT = 48
"""Steps of a segment, where the look-back is long."""
TRAINER_OURS = ("auto_steps", "auto_epochs", "compile", "num_threads")
"""Options of the trainer's section that are not Lightning's."""
FOLLOW = {"model.in_channels": "channels", "model.head.num_classes": "num_classes"}


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


def resolve(recipe: DictConfig) -> Config:
    """The recipe as plain containers."""
    return OmegaConf.to_container(recipe, resolve=True)  # type: ignore[return-value]


def unresolved(recipe: DictConfig) -> Config:
    """The recipe as plain containers, interpolations kept."""
    return OmegaConf.to_container(recipe, resolve=False)  # type: ignore[return-value]


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


def with_validation(recipe: DictConfig) -> DictConfig:
    """The recipe, holding a fifth out where `auto` may not and the task needs it.

    A temperature alone needs none (see `tasks.calibrate`); without a calibrator nothing is
    kept for it.
    """
    calibrator = str((recipe.task.get("calibrator") or {}).get("_target_", ""))
    halved = recipe.data.get("calibration")
    needs = halved is True or (calibrator and not calibrator.endswith(".Temperature"))
    data: dict[str, Any] = {}
    if recipe.data.get("num_folds") == "auto" and needs:
        data["num_folds"] = 5
    if halved == "auto" and not calibrator:
        data["calibration"] = False
    return OmegaConf.merge(recipe, {"data": data}) if data else recipe  # type: ignore[return-value]


def any_sizes(recipe: DictConfig) -> dict[str, Any]:
    """A valid value for each size at `auto`; as many classes as there are weights of them.

    A size that follows another has none of its own.
    """
    auto = {
        size: value
        for size, value in ANY_SIZES.items()
        if recipe.data.get(size) == "auto" and not OmegaConf.is_interpolation(recipe.data, size)
    }
    weights = (recipe.task.get("loss") or {}).get("class_weights")
    if isinstance(weights, ListConfig) and "class_counts" in auto:
        auto["class_counts"] = [1] * len(weights)
    return auto


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return [text for item in inner for text in _texts(item)] if isinstance(inner, list) else []


def fill(recipe: DictConfig, sizes: Mapping[str, Any], steps: int = 0) -> DictConfig:
    """A copy of the recipe with sizes where it says `auto`; declared ones must be the data's.

    Where `auto` leaves no validation, the loss of training stands for that of validation.
    """
    recipe = recipe.copy()
    is_auto = recipe.data.get("num_folds") == "auto"
    for size, value in sizes.items():
        if size not in recipe.data:
            continue
        for text in _texts(value):
            if "${" in text:  # which a config would look up, or call
                raise InputError(f"the data has the name {text!r}: rename it, without '${{' in it")
        declared = recipe.data[size]
        if declared not in ("auto", value):
            message = f"data.{size}={declared}, but the data has {value}"
            if size == "label_type":
                message += f" as labels: type task={TASKS[value]}, or give it others"
            if size == "channels":
                message += (
                    f": read as (series, {steps} steps, {value} channels); if the axes are the "
                    f"other way round, data.layout reads ({value} steps, {steps} channels)"
                )
            raise InputError(message)
        recipe.data[size] = value
    for key, size in FOLLOW.items():
        declared = OmegaConf.select(recipe, key)
        if declared is not None and size in sizes and declared != sizes[size]:
            raise InputError(f"{key} follows data.{size}: leave it out")
    _settle(recipe, sizes, is_auto)
    return recipe


def _settle(recipe: DictConfig, sizes: Mapping[str, Any], is_auto: bool) -> None:
    """Options that hang on sizes: segments, monitors and the number of steps."""
    if recipe.model.get("segment_size") == "auto":
        recipe.model.segment_size = _segment_size(recipe.data)
    if is_auto and sizes.get("num_folds") == 0:
        for part in (recipe.task, recipe.scheduler):
            if part.get("monitor") == "val/loss":
                part.monitor = "train/loss"
    if recipe.trainer.get("max_steps") == "auto":
        recipe.trainer.max_steps = _budget(recipe.trainer, sizes.get("num_batches", 1))
        saved = OmegaConf.select(recipe, "callbacks.checkpoint")
        is_cycle = is_auto and sizes.get("num_folds") and recipe.trainer.max_steps > 0
        if is_cycle and saved and OmegaConf.is_interpolation(saved, "monitor"):
            # Few held-out rows would choose a net before the cycle's end.
            recipe.callbacks.checkpoint.monitor = None
    # A short run, too, ends with a validation, without which no checkpoint is the best.
    limit, steps = recipe.trainer.limit_train_batches, recipe.trainer.max_steps
    if isinstance(limit, int) and isinstance(steps, int) and steps > 0:
        recipe.trainer.limit_train_batches = min(
            limit, steps * recipe.trainer.accumulate_grad_batches
        )


def _segment_size(data: DictConfig) -> int:
    """Steps of a segment: 48; of a look-back below 96, at most a quarter of it: whole seasons, or
    a part that divides it."""
    look_back, season = data.get("look_back"), data.get("season")
    if not isinstance(look_back, int) or not 0 < look_back < 2 * SEGMENT:
        return SEGMENT
    maximum = max(look_back // 4, 1)
    if isinstance(season, int) and 1 < season <= maximum:
        return maximum - maximum % season
    return max(size for size in range(1, maximum + 1) if look_back % size == 0)


def _budget(trainer: DictConfig, num_batches: int) -> int:
    """Optimizer steps for so many batches in an epoch; -1 where epochs are given."""
    if trainer.max_epochs != -1:
        return -1
    limit = trainer.limit_train_batches
    num_batches = min(num_batches, limit) if isinstance(limit, int) else int(num_batches * limit)
    epoch = math.ceil(num_batches / trainer.accumulate_grad_batches)
    return max(trainer.auto_steps, trainer.auto_epochs * epoch)


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


def _model(config: Config) -> Config:
    """The section of the net; without a bank of classes, unless each series has one class."""
    model, loss = config["model"], config["task"].get("loss") or {}
    bank = model.get("bank") or {}
    if str(loss.get("_target_")).endswith(".CrossEntropy") or "num_classes" not in bank:
        return model
    if bank.get("share") == 1:
        raise InputError("model=bank is for one class per series: type model=series")
    return {**model, "bank": None}


def start_task(config: Config, data: "DataModule", record: Record | None = None) -> "Task":
    """A task with its first weights, and with its teachers."""
    from seqfuse.tasks import distill  # which loads checkpoints, and so imports this module

    net = build_net(_model(config))
    start_weights(net, data, config)
    return build_task(config, net, record=record, **distill.teachers(config, net, data))


def new_net(config: Config) -> nn.Module:
    """The net of a config, or as many of them as its ensemble has members."""
    size = config.get("ensemble", 1)  # configs of older checkpoints have none
    return build_net(_model(config)) if size == 1 else _build_ensemble(config, size)


def _build_ensemble(config: Config, size: Any) -> Ensemble:
    """Nets of one config, and the bank that they share."""
    if type(size) is not int or not 1 <= size <= MAX_MEMBERS:
        raise InputError(f"ensemble={size} must be a whole number from 1 to {MAX_MEMBERS}")
    loss, model = make(config["task"]["loss"], "task.loss"), _model(config)
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


def sized(recipe: DictConfig, data: "DataModule", found: Mapping[str, Any] | None = None) -> Record:
    """The config with the sizes of the data, and what a checkpoint keeps of it.

    `found` are values of options that were searched for, by key.
    """
    filled = fill(recipe, data.sizes(), data.splits.num_steps)
    return Record(resolve(filled), unresolved(filled), dict(found or {}))


def first_task(record: Record, data: "DataModule") -> "Task":
    """The task of a run that begins, with its first weights."""
    task = start_task(record.config, data, record)
    if record.config["trainer"]["compile"]:
        task.compile_net()
    return task


def whole_task(sharded: "Task", content: Mapping[str, Any]) -> "Task":
    """A task with a whole net, in the place of one whose net was sharded while it was trained.

    Its weights are the last ones, unless `content` of a checkpoint is loaded next.
    """
    task = build_task(sharded.record.config, record=sharded.record)
    if not content:
        weights = sharded.state_dict().items()
        content = {"state_dict": {name: collectives.whole(w).cpu() for name, w in weights}}
        task.load_state_dict(content["state_dict"])
    task.take_bank(content)
    return task


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


def start_weights(net: Net, data: "DataModule", config: Config) -> None:
    """First weights that come from files: `data.vectors`, then `init_from`.

    `freeze` keeps what came from `init_from` as it is.
    """
    if config["data"].get("vectors"):
        _take_vectors(net, data, config)
    path, freeze = config.get("init_from"), config.get("freeze", False)
    if freeze and not path:
        raise InputError(
            "freeze=true keeps an encoder that was trained before: type init_from=<checkpoint>, too"
        )
    if path and not config.get("resume"):  # a run that goes on has its own by now
        _take_encoder(str(path), net, data.splits.pipeline.state_dict(), freeze)
    if freeze:
        net.freeze()


def _take_vectors(net: Net, data: "DataModule", config: Config) -> None:
    path = TableFile(config["data"]["vectors"], config["data"]["root"]).path()
    words = data.splits.pipeline.words
    ids, rows = map(torch.from_numpy, vectors.read(path, words))
    try:
        set_vectors(net.stem, ids, rows)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"data.vectors={path}: {error}") from None
    say(f"vectors     {path}: {len(ids):,} of {len(words):,} words")


def _take_encoder(path: str, net: nn.Module, inputs: dict[str, Any], whole: bool) -> None:
    """Loads all of the encoder, weights and batch statistics, that fits by name and shape.

    The net reads from a pipeline whose state is `inputs`; `whole` asks for all of the encoder.
    """
    content = checkpoint.read(checkpoint.fetched(path), "init_from")
    checkpoint.check_numbers(content, f"init_from={path}")
    theirs, before = content["state_dict"], content[DATA]["pipeline"]
    for key in ("scaling", "missing"):
        if key in before and key in inputs and before[key] != inputs[key]:
            other = f"was trained with data.{key}={before[key]}, not {inputs[key]}"
            if whole:
                raise InputError(f"init_from={path} {other}: type that, or leave out freeze")
            say(f"init_from   init_from={path} {other}")
    if before.get("words") != inputs.get("words"):  # their numbers mean others
        theirs = {name: w for name, w in theirs.items() if not name.startswith("net.stem.")}
    fitting, left = {}, []
    for name, ours in net.state_dict().items():
        given = theirs.get(f"net.{name}")
        if name.startswith(("head.", "autoregression.", "bank.")):
            continue
        if given is not None and given.shape == ours.shape:
            fitting[name] = given
        else:
            shape = "" if given is None else f", there {list(given.shape)}"
            left.append(f"{name} {list(ours.shape)}{shape}")
    if not any(weight.dim() > 1 for weight in fitting.values()):  # a bias may fit by chance
        raise InputError(
            f"init_from={path}: no weight of it fits this encoder ({'; '.join(left[:2])}): type "
            "the data.* and model.* that it was trained with"
        )
    if left and whole:
        only = all(name.startswith("attention.") for name in left)
        fix = "model/attention=mean" if only else "the same model.*"
        raise InputError(
            f"freeze=true needs the whole encoder, but init_from={path} does not have "
            f"{'; '.join(left[:2])}: type {fix}, or leave out freeze"
        )
    net.load_state_dict(fitting, strict=False)
    missing = f"; not {', '.join(left)}" if left else ""
    say(f"init_from   {path}: {len(fitting)} of {len(fitting) + len(left)} tensors{missing}")


def load(
    path: str | Path,
    trust: Sequence[str] = (),
    recipe: DictConfig | None = None,
    key: str = "ckpt",
    evaluated: str = "test",
) -> "tuple[Task, DataModule, Config]":
    """Rebuilds task and data module from a checkpoint; no data is read.

    Args:
        trust: top-level packages of the user's own that its config may name.
        recipe: stands in for the checkpoint's data section.
        key: of the config, that names the checkpoint, for messages.
        evaluated: the split that testing looks at.

    Returns:
        both, and the config of the checkpoint.
    """
    with _read(path, key) as content:
        config, built = content["config"], BUILT
        if recipe is not None:
            config, built = _with_recipe(config, resolve(recipe)), (*BUILT, "callbacks")
        config = {**config, "data": untrusted.without_downloads(config["data"])}
        untrusted.check_targets({key: config[key] for key in built}, trust)
        record = Record(config, content["recipe"], {})
        task, data = build_task(config, record=record), build_data(config, evaluated)
        task.load_state_dict(content["state_dict"])
        data.load_state_dict(content[DATA])
    return task.eval(), data, config


def load_model(
    path: str | Path, trust: Sequence[str] = (), recipe: DictConfig | None = None
) -> tuple[Model, Splits]:
    """Rebuilds from a checkpoint what predicts, and the splits; no data is read. Arguments as of
    `load`.

    Without loss, metrics, optimizer and data module, so that Lightning is not imported; but a task
    or a data module of the user's own is built whole.
    """
    with _read(path, "ckpt") as content:
        config = content["config"]
        task, module = config["task"].get("_target_"), config["data"].get("module")
        if task not in MODELS or not isinstance(module, dict) or module.get("_target_") != MODULE:
            model, data, _ = load(path, trust, recipe)
            from seqfuse.tasks.contrastive import NO_HEAD, ContrastiveTask

            if isinstance(model, ContrastiveTask):
                raise InputError(NO_HEAD)
            return model, data.splits
        if recipe is not None:
            config = _with_recipe(config, resolve(recipe))
        config = {**config, "data": untrusted.without_downloads(config["data"])}
        untrusted.check_targets({key: config[key] for key in BUILT}, trust, unused=TRAINING)
        size = config["data"]["module"].get("batch_size", "auto")
        check_batch_size(size, "data.batch_size")
        model = _build_model(config, Record(config, content["recipe"], {}))
        weights = content["state_dict"]
        model.load_state_dict({n: w for n, w in weights.items() if n.startswith(WEIGHTS)})
        splits = make(config["data"]["module"]["splits"], "data.module.splits")
        splits.pipeline.load_state_dict(content[DATA]["pipeline"])
    return model.eval(), splits


def _build_model(config: Config, record: Record) -> Model:
    node, parts = config["task"], {}
    for name in ("calibrator", "familiarity"):
        if node.get(name):
            parts[name] = make(node[name], f"task.{name}")
    if "scorer" in node:
        given = {"quantile": node["quantile"]} if "quantile" in node else {}
        parts["calibrator"] = Threshold(make(node["scorer"], "task.scorer"), **given)
    return MODELS[node["_target_"]](new_net(config), **parts, record=record)


@contextmanager
def _read(path: str | Path, key: str) -> Iterator[dict[str, Any]]:
    """The content of a checkpoint, while it is rebuilt; mistakes in it name its path."""
    content = checkpoint.read(path, key)
    checkpoint.check_numbers(content, path)
    try:
        yield content
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None
    except LookupError as error:
        raise InputError(f"{path} is no whole checkpoint: it lacks {error}") from None
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: its weights do not fit its config ({reason})") from None
    except (TypeError, AttributeError):
        raise InputError(f"{path}: its config or its pipeline is not one of seqfuse's") from None


def _with_recipe(config: Config, recipe: Config) -> Config:
    """The checkpoint's config with the data section, and the figures, of the command."""
    trained, wanted = config["data"].get("horizon"), recipe["data"].get("horizon")
    if trained != wanted:
        raise InputError(f"data.horizon={wanted}: the net forecasts {trained} steps: leave it out")
    return {**config, "data": recipe["data"], "callbacks": recipe.get("callbacks")}


class Loaded(NamedTuple):
    """A checkpoint at a command's work."""

    task: "Task"
    data: "DataModule"
    trained: Config
    """Config of the checkpoint."""
    config: Config
    """Config of the command."""
    trainer: "Trainer"


def load_for(recipe: DictConfig, run: Path, evaluated: str = "test") -> Loaded:
    """Loads a checkpoint for a command; seeds, and reads no data."""
    recipe = runs.prepare(recipe, run)
    task, data, trained = load(recipe.ckpt, recipe.trust, recipe, evaluated=evaluated)
    config = resolve(recipe)
    runs.seed(config)
    return Loaded(task, data, trained, config, build_trainer({**trained, **config}))


def load_engine(recipe: DictConfig, run: Path) -> tuple[TorchEngine, Splits]:
    """Loads a checkpoint for a command that predicts, onto the device that it names.

    Reads no data, and needs no trainer.
    """
    recipe = runs.prepare(recipe, run)
    model, splits = load_model(recipe.ckpt, recipe.trust, recipe)
    config = resolve(recipe)
    node = {**config["trainer"], "precision": precision(config["trainer"])}
    check_trainer({**model.record.config, **config}, node)
    runs.set_threads(config)
    return TorchEngine(model, *place(node, node["precision"])), splits
