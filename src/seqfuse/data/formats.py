"""Readers of the UCR/UEA archive's files, plain or gzipped: .ts, .tsv and .arff.

Each returns the series, (t c) arrays, and their labels as written. aeon reads these
formats too, but lower-cases class names and does not say where a file is broken.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqfuse.plain.errors import InputError

Labelled = tuple[list[np.ndarray], list[str]]
MISSING = {"?": "nan", "": "nan"}


def read(path: Path) -> Labelled:
    """Reads a file by its ending, such as `GunPoint_TRAIN.tsv.gz`.

    Raises:
        InputError: the file is missing, truncated or malformed; names file, row and column.
    """
    reader = READERS[path.name.removesuffix(".gz").rsplit(".", 1)[-1].lower()]
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            lines = [(i, line.strip()) for i, line in enumerate(file, start=1)]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is truncated or not gzip ({error}): fetch it again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    series, labels = reader(path, [(i, line) for i, line in lines if line and line[0] not in "#%"])
    if not series:
        raise InputError(f"{path} holds no series: it may be truncated, fetch it again")
    return series, labels


def _read_ts(path: Path, lines: list[tuple[int, str]]) -> Labelled:
    header, rows = _split_header(path, lines)
    if header.get("timestamps", "false").lower() == "true":
        raise InputError(f"{path}: time stamps are not supported: write values alone")
    classes = header.get("classlabel", "").split()[1:]
    series, labels = [], []
    for i, line in rows:
        *channels, label = line.split(":")
        if not channels or (classes and label not in classes):
            raise InputError(f"{path}, line {i}: '{label[:20]}' is not a class of @classLabel")
        series.append(_stack(path, i, [one.split(",") for one in channels]))
        labels.append(label)
    return series, labels


def _read_tsv(path: Path, lines: list[tuple[int, str]]) -> Labelled:
    series, labels = [], []
    for i, line in lines:
        label, *values = line.split("\t")
        series.append(_stack(path, i, [values], first_column=2))
        labels.append(label)
        if len(values) != len(series[0]):
            raise InputError(
                f"{path}, line {i} has {len(values)} values, line {lines[0][0]} has "
                f"{len(series[0])}: the file may be truncated"
            )
    return series, labels


def _read_arff(path: Path, lines: list[tuple[int, str]]) -> Labelled:
    series, labels = [], []
    for i, line in _split_header(path, lines)[1]:
        values, _, label = line.rpartition(",")
        if not values:
            raise InputError(f"{path}, line {i} has no label: the file may be truncated")
        rows = values.strip("'\"").split("\\n")
        series.append(_stack(path, i, [row.split(",") for row in rows]))
        labels.append(label.strip("'\" "))
    return series, labels


READERS = {"ts": _read_ts, "tsv": _read_tsv, "arff": _read_arff}


def _split_header(
    path: Path, lines: list[tuple[int, str]]
) -> tuple[dict[str, str], list[tuple[int, str]]]:
    header: dict[str, str] = {}
    for at, (_, line) in enumerate(lines):
        key, _, value = line[1:].partition(" ")
        if line.lower() == "@data":
            return header, lines[at + 1 :]
        header[key.lower()] = value.strip()
    raise InputError(f"{path} has no @data line: it may be truncated, fetch it again")


def _stack(path: Path, line: int, channels: list[list[str]], first_column: int = 1) -> np.ndarray:
    """Channels of text to (t c)."""
    lengths = {len(values) for values in channels}
    if len(lengths) > 1:
        raise InputError(f"{path}, line {line}: channels of different lengths {sorted(lengths)}")
    return np.stack([_numbers(path, line, values, first_column) for values in channels], axis=1)


def _numbers(path: Path, line: int, values: list[str], first_column: int) -> np.ndarray:
    try:
        return np.array([MISSING.get(value, value) for value in values], dtype=np.float32)
    except ValueError:
        column, value = next(_not_numbers(values))
        raise InputError(
            f"{path}, line {line}, column {column + first_column}: '{value[:20]}' is not a number"
        ) from None


def _not_numbers(values: list[str]) -> Iterator[tuple[int, str]]:
    for i, value in enumerate(values):
        try:
            float(MISSING.get(value, value))
        except ValueError:
            yield i, value
