"""Readers of the UCR/UEA archive's files, plain or gzipped: .ts, .tsv and .arff.

Each yields the series, (t c) arrays, and their labels as written. aeon reads these
formats too, but lower-cases class names and does not say where a file is broken.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import lines_of
from seqfuse.runtime.pipelines.labels import UNLABELLED
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.read.numbers import numbers_in
from seqfuse.runtime.recordings import Recordings

TextLines = Iterator[tuple[int, str]]
SeriesRow = tuple[int, np.ndarray, str]
"""Line in the file, series, label as written."""


def read_archive(path: Path, labelled: bool = True, label_type: str = "classes") -> Recordings:
    """All series of a file such as `GunPoint_TRAIN.tsv.gz`; without `labelled`, no labels."""
    lines, rows, labels = zip(*series_in(path, labelled, label_type), strict=True)
    for line, label in zip(lines, labels, strict=True):
        if labelled and not label:
            raise InputError(f"{path}, line {line} has no label")
    if not labelled:
        return series(rows, [UNLABELLED] * len(rows), origin=str(path))
    return series(rows, labels, origin=str(path), label_type=label_type, lines=lines)


def series_in(
    path: Path, labelled: bool = True, label_type: str = "classes"
) -> Iterator[SeriesRow]:
    """Reads a file row by row.

    Args:
        labelled: without it, labels may be `?`, classes of any name, or (in a .ts that says
            `@classLabel false`) absent.
        label_type: `classes`, or `numbers`, as in the TSER archive (`@targetlabel true`).
    """
    reader = READERS[path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]]
    row = None
    for row in reader(path, _full_lines(path), labelled, label_type):
        yield row
    if row is None:
        raise InputError(f"{path} holds no series: it may be truncated, fetch it again")


def _full_lines(path: Path) -> TextLines:
    for number, line in lines_of(path):
        if (text := line.strip()) and text[0] not in "#%":
            yield number, text


def _read_ts(path: Path, lines: TextLines, labelled: bool, label_type: str) -> Iterator[SeriesRow]:
    header = _split_header(path, lines)
    if header.get("timestamps", "false").lower() == "true":
        raise InputError(f"{path}: time stamps are not supported: write values alone")
    numbers = header.get("targetlabel", "false").lower() == "true"
    kind, *classes = header.get("classlabel", str(not numbers)).split() or ["true"]
    has_labels = numbers or kind.lower() != "false"
    if labelled and not has_labels:
        raise InputError(
            f"{path} has no labels (@classLabel false): a classifier needs them; "
            "without them, type task=contrastive data.labelled=false"
        )
    if labelled and numbers and label_type != "numbers":
        raise InputError(f"{path} has numbers as labels (@targetlabel true): type task=regression")
    for i, line in lines:
        *channels, label = line.split(":")
        if not has_labels:
            channels, label = [*channels, label], ""
        if not channels or (labelled and classes and label not in classes):
            raise InputError(f"{path}, line {i}: '{label[:20]}' is not a class of @classLabel")
        yield i, _stack(path, i, [channel.split(",") for channel in channels]), label


def _read_tsv(path: Path, lines: TextLines, labelled: bool, label_type: str) -> Iterator[SeriesRow]:
    first: tuple[int, int] | None = None
    for i, line in lines:
        label, *values = line.split("\t")
        if not values:
            raise InputError(f"{path}, line {i} is a label without values: they come behind tabs")
        series = _stack(path, i, [values], first_column=2)
        first = first or (i, len(values))
        if len(values) != first[1]:
            raise InputError(
                f"{path}, line {i} has {len(values)} values, line {first[0]} has "
                f"{first[1]}: the file may be truncated"
            )
        yield i, series, label


def _read_arff(
    path: Path, lines: TextLines, labelled: bool, label_type: str
) -> Iterator[SeriesRow]:
    _split_header(path, lines)
    for i, line in lines:
        values, _, label = line.rpartition(",")
        if not values:
            raise InputError(f"{path}, line {i} has no label: the file may be truncated")
        rows = values.strip("'\"").split("\\n")
        yield i, _stack(path, i, [row.split(",") for row in rows]), label.strip("'\" ")


READERS = {"ts": _read_ts, "tsv": _read_tsv, "arff": _read_arff}
SERIES_ENDINGS = tuple(f".{kind}{gz}" for kind in READERS for gz in ("", ".gz"))


def _split_header(path: Path, lines: TextLines) -> dict[str, str]:
    header: dict[str, str] = {}
    for _, line in lines:
        key, _, value = line[1:].partition(" ")
        if line.lower() == "@data":
            return header
        header[key.lower()] = value.strip()
    raise InputError(f"{path} has no @data line: it may be truncated, fetch it again")


def _stack(path: Path, line: int, channels: list[list[str]], first_column: int = 1) -> np.ndarray:
    """Channels of text to (t c)."""
    lengths = {len(values) for values in channels}
    if len(lengths) > 1:
        raise InputError(f"{path}, line {line}: channels of different lengths {sorted(lengths)}")
    return np.stack([_values(path, line, values, first_column) for values in channels], axis=1)


def _values(path: Path, line: int, cells: list[str], first_column: int) -> np.ndarray:
    where = f"{path}, line {line}, column"
    return numbers_in(cells, lambda i: f"{where} {i + first_column}").astype(np.float32)
