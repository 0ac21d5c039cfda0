"""Items of array files: series, clips, or several sources."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.series import SeriesPipeline
from seqfuse.runtime.sources import SourcesPipeline

ARRAY_ENDINGS = (".npz", ".npy")
ID = "id"
LABELS = ("y", "groups")
"""Of a training file; nobody looks at them."""
CLOCK = "clock"
"""Steps of the first source, where that is missing."""
Arrays = dict[str, np.ndarray]
LAYOUTS = {"btc": "(series, time, channels)", "bct": "(series, channels, time)"}
"""Axes of an array of series, by `data.layout`."""


def array_items(path: Path, pipeline: Any, layout: str = "btc") -> tuple[Any, Sequence[Any] | None]:
    """Items of an .npz or .npy, and the user's own names of them.

    Args:
        path: of the file.
        pipeline: of the items.
        layout: order of the axes of x, where the items are series.

    Raises:
        InputError: it is broken, or its arrays do not line up; names the array.
    """
    arrays = load_arrays(path)
    ids = arrays.pop(ID, None)
    if isinstance(pipeline, SourcesPipeline):
        x: Any = _sources(path, arrays, list(pipeline.parts))
        count = len(next(iter(x.values()), ()))
    else:
        x = _array(path, arrays, "x")
        count = len(x)
        if isinstance(pipeline, SeriesPipeline):
            check_axes(x.shape, x.dtype, path)
            x = by_time(x, layout)
        x = cut(x, arrays.get("lengths"), f"{path}: lengths")
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
    x = {
        name: cut(
            _array(path, arrays, f"{name}_x"),
            arrays.get(f"{name}_lengths"),
            f"{path}: {name}_lengths",
        )
        for name in given
    }
    return x | ({CLOCK: arrays[CLOCK]} if CLOCK in arrays else {})


def load_arrays(path: Path) -> Arrays:
    """The arrays of an .npz, or x of an .npy; nothing is unpickled.

    Raises:
        InputError: it is broken.
    """
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return {"x": _read_array(file, path.stat().st_size, str(path))}
        with zipfile.ZipFile(path) as archive:
            return {
                one.filename.removesuffix(".npy"): _member(archive, one, path)
                for one in archive.infolist()
            }
    except InputError:
        raise
    except Exception as error:  # what zipfile, zlib and the parser of headers stumble over
        raise broken(path, error) from None


def broken(path: Path, error: Exception) -> InputError:
    """The mistake behind what reading an array file stumbled over."""
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return InputError(f"{path} is truncated or no array file ({reason})")


def _member(archive: zipfile.ZipFile, one: zipfile.ZipInfo, path: Path) -> np.ndarray:
    with archive.open(one) as file:
        return _read_array(file, size_of(one), f"{path}: {one.filename}")


def size_of(one: zipfile.ZipInfo) -> int:
    """Bytes of a file in an archive: what is said of it, or else the most that zlib can pack."""
    return min(one.file_size, 1032 * one.compress_size + 1024)


def _read_array(file: IO[bytes], size: int, where: str) -> np.ndarray:
    header_of(file, size, where)
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)


def header_of(
    file: IO[bytes], size: int, where: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type of the array of an .npy.

    Args:
        file: at its start.
        size: its bytes; nothing is allocated for a header that promises more.
        where: begins an error message.

    Raises:
        InputError: it holds Python objects, or less than its header says.
    """
    first = npy.read_array_header_1_0
    head = first if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = head(file)
    if dtype.hasobject:
        raise InputError(
            f"{where} holds Python objects, not numbers: pad unequal series with NaN at their "
            "ends to one array (series, time, channels)"
        )
    wanted, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or wanted > there:
        raise InputError(
            f"{where} is truncated: its header says {shape} of {dtype}, which is {wanted} bytes, "
            f"and {there} are there"
        )
    return shape, fortran, dtype


def check_axes(shape: tuple[int, ...], dtype: np.dtype, path: Path) -> None:
    """Raises InputError unless an array of series has three axes and holds numbers."""
    if len(shape) != 3 or dtype.kind not in "biuf":
        raise InputError(
            f"{path}: x has shape {shape} of {dtype}, expected numbers with three axes: "
            "(series, time, channels) for data.layout=btc, (series, channels, time) for bct"
        )


def by_time(x: Any, layout: str) -> Any:
    """Series with the axes (time, channels), whatever their layout: an array, or a list."""
    if layout == "btc":
        return x
    if isinstance(x, np.ndarray) and x.ndim == 3:
        return x.transpose(0, 2, 1)
    return [_transposed(one) for one in x]


def _transposed(series: Any) -> Any:
    try:
        return np.transpose(series) if np.ndim(series) == 2 else series
    except ValueError:
        return series  # rows of unequal lengths, refused where numbers are read


def _array(path: Path, arrays: Arrays, name: str) -> np.ndarray:
    if name not in arrays:
        raise InputError(f"{path} has no array '{name}' (it has: {', '.join(arrays)})")
    x = arrays[name]
    if not x.ndim:
        raise InputError(f"{path}: {name} is a single value, expected one row for each item")
    return x


def cut(x: np.ndarray, lengths: np.ndarray | None, where: str, first: int = 0) -> Any:
    """Items (n t ...), each as long as `lengths` says, where they are given.

    Args:
        x: items padded to one length.
        lengths: steps of each.
        where: begins an error message.
        first: number of the first item in error messages.

    Raises:
        InputError: they are no whole numbers, as many as the items, from 1 to t.
    """
    if lengths is None:
        return x
    check_lengths(lengths.shape, lengths.dtype, len(x), where)
    if x.ndim < 3:
        raise InputError(f"{where}: the items have no axis of time to be cut: leave it out")
    steps = x.shape[1]
    for i in np.flatnonzero((lengths < 1) | (lengths > steps))[:1]:
        raise InputError(
            f"{where} says {lengths[i]} for item {first + i}, expected 1 to {steps} steps"
        )
    return [one[:n] for one, n in zip(x, lengths, strict=True)]


def check_lengths(shape: tuple[int, ...], dtype: np.dtype, count: int, where: str) -> None:
    """Raises InputError unless lengths are a whole number for each item."""
    if dtype.kind not in "iu" or shape != (count,):
        raise InputError(
            f"{where} is {dtype} of shape {shape}, expected a whole number for each of {count} "
            "items"
        )


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
