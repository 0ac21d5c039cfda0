"""Items of array files: series, clips, or several sources."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.plain.errors import InputError
from seqfuse.plain.sources import SourcesPipeline

ARRAY_ENDINGS = (".npz", ".npy")
ID = "id"
LABELS = ("y", "groups")
"""Of a training file; nobody looks at them."""
CLOCK = "clock"
"""Steps of the first source, where that is missing."""
Arrays = dict[str, np.ndarray]


def array_items(path: Path, pipeline: Any) -> tuple[Any, Sequence[Any] | None]:
    """Items of an .npz or .npy, and the user's own names of them.

    Raises:
        InputError: it is broken, or its arrays do not line up; names the array.
    """
    arrays = load_arrays_of(path)
    ids = arrays.pop(ID, None)
    if isinstance(pipeline, SourcesPipeline):
        x: Any = _sources(path, arrays, list(pipeline.parts))
        count = len(next(iter(x.values()), ()))
    else:
        x = _cut(path, arrays, "x", "lengths")
        count = len(x)
    return x, None if ids is None else _names(path, ids, count)


def _sources(path: Path, arrays: Arrays, names: Sequence[str]) -> dict[str, Any]:
    """Items of each source; raises InputError where the file holds something else."""
    given = [key.removesuffix("_x") for key in arrays if key.endswith("_x")]
    known = {f"{name}_{kind}" for name in given for kind in ("x", "lengths")}
    for key in arrays:
        if key not in known and key not in (*LABELS, CLOCK):
            raise InputError(
                f"{path}: array '{key}' is not for a prediction: the file must hold <source>_x "
                f"(items, time, channels) of {', '.join(names)}, and perhaps <source>_lengths "
                "and id, one for each item; recordings of devices must be cut and put on their "
                "clocks before"
            )
    x = {name: _cut(path, arrays, f"{name}_x", f"{name}_lengths") for name in given}
    return x | ({CLOCK: arrays[CLOCK]} if CLOCK in arrays else {})


def load_arrays_of(path: Path) -> Arrays:
    """The arrays of an .npz, or x of an .npy; nothing is unpickled.

    Raises:
        InputError: it is broken.
    """
    try:
        if path.suffix == ".npy":
            return {"x": np.load(path)}
        with path.open("rb") as file, np.load(file) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except (OSError, EOFError, zipfile.BadZipFile, AttributeError, ValueError) as error:
        raise InputError(f"{path} is truncated or no array file ({error})") from None


def _cut(path: Path, arrays: Arrays, name: str, lengths: str) -> Any:
    """An array of items, each as long as `lengths` says, where that is there."""
    if name not in arrays:
        raise InputError(f"{path} has no array '{name}' (it has: {', '.join(arrays)})")
    x = arrays[name]
    if not x.ndim:
        raise InputError(f"{path}: {name} is a single value, expected one row for each item")
    if lengths not in arrays:
        return x
    ends = arrays[lengths]
    _check_lengths(f"{path}: {lengths}", ends, x)
    return [one[:n] for one, n in zip(x, ends, strict=True)]


def _check_lengths(where: str, lengths: np.ndarray, x: np.ndarray) -> None:
    steps = x.shape[1] if x.ndim > 1 else 1
    if lengths.dtype.kind not in "iu" or lengths.shape != (len(x),):
        raise InputError(
            f"{where} is {lengths.dtype} of shape {lengths.shape}, expected a whole number for "
            f"each of {len(x)} items"
        )
    for i in np.flatnonzero((lengths < 1) | (lengths > steps))[:1]:
        raise InputError(f"{where} says {lengths[i]} for item {i}, expected 1 to {steps} steps")


def _names(path: Path, ids: np.ndarray, count: int) -> list[Any]:
    if ids.shape != (count,) or ids.dtype.kind not in "iufUS":
        raise InputError(
            f"{path}: id is {ids.dtype} of shape {ids.shape}, expected {count} numbers or words, "
            "one for each item"
        )
    try:
        return (np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids).tolist()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: id is not UTF-8 ({error.reason}): save it as words") from None
