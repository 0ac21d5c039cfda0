"""Checks that the devices that were asked for are there, and can share the work.

Torch is imported only where it is asked for a device.
"""

import os
from collections.abc import Mapping
from typing import Any

from seqfuse.ddp import start
from seqfuse.runtime.errors import InputError

AVERAGES = (".Average", "WeightAveraging")
"""Ends of the names of callbacks that keep another copy of the weights."""
FINDERS = ("find_lr", "find_batch_size", "find_precision")
"""Options that try a net out on one device."""


def check_devices(trainer: dict[str, Any]) -> None:
    """Checks number and strategy of devices in a trainer's section, for which Lightning has
    tracebacks."""
    given, strategy = trainer["devices"], trainer.get("strategy")
    if strategy is not None and not isinstance(strategy, dict):
        raise InputError(f"trainer.strategy={strategy}: type trainer=ddp, ddp_spawn or fsdp")
    wanted = count(trainer)
    if wanted < 1:
        raise InputError(f"trainer.devices={given} must be auto or at least 1")
    if on_gpu(trainer) and wanted > (gpus := _gpus()):
        raise InputError(f"trainer.devices={given}, torch finds {gpus}: type {gpus} or less")
    nodes = num_nodes(trainer)
    outside, ranks = start.started_outside(), wanted * nodes
    if strategy is None:
        if ranks > 1 or ("RANK" in os.environ and (outside or 1) > 1):
            shown = f"trainer.devices={given}" if ranks > 1 else f"{outside} processes"
            raise InputError(f"{shown}: type trainer=ddp, or in a sweep trainer=ddp_spawn")
        return
    if outside is not None:
        _check_started(strategy, wanted, nodes, outside)


def _check_started(strategy: Mapping[str, Any], wanted: int, nodes: int, outside: int) -> None:
    """Checks processes that torchrun or Slurm started against those that a config asks for."""
    ranks = wanted * nodes
    here, machines = start.on_node(), start.nodes() or 1
    if here and here * machines != outside:
        raise InputError(
            f"{outside} processes were started on {machines} machines, {here} of them on this one: "
            "give torchrun the same --nproc-per-node on each of them"
        )
    launched = strategy.get("start_method") == "popen"
    if not launched and outside > 1:
        raise InputError(f"{outside} processes were started already: type trainer=ddp")
    if launched and outside != ranks:
        started = start.nodes() or nodes
        fix = f"trainer.devices={max(outside // started, 1)}"
        raise InputError(
            f"{outside} processes were started, for trainer.devices={wanted} and "
            f"trainer.num_nodes={nodes}: type {fix}"
            + ("" if started == nodes else f" trainer.num_nodes={started}")
        )
    if (start.nodes() or 1) > 1 and not start.is_named() and start.max_restarts():
        raise InputError(
            "torchrun --max-restarts on several nodes finds a run again by its name: type "
            "--rdzv-id=<a name of this run>"
        )


def shards(trainer: Mapping[str, Any]) -> bool:
    """Whether a trainer's section shards the weights over its devices."""
    return str((trainer.get("strategy") or {}).get("_target_")).endswith(".Fsdp")


def check_sharding(config: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Refuses what needs weights whole while they are trained; the trainer's precision is no
    `auto`."""
    callbacks = (config.get("callbacks") or {}).items()
    averages = [n for n, node in callbacks if str((node or {}).get("_target_")).endswith(AVERAGES)]
    refused = {
        "precision=16-mixed": (trainer["precision"] == "16-mixed", "type precision=bf16-mixed"),
        "trainer.compile=true": (config["trainer"].get("compile"), "leave it out"),
        **{f"callbacks.{name}": (True, f"type callbacks.{name}=null") for name in averages},
        "task=contrastive": ("contrastive" in str(config["task"]["_target_"]), "type trainer=ddp"),
        **{f"{key}=true": (config.get(key), "leave it out") for key in FINDERS},
    }
    for wish, (is_wished, fix) in refused.items():
        if is_wished:
            raise InputError(f"{wish} does not work with trainer=fsdp: {fix}")


def sizes(trainer: dict[str, Any]) -> dict[str, Any]:
    """Devices and nodes of a trainer's section, with numbers in place of `auto`."""
    if trainer.get("strategy") is None:
        return {}
    devices = start.on_node() if trainer["devices"] == "auto" else None
    return {"devices": devices or trainer["devices"], "num_nodes": num_nodes(trainer)}


def num_nodes(trainer: dict[str, Any]) -> int:
    """Machines that a trainer's section asks for; `auto` are those that torchrun has."""
    given = trainer.get("num_nodes", 1)
    if given == "auto":
        return start.nodes() or 1
    if type(given) is not int or given < 1:
        raise InputError(f"trainer.num_nodes={given} must be auto or at least 1")
    return given


def count(trainer: dict[str, Any]) -> int:
    """Devices of this machine that a trainer's section asks for; 0 if it makes no sense."""
    given = trainer["devices"]
    if isinstance(given, list):
        return len(given)
    if given == "auto" and trainer.get("strategy") and (processes := start.on_node()):
        return processes
    if given in ("auto", -1, "-1"):
        return _gpus() if on_gpu(trainer) else 1
    number = str(given).removeprefix("-").isdigit()
    return int(given) if number else len(str(given).split(","))


def on_gpu(trainer: dict[str, Any]) -> bool:
    """Whether it trains on GPUs."""
    import torch  # slow

    return torch.cuda.is_available() and trainer["accelerator"] in ("auto", "gpu", "cuda")


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
