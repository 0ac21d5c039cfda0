"""Files of recordings in which anomalies are looked for: tables, NAB, SKAB, SMAP and MSL."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import check_ending
from seqfuse.runtime.read.arrays import load_arrays
from seqfuse.runtime.read.numbers import as_float32
from seqfuse.runtime.read.table.cells import (
    TABLE_ENDINGS,
    Cells,
    groups_of,
    numbers_of,
    read_cells,
    read_table,
)
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.stamps import Stamps, shown, stamps_of
from seqfuse.runtime.read.table.steps import carried_on
from seqfuse.runtime.scores.nab import MAX_PROBATION

SKAB_SENSORS = (
    *("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature"),
    *("Thermocouple", "Voltage", "Volume Flow RateRMS"),
)
SKAB_FLAGS = ("anomaly", "changepoint")
SKAB_NORMAL = 400
"""Leading rows of an experiment that its authors train on."""
PROBATION = {"fraction": 0.15, "maximum": MAX_PROBATION}
ARRAYS = ("train_value", "train_command", "test_value", "test_command", "test_label")


class Recording(NamedTuple):
    """One series and where it is anomalous.

    No `Recordings`: files of one set have channels of their own until some are chosen (SMAP, MSL).
    """

    name: str
    """Unique within its data set."""
    time: NDArray[Any]
    """(t), datetime64[s], or int64 steps where there are no time stamps."""
    values: NDArray[np.float32]
    """(t c), in the units of the source."""
    columns: list[str]
    labels: NDArray[np.bool_]
    """(t), true where anomalous."""
    num_train: int
    """Leading steps that may be trained on."""
    changes: Sequence[int] = ()
    """Steps at which it begins to be another, where the source marks them."""

    @property
    def windows(self) -> list[tuple[int, int]]:
        """First and last step of each anomaly."""
        return runs(self.labels)

    def chosen(self, columns: str | Sequence[str]) -> "Recording":
        """The recording with some of its channels, or `all`."""
        if columns == "all":
            return self
        names = [columns] if isinstance(columns, str) else list(columns)
        for name in names:
            if name not in self.columns:
                listed = ", ".join(self.columns[:12])
                raise InputError(
                    f"{self.name} has no column '{name}' (data.columns; it has: {listed})"
                )
        rows = [self.columns.index(name) for name in names]
        return self._replace(values=self.values[:, rows], columns=names)


def recording(
    name: str,
    time: NDArray[Any],
    values: NDArray[Any],
    columns: Sequence[str],
    num_train: int,
    labels: NDArray[np.bool_] | None = None,
) -> Recording:
    """A recording, without anomalies where no labels are known."""
    labels = np.zeros(len(values), dtype=bool) if labels is None else labels
    values = values.astype(np.float32)
    return Recording(name, time, values, list(columns), labels, num_train)


def runs(labels: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last step of each run of true in (t,)."""
    padded = np.concatenate([[False], labels, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def leading(steps: int, rule: Mapping[str, Any]) -> int:
    """Leading steps that are taken to be normal: `rows`, or a `fraction`, at most a `maximum`."""
    rows = rule["rows"] if "rows" in rule else int(steps * rule["fraction"])
    return min(rows, rule.get("maximum", rows))


def stem(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def read_recordings(given: Path | Cells, file_format: Mapping[str, Any]) -> list[Recording]:
    """The recordings of a file, or a table, in the format of training; labels are left out."""
    kind, endings, options = file_format["kind"], endings_of(file_format), dict(file_format)
    if isinstance(given, Path):
        check_ending(given, endings)
    elif kind != "labelled":
        raise InputError(f"x is a table, which is not for data of {kind}: give a path, or an array")
    del options["kind"]
    return [
        recording._replace(labels=np.zeros_like(recording.labels), changes=())
        for recording in READERS[kind][0](given, **options)
    ]


def endings_of(file_format: Mapping[str, Any]) -> tuple[str, ...]:
    """Endings of the files of a format."""
    return READERS[file_format["kind"]][1]


LABELS = ("anomaly", "is_anomaly", "label", "outlier")
"""Columns that say what is anomalous, if none is named."""


def read_labelled(
    given: Path | Cells,
    table: Mapping[str, Any],
    label: str,
    train: Mapping[str, Any],
    labelled: bool = False,
) -> list[Recording]:
    """A table with a recording for each group, and perhaps a column of 0 and 1 for anomalies.

    Args:
        table: options of a `TableReader`.
        label: name of that column; `auto` is the first of `LABELS` that is there, if one is.
        train: see `leading`.
        labelled: whether labels are read; without, or without a column, all is normal.
    """
    reader = TableReader(**table)
    cells = reader.cells(given)
    if label == "auto":
        label = next((name for name in cells.columns if name.lower() in LABELS), "")
    if labelled := labelled and bool(label):
        reader = TableReader(**{**table, "covariates": [label]})
    else:
        cells = cells.without(label)
    try:
        parsed = reader.parse(cells)
    except InputError as error:
        raise InputError(str(error).replace("data.covariates", "data.label")) from None
    labels = np.nan_to_num(parsed.values[:, -1]) if labelled else np.zeros(len(parsed.values))
    for i in np.flatnonzero((labels != 0) & (labels != 1))[:1]:
        raise InputError(
            f"{parsed.origin}: at {shown(parsed.time[i])}, column '{label}': {labels[i]:g} must be "
            "0 or 1"
        )
    recordings = []
    for name, first, end in zip(
        parsed.names or (), parsed.offsets, parsed.offsets[1:], strict=False
    ):
        values = carried_on(parsed.values[first:end, : parsed.num_targets])
        values = carried_on(values[::-1])[::-1]
        recordings.append(
            recording(
                name or (stem(given) if isinstance(given, Path) else given.origin),
                parsed.time[first:end],
                values,
                parsed.columns[: parsed.num_targets],
                leading(len(values), train),
                labels[first:end] == 1,
            )
        )
    return recordings


INTERVAL = ("start", "end")
"""Columns of a table of intervals."""


def with_intervals(
    recordings: Sequence[Recording], path: Path, group: str | None, time_format: str | None
) -> list[Recording]:
    """Recordings that are anomalous from `start` to `end` of each row of a table, too.

    A column called like `group` says of which recording; without it, of all.
    """
    cells = read_table(path, INTERVAL)
    starts, ends = (stamps_of(cells, [name], time_format) for name in INTERVAL)
    names = groups_of(cells, group) if group in cells.columns else [""] * len(starts)
    labels = [recording.labels.copy() for recording in recordings]
    for i, (start, end, name) in enumerate(zip(starts, ends, names, strict=True)):
        if end < start:
            raise InputError(f"{cells.place('end', i)}: {shown(end)} is before {shown(start)}")
        inside = [(r.time >= start) & (r.time <= end) & (name in ("", r.name)) for r in recordings]
        if not any(rows.any() for rows in inside):
            raise InputError(
                f"{cells.origin}: {cells.row(i)}: no row is from {shown(start)} to {shown(end)}"
                f"{name and f' in {name}'}: correct it, or leave it out"
            )
        for marks, rows in zip(labels, inside, strict=True):
            marks |= rows
    return [r._replace(labels=marks) for r, marks in zip(recordings, labels, strict=True)]


def read_nab(path: Path) -> list[Recording]:
    """A series of the Numenta Anomaly Benchmark; trained on: its probation period.

    Rows stay in the order of the file, as the benchmark counts rows.
    """
    time, values = _stamped(read_cells(path, ","), ["timestamp", "value"], ",")
    return [recording(stem(path), time, values, ["value"], leading(len(time), PROBATION))]


def read_skab(path: Path, flags: Sequence[str] | None = None) -> list[Recording]:
    """An experiment of the Skoltech Anomaly Benchmark, with or without its columns of labels."""
    cells = read_cells(path, ";")
    if flags is None:
        flags = SKAB_FLAGS if SKAB_FLAGS[0] in cells.columns else ()
    time, numbers = _stamped(cells, ["datetime", *SKAB_SENSORS, *flags], ";")
    for row in np.flatnonzero(np.diff(time) <= np.timedelta64(0, "s"))[:1] + 1:
        raise InputError(
            f"{path}: {cells.row(row)}: {shown(time[row])} is not later than the line above: sort "
            "the rows and remove repeated ones"
        )
    values, marks = np.split(numbers, [len(SKAB_SENSORS)], axis=1)
    for row, column in np.argwhere((marks != 0) & (marks != 1))[:1]:
        raise InputError(f"{path}: {cells.row(row)}: {flags[column]} must be 0 or 1")
    labels = marks[:, 0] == 1 if flags else None
    experiment = recording(stem(path), time, values, SKAB_SENSORS, SKAB_NORMAL, labels)
    changes = np.flatnonzero(marks[:, 1] == 1).tolist() if len(flags) > 1 else ()
    return [experiment._replace(changes=changes)]


def read_smap_msl(path: Path, labelled: bool = False) -> list[Recording]:
    """A telemetry channel of NASA's spacecraft SMAP or MSL.

    The train part comes first, labelled normal, and the test part behind it: steps run on,
    though the two were not recorded back to back. Columns are one telemetry value from -1 to 1
    and 24 (SMAP) or 54 (MSL) commands, 0 or 1.
    """
    names, arrays = ARRAYS if labelled else ARRAYS[:4], load_arrays(path)
    if not set(names) <= set(arrays):
        raise InputError(
            f"{path} is no .npz that holds {', '.join(names)} (it has: {', '.join(arrays)})"
        )
    parts = {}
    for part in ("train", "test"):
        lengths = {name: len(arrays[name]) for name in names if name.startswith(part)}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{path}: the {part} part has arrays of other lengths, {lengths}")
        parts[part] = np.column_stack([arrays[f"{part}_value"], arrays[f"{part}_command"]])
        for row, column in np.argwhere(~np.isfinite(parts[part]))[:1]:
            raise InputError(f"{path}: {part} part, row {row}, column {column} is not finite")
    train, test = parts["train"], parts["test"]
    if train.shape[1] != test.shape[1]:
        raise InputError(f"{path}: {train.shape[1]} columns to train on, {test.shape[1]} to test")
    values = as_float32(
        np.concatenate([train, test]), lambda i: f"{path}: row {i[0]}, column {i[1]}"
    )
    labels = np.zeros(len(values), dtype=bool)
    labels[len(train) :] = arrays["test_label"] == 1 if labelled else False
    columns = ["value", *(f"command_{i}" for i in range(values.shape[1] - 1))]
    return [recording(stem(path), np.arange(len(values)), values, columns, len(train), labels)]


READERS: dict[str, tuple[Callable[..., list[Recording]], tuple[str, ...]]] = {
    "labelled": (read_labelled, TABLE_ENDINGS),
    "nab": (read_nab, (".csv", ".csv.gz")),
    "skab": (read_skab, (".csv", ".csv.gz")),
    "smap_msl": (read_smap_msl, (".npz",)),
}
"""By kind, what reads a file, and the endings of its files."""


def _stamped(
    cells: Cells, header: Sequence[str], delimiter: str
) -> tuple[Stamps, NDArray[np.float64]]:
    """Time stamps (t) of the first column and numbers (t c) of the others, all of a header."""
    if list(cells.columns) != list(header):
        raise InputError(
            f"{cells.origin}, line 1: columns are '{delimiter.join(cells.columns)}', expected "
            f"'{delimiter.join(header)}'"
        )
    values = np.stack([numbers_of(cells, name) for name in header[1:]], axis=1)
    for row, column in np.argwhere(np.isnan(values))[:1].tolist():
        place = cells.place(str(header[column + 1]), row)
        raise InputError(f"{place} is empty: fill the cell or remove the row")
    return stamps_of(cells, header[:1]), values
