"""Arrays of .npy and .npz files, whole or a few rows at a time; nothing is unpickled."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError

ARRAY_ENDINGS = (".npz", ".npy")
LAYOUTS = {"btc": "(series, time, channels)", "bct": "(series, channels, time)"}
"""Axes of an array of series, by `data.layout`."""
BROKEN = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


class ArrayFile:
    """Rows of one array, in order, of an .npy or by its name of an .npz, compressed or not."""

    def __init__(self, path: Path, name: str = "x"):
        self.path, self.name = path, name
        self._whole: NDArray[Any] | None = None
        self._opened: list[Any] = []

    def __enter__(self) -> "ArrayFile":
        try:
            self._file, size, where = self._open()
            self._opened.append(self._file)
            self.shape, self.fortran, self.dtype = _header_of(self._file, size, where)
        except InputError:
            self.__exit__()
            raise
        except Exception as error:  # what zipfile, zlib and the parser of headers stumble over
            self.__exit__()
            raise _broken(self.path, error) from None
        return self

    def _open(self) -> tuple[IO[bytes], int, str]:
        """The file of the array, its bytes, and what it is called."""
        if self.path.suffix.lower() == ".npy":
            return self.path.open("rb"), self.path.stat().st_size, str(self.path)
        archive = zipfile.ZipFile(self.path)
        self._opened.append(archive)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if self.name not in names:
            raise missing(self.path, self.name, names)
        member = archive.getinfo(f"{self.name}.npy")
        # What is said of it, or else the most that zlib can pack.
        size = min(member.file_size, 1032 * member.compress_size + 1024)
        return archive.open(member), size, f"{self.path}: {member.filename}"

    def read(self, rows: int) -> NDArray[Any]:
        if not self.fortran:
            return self._numbers((rows, *self.shape[1:]))
        if self._whole is None:  # rows lie scattered over the file
            self._whole = self._numbers(self.shape[::-1]).transpose()
        part, self._whole = self._whole[:rows], self._whole[rows:]
        return part

    def whole(self) -> NDArray[Any]:
        """The array; of one without axes, its value."""
        return self.read(self.shape[0]) if self.shape else self._numbers(())

    def _numbers(self, shape: tuple[int, ...]) -> NDArray[Any]:
        size = int(np.prod(shape)) * self.dtype.itemsize
        try:
            content = self._file.read(size)
        except BROKEN as error:
            raise _broken(self.path, error) from None
        if len(content) < size:
            raise InputError(f"{self.path} is truncated: '{self.name}' ends too early")
        return np.frombuffer(content, self.dtype).reshape(shape)

    def __exit__(self, *_: object) -> None:
        for opened in reversed(self._opened):
            opened.close()


def array_names(path: Path) -> list[str]:
    """Names of the arrays of an .npz; of an .npy, x."""
    if path.suffix.lower() == ".npy":
        return ["x"]
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # as above
        raise _broken(path, error) from None


def load_array(path: Path, name: str = "x") -> NDArray[Any]:
    """One array of an .npz, or that of an .npy."""
    with ArrayFile(path, name) as array:
        return array.whole()


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz, or x of an .npy."""
    return {name: load_array(path, name) for name in array_names(path)}


def missing(path: Path | str, name: str, names: Sequence[str], fix: str = "") -> InputError:
    """The mistake that an array is not there, whose name another may have in capitals."""
    alike = [other for other in names if other.lower() == name.lower()]
    fix = f": rename '{alike[0]}' to '{name}'" if alike else fix
    return InputError(f"{path} has no array '{name}' (it has: {', '.join(names)}){fix}")


def _broken(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return InputError(f"{path} is truncated or no array file ({reason})")


def _header_of(
    file: IO[bytes], size: int, where: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type; nothing is allocated for more than `size`."""
    first = npy.read_array_header_1_0
    head = first if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = head(file)
    if dtype.hasobject:
        raise InputError(
            f"{where} holds Python objects, not numbers: pad unequal series with NaN at their "
            "ends to one array (series, time, channels)"
        )
    wanted, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or wanted > left:
        raise InputError(
            f"{where} is truncated: its header says {shape} of {dtype}, which is {wanted} bytes, "
            f"and {left} are there"
        )
    return shape, fortran, dtype


def by_time(x: Any, layout: str) -> Any:
    """Series with the axes (time, channels), whatever their layout: an array, or a list."""
    if layout == "btc":
        return x
    if isinstance(x, np.ndarray) and x.ndim == 3:
        return x.transpose(0, 2, 1)
    return [_transposed(item) for item in x]


def is_frame(x: Any) -> bool:
    """Whether x is a data frame of pandas."""
    return hasattr(x, "columns") and hasattr(x, "index")


def frame_series(frame: Any) -> Any:
    """The series of a data frame.

    Its rows are series, its columns their steps, (n t); or, where the index has two levels, rows
    are steps and columns channels, a list of (t c): the first level tells series apart.
    """
    values = frame.to_numpy()
    if frame.index.nlevels == 1:
        return values
    if frame.index.nlevels > 2:
        raise InputError(
            f"the index of the frame has {frame.index.nlevels} levels, expected series and time"
        )
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(frame.index.get_level_values(0)):
        rows.setdefault(name, []).append(row)
    return [values[each] for each in rows.values()]


def _transposed(series: Any) -> Any:
    if is_frame(series):  # whose rows are steps, whatever the layout of arrays
        return series
    try:
        return np.transpose(series) if np.ndim(series) == 2 else series
    except ValueError:
        return series  # rows of unequal lengths, refused where numbers are read


def lengths_of(path: Path, name: str, count: int) -> NDArray[np.int64]:
    """(n) steps of each item, an array of its own."""
    with ArrayFile(path, name) as array:
        if array.dtype.kind not in "iu" or array.shape != (count,):
            raise InputError(
                f"{path}: {name} is {array.dtype} of shape {array.shape}, expected a whole number "
                f"for each of {count} items"
            )
        return array.whole()


def ids_of(path: Path, count: int) -> list[Any]:
    """(n) the user's own names of items: the array `id`."""
    with ArrayFile(path, "id") as array:
        if array.shape != (count,) or array.dtype.kind not in "iufUS":
            raise InputError(
                f"{path}: id is {array.dtype} of shape {array.shape}, expected {count} numbers or "
                "words, one for each item"
            )
        ids = array.whole()
    try:
        return (np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids).tolist()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: id is not UTF-8 ({error.reason}): save it as words") from None


def cut(x: NDArray[Any], lengths: NDArray[np.int64] | None, where: str, first: int = 0) -> Any:
    """Items (n t ...), each as long as `lengths` says, where they are given."""
    if lengths is None:
        return x
    if x.ndim < 3:
        raise InputError(f"{where}: the items have no axis of time to be cut: leave it out")
    steps = x.shape[1]
    for i in np.flatnonzero((lengths < 1) | (lengths > steps))[:1]:
        raise InputError(
            f"{where} says {lengths[i]} for item {first + i}, expected 1 to {steps} steps"
        )
    return [item[:n] for item, n in zip(x, lengths, strict=True)]
