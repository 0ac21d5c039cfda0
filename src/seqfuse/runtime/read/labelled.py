"""Readers of labelled items: one function per format, from a path to blocks of recordings.

A reader yields `size` items at a time, so a file may be larger than the memory; with labels or
without. What a data set is read with travels as plain data: a kind, and the options of its
function.
"""

import csv
import itertools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import READ
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import check_ending, lines_of
from seqfuse.runtime.pipelines.labels import UNLABELLED, label_text, labels_of
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.pipelines.sources import CLOCK, clocked
from seqfuse.runtime.pipelines.text import texts, tokenise
from seqfuse.runtime.read import devices
from seqfuse.runtime.read.arrays import (
    ARRAY_ENDINGS,
    LAYOUTS,
    ArrayFile,
    array_names,
    by_time,
    cut,
    frame_series,
    ids_of,
    lengths_of,
    load_array,
    load_arrays,
    missing,
)
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.decode import CLIP_ENDINGS, cached
from seqfuse.runtime.read.formats import SERIES_ENDINGS, series_in
from seqfuse.runtime.read.records import RECORD_ENDINGS, cell, label_in, rows_of
from seqfuse.runtime.read.sentences import SENTENCE_ENDINGS, sentences, unlike_words
from seqfuse.runtime.read.table.cells import TABLE_ENDINGS, as_cells
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import windows_of
from seqfuse.runtime.read.tabular import TABULAR_ENDINGS, Tabular, numbered, read_tabular
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.shown import say

Blocks = Iterator[Recordings]
POINT_ENDINGS = (".csv", ".csv.gz", *ARRAY_ENDINGS)
ID = "id"
WHOLE_ID = "set it in every row or in none"


def read(path: Path, file_format: Mapping[str, Any], **more: Any) -> Blocks:
    """Blocks of a file, by the reader of its format."""
    options = dict(file_format)
    function, endings = READERS[options.pop("kind")]
    if not path.is_file():
        is_folder = "it is a folder: give its files one by one"
        raise InputError(f"{path}: {is_folder if path.is_dir() else 'there is no such file'}")
    check_ending(path, endings)
    return function(path, **options, **more)


def endings_of(file_format: Mapping[str, Any]) -> tuple[str, ...]:
    """Endings of the files of a format."""
    return READERS[file_format["kind"]][1]


def frame_items(frame: Any, file_format: Mapping[str, Any]) -> Any:
    """Series, or texts, of a data frame, as a pipeline takes what is in memory."""
    kind = file_format["kind"]
    if kind == "texts":
        return as_cells(frame).column(file_format["text"])
    if kind != "series":
        raise InputError(f"x is a frame, which is not for data of {kind}: give a path, or arrays")
    return frame_series(frame)


def read_series(
    path: Path,
    layout: str = "btc",
    tabular: Mapping[str, Any] | None = None,
    size: int = READ,
) -> Blocks:
    """Series, without labels.

    An .npz holds `x`, and perhaps `id` and `lengths`. In a .tsv or .arff a `?` stands in for the
    label. Of .csv, .jsonl and Parquet see `read_tabular`.

    Args:
        layout: order of the axes of an array.
        tabular: fields of a `Tabular`.
    """
    name = path.name.lower()
    if name.endswith(ARRAY_ENDINGS):
        yield from read_arrays(path, layout, size=size)
    elif name.endswith(SERIES_ENDINGS):
        rows = series_in(path, labelled=False)
        for first, part in numbered(rows, size):
            checked = _checked_lines(path, part, first)
            yield replace(checked, origin=f"{path}, line {part[0][0]}")
    else:
        for items in read_tabular(path, Tabular(**(tabular or {})), size=size):
            yield from in_parts(items, size)


def _checked_lines(path: Path, rows: list[tuple[int, NDArray[Any], str]], first: int) -> Recordings:
    channels = rows[0][1].shape[1]
    for line, values, _ in rows:
        if values.shape[1] != channels:
            raise InputError(
                f"{path}, line {line} has {values.shape[1]} channels, line {rows[0][0]} {channels}"
            )
    lines, values, _ = zip(*rows, strict=True)
    return series(values, origin=str(path), first=first, lines=lines)


