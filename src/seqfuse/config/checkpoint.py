"""Checkpoints: their content, written whole and read safely.

Beside Lightning's own content (weights, optimizer, loops, callbacks, the data module's
state) a checkpoint holds:

- `config`: plain containers, all interpolations resolved and all sizes filled in;
  rebuilds the net and the data module.
- `recipe`: the same config with its interpolations, so that one override of
  `seqfuse-evaluate` moves everything that depends on it.

On the Hub (see `seqfuse.fetching.hub`) it is a file of safetensors, whose header holds all but the
weights as JSON.

It is read with `weights_only=True`, so reading runs no code; what `config` names under
`_target_` is code, and is checked before anything is built (see `seqfuse.config.untrusted`).
"""

import io
import json
import math
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from seqfuse.config import untrusted
from seqfuse.config.checks.extras import need
from seqfuse.runtime import files
from seqfuse.runtime.bundle import METADATA
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses

DATA = "DataModule"
"""Key of the data, by the name that Lightning gives it."""
KEYS = ("config", "recipe", "state_dict", DATA)
CALIBRATION = (
    *("calibrator.", "familiarity."),
    *("net.bank.net_temperature", "net.bank.fitted_share"),
)
"""Weights, or their beginnings, that are set when training has ended."""
SECTIONS = {
    "config": ("data", "model", "task", "optimizer", "scheduler", "trainer", "callbacks"),
    "recipe": ("data", "paths"),
    DATA: ("pipeline",),
}
"""Keys that must stand in some of them."""
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
HUB = "hf://"
"""Begins the address of a checkpoint on the Hugging Face Hub."""
HEADER = "seqfuse"
"""Key in the header of a file of safetensors, whose value is all but the weights, as JSON."""


def local(ckpt: str | Path) -> str | Path:
    """The path of a checkpoint that the user named, fetched from the Hub or another address."""
    if str(ckpt).startswith(HUB):
        from seqfuse.fetching import hub  # an annex

        return hub.fetch(str(ckpt))
    return fetched(ckpt)


def fetched(ckpt: str | Path) -> str | Path:
    """The path of a checkpoint, fetched from an address; the Hub is followed by `local` alone."""
    return addresses.local(ckpt) if addresses.is_address(ckpt) else ckpt


def read(path: str | Path, key: str = "ckpt") -> dict[str, Any]:
    """Reads a checkpoint onto the CPU; `key` of the config names it in messages."""
    if Path(path, METADATA).is_file():
        raise InputError(
            f"{key}={path} is an exported folder, which has its own command: "
            f"python {path}/run.py <input> <output> (--explain, too: by occlusion)"
        )
    if Path(path).is_dir():
        raise InputError(
            f"{key}={path} is a folder: name a file, as in {path}/checkpoints/best.ckpt"
        )
    if not Path(path).is_file():
        raise InputError(f"{key}={path}: there is no such file")
    content = _content(path)
    for name in KEYS:
        if not isinstance(content, dict) or not isinstance(content.get(name), dict):
            raise InputError(f"{path} is no checkpoint of seqfuse: it has no '{name}'")
    for name, keys in SECTIONS.items():
        untrusted.check_size(content[name], str(path))
        for key in keys:
            if not isinstance(content[name].get(key), dict):
                raise InputError(f"{path} is no checkpoint of seqfuse: '{name}' lacks '{key}'")
    return content


def _content(path: str | Path) -> Any:
    """Weights and plain data of a file, in either format; no code of it is run."""
    try:
        with open(path, "rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"  # where its header begins
        if is_safetensors:
            return _of_safetensors(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:  # without the library
        raise
    except Exception as error:  # whatever unpickling stumbles over
        code = re.search(r"GLOBAL (\S+)", str(error))  # a class or function that is not built
        if isinstance(error, pickle.UnpicklingError) and code:
            raise InputError(
                f"{path} holds more than plain data and is not read: it names {code[1]}"
            ) from None
        raise InputError(
            f"{path} is truncated or no checkpoint: copy it again, or take last.ckpt beside it"
        ) from None


def _of_safetensors(path: str | Path) -> dict[str, Any]:
    need(str(path), "safetensors")
    from safetensors import safe_open

    with safe_open(path, "pt") as tensors:
        plain = json.loads((tensors.metadata() or {}).get(HEADER, "{}"))
        weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    return {**plain, "state_dict": weights}


def check_numbers(content: Mapping[str, Any], path: str | Path) -> None:
    """Checks that the weights of the net, and what the data are scaled by, are finite numbers."""
    _check_weights(content["state_dict"], path)
    _check_scales(content["DataModule"].get("pipeline"), path)


def _check_weights(weights: Mapping[str, Any], path: str | Path) -> None:
    for name, weight in weights.items():
        if not isinstance(weight, torch.Tensor) or weight.is_complex():
            kind = weight.dtype if isinstance(weight, torch.Tensor) else type(weight).__name__
            raise InputError(f"{path}: {name} is {kind}, not real numbers: train it again")
        # A threshold or a correction that no validation has set is NaN; its user says so.
        if str(name).startswith("net.") and not torch.isfinite(weight).all():
            raise InputError(f"{path}: {name} is not finite: take an earlier checkpoint of the run")


def _check_scales(state: Any, path: str | Path, name: str = "its data") -> None:
    """Means must be finite, standard deviations also above 0; of each source or recording."""
    for key, value in state.items() if isinstance(state, dict) else ():
        if key == "standardisation" and not isinstance(value, dict):
            raise InputError(f"{path}: the scale of {name} is none: train it again")
        if key == "scales":
            for source, scale in value.items() if isinstance(value, dict) else ():
                _check_scales({"standardisation": scale}, path, source)
        elif isinstance(value, dict):
            _check_scales(value, path, name)
        elif key == "classes" and not _all_are(str, value):
            raise InputError(f"{path}: classes of its data are no list of texts: train it again")
        elif key in ("mean", "std"):
            _check_scale(f"{key} of {name}", value, path, above=0.0 if key == "std" else -math.inf)


def _check_scale(name: str, numbers: Any, path: str | Path, above: float) -> None:
    if not _all_are((int, float), numbers):
        raise InputError(f"{path}: the {name} is no list of numbers: train it again")
    for number in numbers:
        if not above < number < math.inf:
            raise InputError(f"{path}: the {name} is {number}: train it again")


def _all_are(kind: type | tuple[type, ...], values: Any) -> bool:
    return isinstance(values, (list, tuple)) and all(isinstance(value, kind) for value in values)


def replace_calibration(
    path: str | Path, content: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> None:
    """Writes a checkpoint's content with the weights that were calibrated at the end."""
    new = {n: w.cpu() for n, w in weights.items() if n.startswith(CALIBRATION)}
    kept = {n: w for n, w in content["state_dict"].items() if not n.startswith(CALIBRATION)}
    write({**content, "state_dict": {**kept, **new}}, path)


def write(
    content: Mapping[str, Any], path: str | Path, first: Callable[[Path], None] | None = None
) -> None:
    """Writes a checkpoint whole or not at all: beside the file, and then into its place.

    `first` is called with the path in between.
    """
    path, whole = Path(path), io.BytesIO()
    torch.save(dict(content), whole)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = files.write_beside(path, whole.getvalue())
        if first is not None:
            first(path)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror or error}): what was saved before is "
            f"still there; make room, then type seqfuse-train resume={path.parents[1]}"
        ) from None
