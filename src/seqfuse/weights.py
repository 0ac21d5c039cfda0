"""First weights that come from elsewhere."""

from typing import Any

import torch
from torch import Tensor, nn

from seqfuse import checkpoint
from seqfuse.data import vectors
from seqfuse.data.files import TableFile
from seqfuse.data.module import DataModule
from seqfuse.nn.tokens import set_vectors
from seqfuse.plain.errors import InputError
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
        _take_encoder(str(path), task.net, freeze)
    if freeze:
        task.net.freeze()  # type: ignore[operator]


def _take_vectors(task: Task, data: DataModule, config: dict[str, Any]) -> None:
    path = TableFile(config["data"]["vectors"], config["data"]["root"]).path()
    words = data.splits.pipeline.words
    ids, found = vectors.read(path, words)
    print(f"vectors     {path}: {len(ids):,} of {len(words):,} words", flush=True)
    try:
        set_vectors(task.net.stem, torch.from_numpy(ids), torch.from_numpy(found))  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"data.vectors={path}: {error}") from None


def _take_encoder(path: str, net: nn.Module, whole: bool) -> None:
    """Loads all of the encoder, weights and batch statistics, that fits by name and shape."""
    theirs = checkpoint.read(path, "init_from")["state_dict"]
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
        raise InputError(
            f"freeze=true needs the whole encoder, but init_from={path} does not have "
            f"{'; '.join(left[:2])}: type the same model.*, or leave out freeze"
        )
    net.load_state_dict(taken, strict=False)
    missing = f"; not {', '.join(left)}" if left else ""
    print(f"init_from   {path}: {len(taken)} of {len(ours)} tensors{missing}", flush=True)


def _misfit(name: str, ours: Tensor, theirs: Tensor | None) -> str:
    there = "" if theirs is None else f", there {list(theirs.shape)}"
    return f"{name} {list(ours.shape)}{there}"
