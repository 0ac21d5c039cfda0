"""The task of a run that begins, with its first weights."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from seqfuse.config import build, checkpoint
from seqfuse.config.recipes import Config
from seqfuse.data.read import vectors
from seqfuse.data.read.files import TableFile
from seqfuse.nn.net import Net
from seqfuse.nn.stems import set_vectors
from seqfuse.predicting.model import Record
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.tasks import distill

if TYPE_CHECKING:
    from seqfuse.data.module import DataModule
    from seqfuse.tasks.base import Task


def start_task(config: Config, data: "DataModule", record: Record | None = None) -> "Task":
    """A task with its first weights, and with its teachers."""
    net = build.build_net(build.net_section(config))
    start_weights(net, data, config)
    return build.build_task(config, net, record=record, **distill.teachers(config, net, data))


def first_task(record: Record, data: "DataModule") -> "Task":
    """The task of a run that begins, with its first weights."""
    task = start_task(record.config, data, record)
    if record.config["trainer"]["compile"]:
        task.compile_net()
    return task


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
    theirs, before = content["state_dict"], content[checkpoint.DATA]["pipeline"]
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
