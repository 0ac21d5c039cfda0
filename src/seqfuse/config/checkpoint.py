"""What a checkpoint holds, and how one is read safely.

Beside Lightning's own content (weights, optimizer, loops, callbacks, the data module's
state) a checkpoint holds:

- `config`: plain containers, all interpolations resolved and all sizes filled in;
  rebuilds the net and the data module.
- `recipe`: the same config with its interpolations, so that one override of
  `seqfuse-evaluate` moves everything that depends on it.

It is read with `weights_only=True`, so reading runs no code; what `config` names under
`_target_` is code, and is checked before anything is built (see `seqfuse.config.untrusted`).
"""

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seqfuse.config import untrusted
from seqfuse.runtime.errors import InputError

KEYS = ("config", "recipe", "state_dict", "DataModule")
SECTIONS = {
    "config": ("data", "model", "task", "optimizer", "scheduler", "trainer"),
    "recipe": ("data", "paths"),
    "DataModule": ("pipeline",),
}
"""What stands in them."""


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
    except Exception as error:  # whatever unpickling stumbles over
        if isinstance(error, pickle.UnpicklingError) and (name := _foreign(str(error))):
            raise InputError(
                f"{path} holds more than plain data and is not read: it names {name}"
            ) from None
        raise InputError(
            f"{path} is truncated or no checkpoint: copy it again, or take last.ckpt beside it"
        ) from None
    for name in KEYS:
        if not isinstance(content, dict) or not isinstance(content.get(name), dict):
            raise InputError(f"{path} is no checkpoint of seqfuse: it has no '{name}'")
    for name, keys in SECTIONS.items():
        untrusted.check_size(content[name], str(path))
        for key in keys:
            if not isinstance(content[name].get(key), dict):
                raise InputError(f"{path} is no checkpoint of seqfuse: '{name}' lacks '{key}'")
    return content


def _foreign(text: str) -> str:
    """The class or function that torch refused to build; empty if it is another error."""
    found = re.search(r"GLOBAL (\S+)", text)
    return found[1] if found else ""


def check_numbers(content: Mapping[str, Any], path: str | Path) -> None:
    """Checks that the weights of the net, and what the data are scaled by, are finite numbers.

    Raises:
        InputError: one is not; names it.
    """
    try:
        _check_weights(content["state_dict"], path)
        _check_scales(content["DataModule"].get("pipeline"), path)
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: its pipeline is not as seqfuse writes it ({error})") from None


def _check_weights(weights: Mapping[str, Any], path: str | Path) -> None:
    for name, one in weights.items():
        if not isinstance(one, torch.Tensor) or one.is_complex():
            kind = one.dtype if isinstance(one, torch.Tensor) else type(one).__name__
            raise InputError(f"{path}: {name} is {kind}, not real numbers: train it again")
        # A threshold or a correction that no validation has set is NaN, and said to be so.
        if name.startswith("net.") and not torch.isfinite(one).all():
            raise InputError(f"{path}: {name} is not finite: take an earlier checkpoint of the run")


def _check_scales(state: Any, path: str | Path) -> None:
    """Means must be finite, deviations also above 0; of each source or recording."""
    for key, one in state.items() if isinstance(state, dict) else ():
        if key == "scales" and isinstance(one, dict):
            for name, pair in one.items():
                mean, deviation = pair
                _check_scales({f"mean of {name}": mean, f"deviation of {name}": deviation}, path)
        elif isinstance(one, dict):
            _check_scales(one, path)
        elif key == "classes" and not all(isinstance(name, str) for name in one):
            raise InputError(f"{path}: a name of a class is no text: train it again")
        elif str(key).partition(" ")[0] in ("mean", "deviation"):
            least = 0.0 if key.startswith("deviation") else -math.inf
            for value in one:
                if not isinstance(value, (int, float)) or not least < value < math.inf:
                    raise InputError(f"{path}: the {key} of its data is {value}: train it again")