def read_arrays(
    path: Path,
    layout: str = "btc",
    labelled: bool = False,
    label_type: str = "classes",
    size: int = READ,
    per_step: bool = False,
) -> Blocks:
    """Series of an array with three axes, or (series, time) of one channel.

    `lengths` may say how long each is.

    Labels are `y` (and perhaps `groups`, and `y_names` of the columns of y), or of `train.npy`
    those in `train_y.npy` beside it. `per_step`: y (series, time) has a class for each step.
    """
    names = array_names(path)
    y, groups, targets = (
        _labels(path, names, label_type, per_step) if labelled else (None, None, ())
    )
    with ArrayFile(path) as x:
        if len(x.shape) not in (2, 3) or x.dtype.kind not in "biuf":
            raise InputError(
                f"{path}: x has shape {x.shape} of {x.dtype}, expected numbers with three axes: "
                "(series, time, channels) for data.layout=btc, (series, channels, time) for bct; "
                "or two, (series, time)"
            )
        axes = LAYOUTS[layout] if len(x.shape) == 3 else "(series, time)"
        count, read_as = x.shape[0], f"x has shape {x.shape}, read as {axes}"
        if not count:
            raise InputError(f"{path} holds no series: x has shape {x.shape}")
        for column, what in ((y, "labels"), (groups, "groups")):
            if column is not None and len(column) != count:
                raise InputError(f"{path}: {count} series but {len(column)} {what} ({read_as})")
        ids = ids_of(path, count) if ID in names and not labelled else None
        lengths = lengths_of(path, "lengths", count) if "lengths" in names else None
        for first in range(0, count, size):
            rows = slice(first, min(first + size, count))
            values = x.read(rows.stop - first)
            values = values[:, :, None] if values.ndim == 2 else by_time(values, layout)
            ends = None if lengths is None else lengths[rows]
            items = cut(values, ends, f"{path}: lengths", first)
            named = {"names": ids and ids[rows], "read_as": f"{read_as}: "}
            try:
                labels = {} if y is None else {"labels": y[rows], "groups": groups and groups[rows]}
                named |= {"label_type": label_type, "targets": targets}
                yield series(items, origin=str(path), first=first, **labels, **named)
            except InputError as error:
                raise InputError(f"{error} ({read_as})") from None


def _labels(
    path: Path, names: Sequence[str], label_type: str, per_step: bool = False
) -> tuple[Any, Any, Sequence[str]]:
    """Labels and groups of the items of an array file, and names of the numbers of a label."""
    groups = load_array(path, "groups").tolist() if "groups" in names else None
    beside = path.with_name(f"{path.stem}_y.npy")
    if path.suffix.lower() == ".npz":
        if "y" not in names:
            fix = "; without labels, type task=contrastive data.labelled=false"
            raise missing(path, "y", names, fix)
        y = load_array(path, "y")
    elif beside.is_file():
        y = load_array(beside)
    else:
        raise InputError(f"{path} needs its labels beside it, in {beside.name}")
    columns = _column_names(path, y) if "y_names" in names else None
    if per_step:
        if y.ndim != 2:
            raise InputError(
                f"{path}: y has shape {y.shape}, expected (series, time) for data=steps"
            )
        ends = [None] * len(y)
        if "lengths" in names:
            ends = lengths_of(path, "lengths", len(y)).tolist()
        y = [row[:end].tolist() for row, end in zip(y, ends, strict=True)]  # type: ignore[assignment]
    labels = labels_of(y, str(path), label_type, names=columns)
    if UNLABELLED in labels:
        raise InputError(f"{path}: row {labels.index(UNLABELLED)} has no label (empty)")
    return labels, groups, (columns or () if label_type == "numbers" else ())


def _column_names(path: Path, y: NDArray[Any]) -> list[str]:
    """Names of the columns of y (n k): the array `y_names`."""
    names = [label_text(name) for name in load_array(path, "y_names").tolist()]
    if y.ndim != 2 or len(names) != y.shape[1] or len(set(names)) < len(names):
        raise InputError(
            f"{path}: y_names has {len(names)} names, y has shape {y.shape}: give each column of y "
            "a name of its own"
        )
    return names


