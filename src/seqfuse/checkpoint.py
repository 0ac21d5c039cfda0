"""What a checkpoint holds, and how one is read safely.

Beside Lightning's own content (weights, optimizer, loops, callbacks, the data module's
state) a checkpoint holds:

- `config`: plain containers, all interpolations resolved and all sizes filled in;
  rebuilds the net and the data module.
- `recipe`: the same config with its interpolations, so that one override of
  `seqfuse-evaluate` moves everything that depends on it.

It is read with `weights_only=True`, so reading runs no code; what `config` names under
`_target_` is code, and is checked before anything is built from it.
"""

import inspect
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object

from seqfuse.plain.errors import InputError

# torchmetrics has classes elsewhere that load models by name.
METRICS = ("torchmetrics.classification", "torchmetrics.regression")
ALLOWED = ("seqfuse", "torch.nn", "torch.optim", *METRICS)
FUNCTIONS = ("seqfuse.nn.init.reference",)
KEYS = ("config", "recipe", "state_dict")


def read(path: str | Path, key: str = "ckpt") -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Args:
        path: of the file.
        key: that names it in the config, for messages.

    Raises:
        InputError: the file is missing, truncated, or no checkpoint of seqfuse.
    """
    if Path(path).is_dir():
        raise InputError(
            f"{key}={path} is a folder: name a file, as in {path}/checkpoints/best.ckpt"
        )
    if not Path(path).is_file():
        raise InputError(f"{key}={path}: there is no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} holds more than plain data and is not read ({reason})") from None
    except Exception:  # whatever unpickling stumbles over
        raise InputError(
            f"{path} is truncated or no checkpoint: copy it again, or take last.ckpt beside it"
        ) from None
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(f"{path} is no checkpoint of seqfuse: it has no '{missing[0]}'")
    return content


def check_targets(config: Any, trust: Sequence[str] = ()) -> None:
    """Checks everything a config would call, before any of it is called.

    The module path must begin with an allowed one before it is even imported; what it
    names must then be a class, or a listed function, that was defined in an allowed module.

    Args:
        trust: further top-level packages, the user's own.

    Raises:
        InputError: a target is not allowed.
    """
    for text in _texts(config):
        if "${" in text:  # would be resolved once more, after this check
            raise InputError(
                f"the checkpoint's config holds the interpolation {text!r}: nothing was built"
            )
    allowed = (*ALLOWED, *trust)
    for target in _targets(config):
        if not isinstance(target, str) or not _within(target, allowed):
            raise InputError(_refusal(target, "is not of an allowed package"))
        try:
            found = get_object(target)
        except Exception as error:
            raise InputError(f"the checkpoint names {target}, which fails: {error}") from None
        home = getattr(found, "__module__", None)
        if not isinstance(home, str) or not _within(home, allowed):
            raise InputError(_refusal(target, f"was defined in {home}"))
        trusted = _within(target, trust) and inspect.isfunction(found)
        if not (inspect.isclass(found) or target in FUNCTIONS or trusted):
            raise InputError(_refusal(target, "is not a class"))


def _refusal(target: object, reason: str) -> str:
    package = str(target).split(".")[0]
    return (
        f"the checkpoint names {target}, which {reason}: nothing was built "
        f"(if the code is yours, add trust=[{package}])"
    )


def _within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for child in [*node, *node.values()] if isinstance(node, dict) else ():
        yield from _texts(child)
    for child in node if isinstance(node, (list, tuple)) else ():
        yield from _texts(child)


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _targets(child)
