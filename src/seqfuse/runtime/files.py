"""Files: found, opened, read line by line; written whole or not at all, whatever goes wrong."""

import codecs
import glob
import gzip
import io
import json
import os
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from seqfuse.runtime.errors import InputError


def find(
    file: str, root: str | Path, key: str, folders: bool = False, patterns: bool = False
) -> Path:
    """A file (or folder, or pattern, too) from here or from `root`, perhaps without its `.gz`;
    `key` names it in the message."""
    path = find_in((".", root), file, folders, patterns)
    if path is None and (folder := find_in((".", root), file, folders=True)):
        raise InputError(f"{folder} is a folder: name a file in {key}")
    if path is None:
        raise InputError(f"{file} is not there, nor in {root}: check {key}")
    return path


def find_in(
    roots: Sequence[str | Path], file: str, folders: bool = False, patterns: bool = False
) -> Path | None:
    """A file (or folder, or pattern, too) of the first root that has it, perhaps without its `.gz`.

    What an address names is fetched.
    """
    from seqfuse.runtime.read import addresses  # which imports this module

    if addresses.is_address(file):
        paths = [addresses.local(file)]
    else:
        names = (file, file.removesuffix(".gz"))
        paths = [Path(root) / name for name in names for root in roots]
    for path in paths:
        if path.is_file() or (folders and path.exists()) or (patterns and matches(path)):
            return path
    return None


WILDCARD = re.compile(r"[*?[]")


def is_pattern(name: str) -> bool:
    """Whether a name has wildcards, as in `tables/*.parquet`; `**` is any number of folders."""
    return WILDCARD.search(name) is not None


def matches(path: Path) -> bool:
    """Whether a path is a pattern, and there is something that it matches."""
    return is_pattern(str(path)) and any(glob.iglob(str(path), recursive=True))


def path_in(x: Any, endings: tuple[str, ...]) -> Path | None:
    """The file that x names: a path, or a text with one of the endings; None of anything else."""
    is_named = isinstance(x, str) and x.lower().endswith(endings)
    return Path(x) if is_named or isinstance(x, os.PathLike) else None


def open_binary(path: Path) -> IO[bytes]:
    """A file as it was before it was gzipped, where its name ends so."""
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


ANSWERS = {
    (".xlsx", ".xlsm", ".xls", ".ods"): "save its sheet as CSV",
    (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"): "unpack it",
    (".parquet",): "write it as CSV, pandas.read_parquet(name).to_csv(other, index=False)",
    (".json",): "write an object on each line, without brackets around them, and call it .jsonl",
    (".mat", ".h5", ".hdf5", ".pkl", ".pickle", ".pt", ".pth", ".joblib", ".feather"): (
        "open it in Python, and write a frame by to_csv or to_parquet, arrays by numpy.savez"
    ),
}
"""Advice about a file by its ending."""


def check_ending(path: Path, endings: Sequence[str], layout: str = "") -> None:
    """Raises InputError unless the name of a file ends in one of these; `layout` says how to write
    one, where no better answer is known."""
    if path.name.lower().endswith(tuple(endings)):
        return
    answers = [fix for others, fix in ANSWERS.items() if path.name.lower().endswith(others)]
    fix = "".join(f": {answer}" for answer in answers or [layout] if answer)
    raise InputError(f"{path}: the ending must be one of: {', '.join(endings)}{fix}")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file, plain or gzipped, with their numbers from 1 and their ends.

    It is UTF-8, or UTF-16 where it begins with the mark of that.
    """
    number = 0
    try:
        with open_binary(path) as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\x03\x04":
                raise InputError(
                    f"{path} is a workbook or another archive, no text: save it as CSV"
                )
            if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                with io.TextIOWrapper(file, "utf-16", newline="\n") as text:
                    yield from enumerate(text, start=1)
                return
            for number, raw in enumerate(file, start=1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or not gzip ({error}): fetch it again") from None
    except UnicodeDecodeError as error:
        if error.encoding != "utf-8":
            raise InputError(
                f"{path} is broken UTF-16 ({error.reason}): save it as UTF-8"
            ) from None
        other = shlex.quote(str(path.with_name(f"utf8_{path.name}")))
        command = f"iconv -f cp1252 -t utf-8 {shlex.quote(str(path))} > {other}"
        fix = "" if path.suffix == ".gz" else f", of a Western text by {command}"
        raise InputError(
            f"{path}, line {number}, column {error.start + 1} is not UTF-8 ({error.reason}): "
            f"save it as UTF-8{fix}"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{path} is truncated or broken: remove it, or copy it again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object: remove it, or copy it again")
    return content


def read_ahead(path: Path, spans: Iterable[tuple[int, int]]) -> None:
    """Asks the system for parts of a file that will be read soon, where it takes such advice: the
    first byte of each, and bytes.

    Nothing waits for them, and they take no memory but that of the system's own cache.
    """
    if not hasattr(os, "posix_fadvise"):  # macOS, Windows
        return
    with suppress(OSError), path.open("rb") as file:  # who reads it says what is wrong with it
        for first, size in spans:
            os.posix_fadvise(file.fileno(), first, size, os.POSIX_FADV_WILLNEED)


def write(path: Path, content: bytes | str) -> None:
    """Replaces a file by new content in one step; what was there before stays whole on an
    OSError."""
    beside = write_beside(path, content)
    os.replace(beside, path)


def append(path: Path, content: str) -> None:
    """Adds text to the end of a file, or nothing on an OSError; makes the file where it is not
    there."""
    before = path.stat().st_size if path.exists() else None
    try:
        with path.open("ab") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if before is not None:
            os.truncate(path, before)
        else:
            path.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise


def write_shared(path: Path, content: bytes | str) -> None:
    """Writes a file whole that several processes may write at once."""
    os.replace(write_beside(path.with_name(f"{path.name}.{os.getpid()}"), content), path)


def write_beside(path: Path, content: bytes | str) -> Path:
    """Writes content onto the disk under another name in the same folder, and returns where it
    lies.

    The name is always the same, so what a killed process leaves behind is written over. Nothing is
    left on an OSError.
    """
    beside = path.with_name(f"{path.name}.tmp")
    data = content.encode() if isinstance(content, str) else content
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        beside.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise
    return beside
