"""One array of an .npy or .npz file, read a few rows at a time."""

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from seqfuse.runtime.array_items import broken, header_of, size_of
from seqfuse.runtime.errors import InputError

BROKEN = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


class ArrayFile:
    """Rows of an array, in order; nothing is unpickled.

    Args:
        path: an .npy, or an .npz, compressed or not.
        name: of the array in an .npz.

    Raises:
        InputError: it is not there, or broken.
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self.names = ["x"]
        self._archive: zipfile.ZipFile | None = None

    def __enter__(self) -> "ArrayFile":
        try:
            self._file, size = self._open()
            self.shape, self.fortran, self.dtype = header_of(self._file, size, str(self.path))
        except InputError:
            self.__exit__()
            raise
        except Exception as error:  # what zipfile, zlib and the parser of headers stumble over
            self.__exit__()
            raise broken(self.path, error) from None
        self._whole: np.ndarray | None = None
        return self

    def _open(self) -> tuple[IO[bytes], int]:
        """The file of the array, and its bytes."""
        if self.path.suffix.lower() == ".npy":
            return self.path.open("rb"), self.path.stat().st_size
        self._archive = zipfile.ZipFile(self.path)
        self.names = [name.removesuffix(".npy") for name in self._archive.namelist()]
        if self.name not in self.names:
            names = ", ".join(self.names)
            raise InputError(f"{self.path} has no array '{self.name}' (it has: {names})")
        member = self._archive.getinfo(f"{self.name}.npy")
        return self._archive.open(member), size_of(member)

    def read(self, rows: int) -> np.ndarray:
        """The next so many rows."""
        if self.fortran:  # rows lie scattered over the file
            return self._from_whole(rows)
        return self._numbers((rows, *self.shape[1:]))

    def _from_whole(self, rows: int) -> np.ndarray:
        if self._whole is None:
            self._whole = self._numbers(self.shape[::-1]).transpose()
        found, self._whole = self._whole[:rows], self._whole[rows:]
        return found

    def _numbers(self, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * self.dtype.itemsize
        try:
            content = self._file.read(size)
        except BROKEN as error:
            raise InputError(f"{self.path} is truncated or broken: {error}") from None
        if len(content) < size:
            raise InputError(f"{self.path} is truncated: '{self.name}' ends too early")
        return np.frombuffer(content, self.dtype).reshape(shape)

    def __exit__(self, *_: object) -> None:
        for opened in (getattr(self, "_file", None), self._archive):
            if opened is not None:
                opened.close()