def read_texts(
    path: Path,
    text: str,
    label: str | Sequence[str] | None = None,
    label_type: str = "classes",
    size: int = READ,
) -> Blocks:
    """Texts of a .csv, .tsv or .jsonl, split into words; a list of words is taken as it is.

    A column `id` names them, where there are no labels to be read.
    """
    for first, part in numbered(rows_of(path), size):
        words = [_words(path, line, row, text, label) for line, row in part]
        lines = [line for line, _ in part]
        labels = None
        if label:
            written = [label_in(path, line, row, label, label_type) for line, row in part]
            labels = labels_of(written, str(path), label_type, lines)
        targets = () if label is None or isinstance(label, str) else tuple(label)
        has_ids = not label and ID in part[0][1] if not first else has_ids
        names = [cell(path, line, row, ID, WHOLE_ID) for line, row in part] if has_ids else None
        named = {"names": names, "lines": lines, "origin": str(path)}
        yield texts(words, labels=labels, targets=targets, **named)


def _words(
    path: Path, line: int, row: dict[str, Any], text: str, label: str | Sequence[str] | None
) -> list[str]:
    lacks = isinstance(label, str) and label not in row
    more = f" data.label=<column> (no '{label}' either)" if lacks else ""
    # Without labels it is read to be predicted, by programs that have no such key.
    fix = f"type data.text=<column>{more}, or " if label else ""
    fix += f"rename the column to '{text}'"
    value = cell(path, line, row, text, fix)
    words = [str(word) for word in value] if isinstance(value, list) else tokenise(str(value))
    if not words:
        raise InputError(f"{path}, line {line}: column '{text}' is empty: fill or drop it")
    return words


def read_sentences(path: Path, labelled: bool = False, size: int = READ) -> Blocks:
    """Sentences of CoNLL-U, of a word (and its tag) per line, or of JSON lines."""
    for first, part in numbered(sentences(path), size):
        words = [sentence.words for sentence in part]
        if not labelled and not first and (note := unlike_words(path, part[0])):
            say(f"note        {note}", file=sys.stderr)
        for sentence in part if labelled else ():
            _check_tags(path, sentence.lines, sentence.words, sentence.tags)
        yield texts(
            words,
            labels=[sentence.tags for sentence in part] if labelled else None,
            lines=[sentence.lines for sentence in part],
            steps={"token": np.array(list(itertools.chain(*words)), dtype=object)},
            origin=str(path),
            unit="sentences",
        )


def _check_tags(path: Path, lines: list[int], words: list[str], tags: list[str]) -> None:
    before = "O"
    for line, word, tag in zip(lines, words, tags, strict=True):
        if tag in ("", "_"):
            fix = ": give the list of them as `tags`" if ".jsonl" in path.name.lower() else ""
            raise InputError(f"{path}, line {line}: the word '{word}' has no tag{fix}")
        if tag.startswith("I-") and before[1:] != tag[1:]:
            raise InputError(
                f"{path}, line {line}: '{tag}' begins inside (behind '{before}'): begin with "
                f"B-{tag[2:]}"
            )
        before = tag


def read_clips(
    path: Path,
    num_frames: int,
    side: int,
    skip_bad: bool = False,
    cache: str | None = None,
    size: int = READ,
) -> Blocks:
    """A clip of a video or a strip of frames; or several, the array `x` of an .npz.

    Args:
        cache: folder of decoded clips, if there is one (see `decode.cached`).
    """
    if not path.name.lower().endswith(ARRAY_ENDINGS):
        try:
            frames = cached(path, num_frames, side, cache)
        except InputError as error:
            if not skip_bad:
                raise
            say(f"skipped     {error}")
            return
        yield Recordings.of([frames], names=[path.name], origin=str(path), unit="clips")
        return
    names = array_names(path)
    with ArrayFile(path) as x:
        if len(x.shape) != 5 or x.dtype != np.uint8:
            raise InputError(
                f"{path}: x has shape {x.shape} of {x.dtype}, expected (clips, time, colours, "
                "height, width) of uint8"
            )
        count = x.shape[0]
        ids = ids_of(path, count) if ID in names else None
        lengths = lengths_of(path, "lengths", count) if "lengths" in names else None
        for first in range(0, count, size):
            rows = slice(first, min(first + size, count))
            ends = None if lengths is None else lengths[rows]
            clips = cut(x.read(rows.stop - first), ends, f"{path}: lengths", first)
            named = {"names": ids and ids[rows], "origin": str(path), "unit": "clips"}
            yield Recordings.of(list(clips), **named)


