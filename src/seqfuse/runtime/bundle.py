"""The files of an exported folder, checked."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqfuse.runtime.engine import OUTPUTS, Engine, difference
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.arrays import load_arrays

METADATA = "pipeline.json"
GRAPH, GRAPH_INT8 = "model.onnx", "model.int8.onnx"
EXAMPLE = "example.npz"
REQUIRED = {"job": str, "files": dict, "pipeline": dict, "tolerance": float}
FILE = re.compile(r"(seqfuse_runtime/(\w+/)*)?\w[\w.]*")
"""A file of the folder, or of the package in it."""


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def seal(metadata: Mapping[str, Any]) -> str:
    """SHA-256 of metadata, but for their seal itself."""
    plain = {key: value for key, value in metadata.items() if key != "seal"}
    return digest(json.dumps(plain, sort_keys=True).encode())


def read_metadata(folder: Path) -> dict[str, Any]:
    """Content of `pipeline.json`, after a check that all files are those that were exported."""
    path = folder / METADATA
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is no exported folder: it has no {METADATA}") from None
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is truncated or broken: export it again") from None
    _check_metadata(metadata, path)
    for name, wanted in metadata["files"].items():
        try:
            hashed = digest((folder / name).read_bytes())
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"{folder / name} cannot be read ({reason}): export again") from None
        if hashed != wanted:
            raise InputError(
                f"{folder / name} is truncated or was changed since it was exported: copy the "
                "folder again, or export it again"
            )
    return metadata


def _check_metadata(metadata: Any, path: Path) -> None:
    """Raises InputError unless metadata are sealed, and say what every folder must."""
    if not isinstance(metadata, dict) or metadata.get("seal") != seal(metadata):
        raise InputError(f"{path} was changed since it was exported: export it again")
    for key, kind in REQUIRED.items():
        if not isinstance(metadata.get(key), kind):
            raise InputError(f"{path} does not say what '{key}' is: export it again")
    for name in metadata["files"]:
        if not FILE.fullmatch(name):
            raise InputError(f"{path} names the file '{name}', which does not lie in its folder")
    for name in (GRAPH, EXAMPLE):
        if name not in metadata["files"]:
            raise InputError(f"{path} has no {name} among its 'files': export it again")


def check_example(engine: Engine, folder: Path, tolerance: float) -> float:
    """The largest difference from the outputs of the example; relative to those above 1."""
    path = folder / EXAMPLE
    example = load_arrays(path)
    for name in OUTPUTS[:2]:
        if name not in example:
            raise InputError(f"{path} has no array '{name}' (it has: {', '.join(example)})")
    try:
        outputs = engine(example).named()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if missing := [name for name in outputs if name not in example]:
        raise InputError(f"{path} has no array '{missing[0]}': export it again")
    worst = max(difference(name, outputs[name], example[name]) for name in outputs)
    if not worst <= tolerance:
        raise InputError(f"{path}: outputs differ by {worst:.2g}, above {tolerance:g}")
    return worst
