"""The trainer's section, its monitors and finders; what Lightning would notice late, or never.

Monitors are checked before a search, too, so torch is imported only where a device is asked for.
"""

import difflib
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

from seqfuse.runtime.errors import InputError

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
LIMITS = tuple(f"limit_{split}_batches" for split in ("train", "val", "test"))
MONITORS = ("task", "scheduler", "callbacks.early_stopping", "callbacks.checkpoint")
"""Parts that go by a metric."""
FINDS = {
    "find_batch_size": "data.batch_size",
    "find_precision": "trainer.precision",
    "find_lr": "optimizer.lr",
}
"""In this order, for the learning rate depends on the batch size."""


def precision(trainer: Mapping[str, Any]) -> str:
    """The precision, with `auto` resolved for this machine."""
    from seqfuse.ddp.checks import on_gpu, shards

    wanted = str(trainer["precision"])
    half = "bf16-mixed" if shards(trainer) else "16-mixed"
    return wanted if wanted != "auto" else half if on_gpu(dict(trainer)) else "32-true"


def validates(config: Mapping[str, Any]) -> bool:
    """Whether the run has a validation split to look at."""
    return config["data"].get("num_folds", 1) != 0 and config["trainer"]["limit_val_batches"] != 0


def ends(trainer: Mapping[str, Any]) -> bool:
    """Whether the number of steps of a run is known before it begins."""
    return trainer["max_epochs"] != -1 or trainer["max_steps"] != -1


def check_trainer(config: Mapping[str, Any], node: dict[str, Any]) -> None:
    """Checks of the trainer's section what Lightning would notice late, or with a traceback."""
    import torch

    from seqfuse.ddp.checks import check_devices, check_sharding, on_gpu, shards

    if node["accelerator"] not in ACCELERATORS:
        names = ", ".join(ACCELERATORS)
        raise InputError(f"trainer.accelerator={node['accelerator']} must be one of: {names}")
    if node["precision"] == "16-mixed" and not on_gpu(node):
        raise InputError("precision=16-mixed needs a GPU: type precision=auto or bf16-mixed")
    if node["accelerator"] in ("gpu", "cuda") and not torch.cuda.is_available():
        raise InputError("trainer.accelerator=gpu: torch finds no GPU here: type trainer=cpu")
    check_devices(node)
    if shards(node):
        check_sharding(config, node)
    for key in ("check_val_every_n_epoch", "log_every_n_steps", "accumulate_grad_batches"):
        if node[key] < 1:
            raise InputError(f"trainer.{key}={node[key]} must be at least 1")
    _check_lengths(node)
    clip = node.get("gradient_clip_val")
    if clip is not None and clip <= 0:
        raise InputError(f"trainer.gradient_clip_val={clip} must be above 0: or type clip=none")
    check_monitors(config)
    patience = _section(config, "callbacks.early_stopping").get("patience", 0)
    if patience is not None and (type(patience) is not int or patience < 0):
        raise InputError(
            f"callbacks.early_stopping.patience={patience} must be at least 0, or null"
        )


def _check_lengths(node: Mapping[str, Any]) -> None:
    """Checks how long a run trains, and on how much of each split."""
    for key in ("max_epochs", "max_steps"):
        if key == "max_epochs" and node[key] is None:
            continue
        if type(node[key]) is not int or (node[key] < 1 and node[key] != -1):
            raise InputError(f"trainer.{key}={node[key]} must be at least 1, or -1 for no such end")
    if (steps := node["num_sanity_val_steps"]) < -1:
        raise InputError(f"trainer.num_sanity_val_steps={steps} must be at least 0, or -1 for all")
    for key, minimum in (("auto_steps", 1), ("auto_epochs", 0)):
        if node.get(key, minimum) < minimum:  # runs of before have none
            raise InputError(f"trainer.{key}={node[key]} must be at least {minimum}")
    time = node["max_time"]
    if time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", str(time)):
        raise InputError(
            f"trainer.max_time={time} must be days:hours:minutes:seconds, such as 00:12:00:00"
        )
    for key in (*LIMITS, "overfit_batches"):
        limit = node[key]
        batches = isinstance(limit, int) and limit > 1
        if not (batches or 0 <= limit <= 1) or (key == LIMITS[0] and limit == 0):
            raise InputError(
                f"trainer.{key}={limit} must be a whole number of batches, or a fraction of "
                "them from 0 to 1, but for training above 0"
            )


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    for name in key.split("."):
        config = config.get(name) or {}
    return config


def check_monitors(config: Mapping[str, Any], keys: Sequence[str] = MONITORS) -> None:
    """Checks that the monitors of parts of the config are logged when those parts look at them.

    All that are not are answered at once, with the nearest name that is.
    """
    wrong: dict[str, tuple[str, str]] = {}
    for key in keys:
        monitor, names = _section(config, key).get("monitor", "train/loss"), monitored(key, config)
        follows = key.startswith("callbacks.") and monitor == wrong.get("task", ("", ""))[0]
        is_last = key == "callbacks.checkpoint" and monitor is None
        if monitor in names or follows or is_last:
            continue
        near = difflib.get_close_matches(str(monitor), names, n=1)
        wrong[key] = str(monitor), near[0] if near else names[-1]
    if not wrong:
        return
    given = ", ".join(f"{key}.monitor={monitor}" for key, (monitor, _) in wrong.items())
    fixes = " ".join(f"{key}.monitor={name}" for key, (_, name) in wrong.items())
    why = "" if validates(config) else ", as there is no validation"
    raise InputError(f"{given}: type {fixes}{why}")


def monitored(key: str, config: Mapping[str, Any]) -> list[str]:
    """Metrics that a part of the config can go by; the last is the one without a choice.

    The task's decides at validation, where there is any; an epoch's `train/loss` comes after that.
    """
    if not validates(config):
        return ["train/loss"]
    names = [f"val/{name}" for name in config["task"].get("metrics", ())] + ["val/loss"]
    return names if key == "task" else [*names, "train/loss"]


def check_finders(config: Mapping[str, Any], given: Container[str]) -> None:
    """Checks that no value that is to be found is among the keys of the command line, too."""
    for finder, key in FINDS.items():
        if config.get(finder) is True and key in given:
            raise InputError(f"{finder}=true chooses {key}: leave one of them out")