def read_points(path: Path, labelled: bool = False, size: int = READ) -> Blocks:
    """Sequences of key points: in each line x and y of each step, behind a class number.

    Where nothing is to be predicted from labels, a line may do without one.
    """
    if path.name.lower().endswith(ARRAY_ENDINGS):
        yield from read_arrays(path, size=size)
        return
    for first, part in numbered(_point_lines(path), size):
        lines, labels, points = zip(*part, strict=True)
        for line, label, values in part if labelled else ():
            if label is None or not label.isdecimal():
                raise InputError(
                    f"{path}, line {line}: expected a class number from 0 on, then x and y of "
                    f"each step, but the line has {values.size} values behind '{label}'"
                )
        given = labels if labelled else None
        yield series(points, given, origin=str(path), first=first, lines=lines)


def _point_lines(path: Path) -> Iterator[tuple[int, str | None, NDArray[np.float32]]]:
    """Line, label, where the number of values is odd, and points (t 2)."""
    reader = csv.reader(line for _, line in lines_of(path))
    try:
        for values in reader:
            if values:
                yield reader.line_num, *_points(path, reader.line_num, values)
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as CSV ({error})") from None


def _points(path: Path, line: int, values: list[str]) -> tuple[str | None, NDArray[np.float32]]:
    odd = len(values) % 2
    try:
        points = np.array(values[odd:], dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {error}") from None
    if not len(points) or not np.isfinite(points).all():
        raise InputError(f"{path}, line {line} needs x and y, as numbers, of each step")
    return values[0].strip() if odd else None, points.reshape(-1, 2)


def read_sources(
    path: Path,
    sources: Sequence[str],
    absent: Collection[str] | None = (),
    labelled: bool = False,
    label_type: str = "classes",
    size: int = READ,
) -> Blocks:
    """Items of several sources: `<source>_x` (items, time, channels) of each.

    NaN at the end is padding, or what lies behind the steps that `<source>_lengths` gives; or
    (items, columns) of what does not change. Each has a rate of its own, all over the same time;
    the clock is that of the first, or, where it is absent, `clock` has its steps.

    Args:
        absent: sources that are left out; None: whichever the file does not have.
    """
    names = array_names(path)
    _check_arrays(path, names, sources, labelled)
    present = [name for name in sources if f"{name}_x" in names]
    first, *_ = sources
    if not present:
        raise missing(path, "<source>_x", names)
    for name in sources:
        is_clock = name == first and CLOCK not in names
        if name not in present and (
            is_clock or name not in (sources if absent is None else absent)
        ):
            fix = f"; to do without this source, type data.missing=[{name}]"
            clock = "; its steps are the clock, so it must be there, with any values"
            raise missing(path, f"{name}_x", names, clock if is_clock else fix)
    parts = {name: _source(path, name, names) for name in present}
    steps = parts[first].lengths if first in parts else load_array(path, CLOCK)
    kept = {name: part for name, part in parts.items() if name not in (absent or ())}
    ids = ids_of(path, len(steps)) if ID in names and not labelled else None
    labels, groups, targets = _labels(path, names, label_type) if labelled else (None, None, ())
    groups = groups and list(map(str, groups))
    named = {"names": ids, "labels": labels, "groups": groups, "targets": targets}
    items = clocked(steps, kept, **named, origin=str(path))
    yield from in_parts(items, size)


def in_parts(items: Recordings, size: int) -> Blocks:
    """The items, so many at a time."""
    for first in range(0, len(items), size):
        yield items.take(range(first, min(first + size, len(items))))


def _check_arrays(path: Path, names: Sequence[str], sources: Sequence[str], labelled: bool) -> None:
    if labelled and "y" not in names:
        raise missing(path, "y", names)
    kinds = {
        f"{name[:-2]}_{kind}" for name in names if name.endswith("_x") for kind in ("x", "lengths")
    }
    for name in names:
        if name not in kinds and name not in (CLOCK, ID, "y", "y_names", "groups"):
            raise InputError(
                f"{path}: array '{name}' is not for a prediction: the file must hold <source>_x "
                f"(items, time, channels) of {', '.join(sources)}, and perhaps <source>_lengths "
                "and id, one for each item"
            )


def _source(path: Path, name: str, names: Sequence[str]) -> Recordings:
    x = load_array(path, f"{name}_x")
    if x.ndim not in (2, 3) or x.dtype.kind not in "iuf" or not x.size:
        raise InputError(
            f"{path}: {name}_x has shape {x.shape} of {x.dtype}, expected numbers (items, time, "
            "channels), or (items, columns) without time"
        )
    key = f"{name}_lengths"
    lengths = lengths_of(path, key, len(x)) if key in names else None
    items = cut(x, lengths, f"{path}: {key}")
    return series(x[:, None] if x.ndim == 2 else items, origin=f"{path}, {name}_x")


def read_devices(
    path: Path,
    widths: Mapping[str, float],
    absent: Collection[str] | None = (),
    joined: bool = False,
    windows: Sequence[int] | None = None,
    size: int = READ,
) -> Blocks:
    """Recordings of devices, `<source>_x`, `<source>_t_ms` and so on; a single one has `x`, `t_ms`.

    Items that are on a common grid already, without times, are read as by `read_sources`.

    Args:
        widths: ms of a step of each source, the clock first.
        absent: sources that are left out.
        joined: puts the channels of all sources beside each other.
        windows: steps of a window and from one to the next, that recordings are cut into.
    """
    names = array_names(path)
    if not any(name.endswith("t_ms") for name in names):
        plain = read_arrays(path, size=size) if joined else read_sources(path, list(widths), absent)
        yield from plain
        return
    wanted = [name for name in widths if name not in (absent or ())]
    single = len(wanted) == 1 and "x" in names
    for name in [] if single else wanted:
        if f"{name}_x" not in names:
            fix = f"; to do without this source, type data.missing=[{name}]"
            raise missing(path, f"{name}_x", names, fix)
    arrays = load_arrays(path)
    tracks = {
        name: devices.Track(arrays, str(path), "" if single else f"{name}_") for name in wanted
    }
    every = devices.Devices(tracks, widths)
    for first in range(0, len(every.names), size):
        items = every.recordings(every.names[first : first + size])
        items = devices.join(items) if joined else items
        yield items if windows is None else devices.cut(items, windows[0], windows[1])


def read_windows(
    path: Path,
    table: Mapping[str, Any],
    look_back: int,
    every: int,
    clock: Sequence[Any] | None = None,
    size: int = READ,
) -> Blocks:
    """Windows of a table, the last of each series and every n-th before it, without labels.

    `table` has the options of a `TableReader`, `clock` is that of the rows in training, as a list.
    """
    rows = TableReader(**table).read(path, Clock.of_state(clock))
    for starts in np.split(ends := rows.ends(look_back, every), range(size, len(ends), size)):
        yield windows_of(rows, starts, look_back)


Reader = Callable[..., Blocks]
READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "series": (read_series, (*ARRAY_ENDINGS, *SERIES_ENDINGS, *TABULAR_ENDINGS)),
    "texts": (read_texts, RECORD_ENDINGS),
    "sentences": (read_sentences, SENTENCE_ENDINGS),
    "clips": (read_clips, (*CLIP_ENDINGS, ".npz")),
    "points": (read_points, POINT_ENDINGS),
    "sources": (read_sources, (".npz",)),
    "devices": (read_devices, (".npz",)),
    "windows": (read_windows, TABLE_ENDINGS),
}
"""Function, and endings of the files, of each kind of file."""
