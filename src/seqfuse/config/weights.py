"""First weights that come from elsewhere."""

from typing import Any

import torch
from torch import Tensor, nn

from seqfuse.config import checkpoint
from seqfuse.data.module import DataModule
from seqfuse.data.read import vectors
from seqfuse.data.read.files import TableFile
from seqfuse.nn.stems import set_vectors
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say
from seqfuse.tasks.base import Task


def start(task: Task, data: DataModule, config: dict[str, Any]) -> None:
    """First weights that come from files: `data.vectors`, then `init_from`; `freeze` keeps them.

    Raises:
        InputError: a file is broken, or what it holds does not fit the net.
    """
    if config["data"].get("vectors"):
        _take_vectors(task, data, config)
    path, freeze = config.get("init_from"), config.get("freeze", False)
    if freeze and not path:
        raise InputError(
            "freeze=true keeps an encoder that was trained before: type init_from=<checkpoint>, too"
        )
    if path and not config.get("resume"):  # a run that goes on has its own by now
        _take_encoder(str(path), task.net, data.splits.pipeline.state_dict(), freeze)
    if freeze:
        task.net.freeze()  # type: ignore[operator]


def _take_vectors(task: Task, data: DataModule, config: dict[str, Any]) -> None:
    path = TableFile(config["data"]["vectors"], config["data"]["root"]).path()
    words = data.splits.pipeline.words
    ids, found = vectors.read(path, words)
    try:
        set_vectors(task.net.stem, torch.from_numpy(ids), torch.from_numpy(found))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"data.vectors={path}: {error}") from None
    say(f"vectors     {path}: {len(ids):,} of {len(words):,} words")


def _take_encoder(path: str, net: nn.Module, inputs: dict[str, Any], whole: bool) -> None:
    """Loads all of the encoder, weights and batch statistics, that fits by name and shape.

    Args:
        path: of the checkpoint.
        net: to load into.
        inputs: state of the pipeline that the net reads from.
        whole: whether all of it must fit.
    """
    content = checkpoint.read(path, "init_from")
    checkpoint.check_numbers(content, f"init_from={path}")
    theirs, before = content["state_dict"], content[DataModule.__qualname__]["pipeline"]
    _check_scaling(path, before, inputs, whole)
    if before.get("words") != inputs.get("words"):  # their numbers mean others
        theirs = {name: one for name, one in theirs.items() if not name.startswith("net.stem.")}
    ours = {name: one for name, one in net.state_dict().items() if not name.startswith("head.")}
    fitting = {name: theirs.get(f"net.{name}") for name in ours}
    taken = {n: one for n, one in fitting.items() if one is not None and one.shape == ours[n].shape}
    left = [_misfit(name, ours[name], fitting[name]) for name in ours if name not in taken]
    if not any(one.dim() > 1 for one in taken.values()):  # a bias may fit by chance
        raise InputError(
            f"init_from={path}: no weight of it fits this encoder ({'; '.join(left[:2])}): type "
            "the data.* and model.* that it was trained with"
        )
    if left and whole:
        fix = "the same model.*"
        if all(name.split()[0].startswith("attention.") for name in left):
            fix = "model/attention=mean"
        raise InputError(
            f"freeze=true needs the whole encoder, but init_from={path} does not have "
            f"{'; '.join(left[:2])}: type {fix}, or leave out freeze"
        )
    net.load_state_dict(taken, strict=False)
    missing = f"; not {', '.join(left)}" if left else ""
    say(f"init_from   {path}: {len(taken)} of {len(ours)} tensors{missing}")


def _check_scaling(path: str, before: dict[str, Any], now: dict[str, Any], whole: bool) -> None:
    """Says, or where all must fit raises InputError, that values were scaled otherwise."""
    for knob in ("scaling", "missing"):
        if knob in before and knob in now and before[knob] != now[knob]:
            said = f"init_from={path} was trained with data.{knob}={before[knob]}, not {now[knob]}"
            if whole:
                raise InputError(f"{said}: type that, or leave out freeze")
            say(f"init_from   {said}")


def _misfit(name: str, ours: Tensor, theirs: Tensor | None) -> str:
    there = "" if theirs is None else f", there {list(theirs.shape)}"
    return f"{name} {list(ours.shape)}{there}"
