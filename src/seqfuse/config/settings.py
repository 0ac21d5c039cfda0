"""What the trainer's settings mean together, worked out before anything is built.

Monitors are checked before a search, too, so torch is imported only where a device is asked for.
"""

import os
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import OmegaConf

from seqfuse.ddp.checks import check_devices, on_gpu
from seqfuse.runtime.errors import InputError

Config = dict[str, Any]
FINDS = {"find_batch_size": "data.batch_size", "find_lr": "optimizer.lr"}
"""In this order, for the learning rate depends on the batch size."""
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
LIMITS = tuple(f"limit_{split}_batches" for split in ("train", "val", "test"))
MONITORS = ("task", "scheduler", "callbacks.early_stopping", "callbacks.checkpoint")
"""Parts that go by a metric."""


def precision(trainer: Config) -> str:
    """What `auto` means on this machine."""
    wanted = str(trainer["precision"])
    return wanted if wanted != "auto" else "16-mixed" if on_gpu(trainer) else "32-true"


def validates(config: Mapping[str, Any]) -> bool:
    """Whether the run has a validation split to look at."""
    return config["data"].get("num_folds", 1) > 0 and config["trainer"]["limit_val_batches"] != 0


def ends(trainer: Config) -> bool:
    """Whether the number of steps of a run is known before it begins."""
    return trainer["max_epochs"] != -1 or trainer["max_steps"] != -1


def check_trainer(config: Config, node: Config) -> None:
    """Checks what Lightning would notice late, or with a traceback.

    Raises:
        InputError: a knob is out of range, or a monitor is never logged.
    """
    import torch

    if node["accelerator"] not in ACCELERATORS:
        names = ", ".join(ACCELERATORS)
        raise InputError(f"trainer.accelerator={node['accelerator']} must be one of: {names}")
    if node["precision"] == "16-mixed" and not on_gpu(node):
        raise InputError("precision=16-mixed needs a GPU: type precision=auto or bf16-mixed")
    if node["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise InputError("trainer.accelerator=gpu: torch finds no GPU here: type trainer=cpu")
    check_devices(node)
    for knob in ("check_val_every_n_epoch", "log_every_n_steps", "accumulate_grad_batches"):
        if node[knob] < 1:
            raise InputError(f"trainer.{knob}={node[knob]} must be at least 1")
    _check_lengths(node)
    clip = node.get("gradient_clip_val")
    if clip is not None and clip <= 0:
        raise InputError(f"trainer.gradient_clip_val={clip} must be above 0: or type clip=none")
    for key in MONITORS:
        check_monitor(key, config)
    patience = _part(config, "callbacks.early_stopping").get("patience", 0)
    if patience < 0:
        raise InputError(f"callbacks.early_stopping.patience={patience} must be at least 0")


def _check_lengths(node: Config) -> None:
    """Checks how long a run trains, and on how much of each split."""
    for knob in ("max_epochs", "max_steps"):
        if node[knob] is not None and node[knob] < 1 and node[knob] != -1:
            raise InputError(
                f"trainer.{knob}={node[knob]} must be at least 1, or -1 for no such end"
            )
    if node["num_sanity_val_steps"] < -1:
        given = node["num_sanity_val_steps"]
        raise InputError(f"trainer.num_sanity_val_steps={given} must be at least 0, or -1 for all")
    time = node["max_time"]
    if time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(time)):
        raise InputError(
            f"trainer.max_time={time} must be days:hours:minutes:seconds, such as 00:12:00:00"
        )
    for knob in (*LIMITS, "overfit_batches"):
        given = node[knob]
        batches = isinstance(given, int) and given > 1
        if not (batches or 0 <= given <= 1) or (knob == LIMITS[0] and given == 0):
            raise InputError(
                f"trainer.{knob}={given} must be a whole number of batches, or a fraction of "
                "them from 0 to 1, but for training above 0"
            )


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A section of the config; empty if it is switched off."""
    for name in key.split("."):
        config = config.get(name) or {}
    return config


def check_monitor(key: str, config: Mapping[str, Any]) -> None:
    """Checks that the monitor of a part of the config is logged when that part looks at it.

    The task's decides at validation, where there is any; an epoch's `train/loss` comes after that.

    Raises:
        InputError: it is not.
    """
    names = [f"val/{name}" for name in config["task"].get("metrics", ())] + ["val/loss"]
    if not validates(config):
        names = ["train/loss"]
    elif key != "task":
        names.append("train/loss")
    monitor = _part(config, key).get("monitor", "train/loss")
    if monitor not in names:
        why = "" if validates(config) else ", as there is no validation"
        raise InputError(f"{key}.monitor={monitor}: type {key}.monitor={names[-1]}{why}")


def check_task(recipe: Any) -> None:
    """Checks what the task goes by.

    Raises:
        InputError: the best of its monitor would be its worst, or its labels are not read, or its
            scorer reads what there is not.
    """
    task = recipe.task
    scorer = str(task.get("scorer", {}).get("_target_"))
    if scorer.endswith(".Subspace") and not recipe.data.get("reconstruct"):
        raise InputError(
            "task/scorer=subspace is for reconstructions: type data.reconstruct=true "
            "model=autoencoder and data.horizon as long as data.look_back, too"
        )
    if not recipe.data.get("labelled", True) and "contrastive" not in str(task.get("_target_")):
        raise InputError(
            "data.labelled=false is for task=contrastive: leave it out, or type that, too"
        )
    _check_words(recipe)
    monitor, mode = str(task.get("monitor")), task.get("mode")
    wanted = _mode(monitor)
    if mode and wanted not in (None, mode):
        extreme = "lowest" if wanted == "min" else "highest"
        raise InputError(
            f"task.monitor={monitor} is best where it is {extreme}: type task.mode={wanted}"
        )


def _check_words(recipe: Any) -> None:
    """Raises InputError where words meet a net for series, or labels of steps one for items."""
    stem, head, loss = (
        str(OmegaConf.select(recipe, f"{key}._target_"))
        for key in ("model.stem", "model.head", "task.loss")
    )
    if loss.endswith(".TagLoss") and head.endswith(".ClassHead"):
        raise InputError(
            "the task is for a label per step, the net for one per item: type model=tags (words) "
            "or model=steps, or another task"
        )
    ours = recipe.model.get("stem") is None or stem.startswith("seqfuse.")
    if "vocab_size" in recipe.data and ours and ".tokens." not in stem:
        raise InputError("the data are words: type model=text for classes, model=tags for tags")


def _mode(monitor: str) -> str | None:
    """Which way a number gets better, where its name tells."""
    if monitor.endswith("loss"):
        return "min"
    return "max" if monitor.endswith(("accuracy", "f1", "auroc", "vus_pr")) else None


def check_finders(config: Mapping[str, Any], given: Container[str]) -> None:
    """Checks that what is to be found is not given, or swept, too.

    Args:
        config: of a run.
        given: keys on its command line.

    Raises:
        InputError: it is.
    """
    for finder, key in FINDS.items():
        if config.get(finder) is True and key in given:
            raise InputError(f"{finder}=true chooses {key}: leave one of them out")


@contextmanager
def keep_workspace() -> Iterator[None]:
    """Keeps the user's own CUBLAS_WORKSPACE_CONFIG, which Lightning would write over."""
    name = "CUBLAS_WORKSPACE_CONFIG"
    before = os.environ.get(name)
    yield
    if before is not None:
        os.environ[name] = before
