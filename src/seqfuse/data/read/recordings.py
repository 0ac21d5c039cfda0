"""Recordings with labelled anomalies, and the tables of NAB and SKAB.

A reader takes the folder of its data set and is called without arguments.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqfuse.data.read.cells import check_increasing, find, table, text
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.nab import probation

NAB_SOURCE = "NAB is at GitHub, numenta/NAB (folders data and labels)"
SKAB_SOURCE = "SKAB is at GitHub, waico/SKAB (folder data)"
SKAB_EXPERIMENTS = {"valve1": range(16), "valve2": range(4), "other": range(1, 15)}
SKAB_SENSORS = (
    *("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature"),
    *("Thermocouple", "Voltage", "Volume Flow RateRMS"),
)
SKAB_FLAGS = ("anomaly", "changepoint")
Windows = list[tuple[int, int]]


class Recording(NamedTuple):
    """One series and where it is anomalous.

    Attributes:
        name: unique within its data set.
        time: (t,), datetime64[s], or int64 steps where there are no time stamps.
        values: (t c), float32, in the units of the source.
        columns: names of the c channels.
        labels: (t,), true where anomalous.
        windows: first and last step of each anomaly.
        num_train: leading steps that may be trained on.
    """

    name: str
    time: np.ndarray
    values: np.ndarray
    columns: list[str]
    labels: np.ndarray
    windows: Windows
    num_train: int


class Nab:
    """The 58 series of the Numenta Anomaly Benchmark; trained on: the probation period.

    Rows stay in the order of the file, as the benchmark counts rows: seven series repeat
    time stamps, and machine_temperature_system_failure steps back by 55 minutes once.

    Source: Ahmad et al., Neurocomputing 262, 2017; MIT licence.

    Args:
        root: folder that holds `labels/combined_windows.json` and one folder per group.
        groups: such as `realTraffic`; None reads all.
        artificial: whether the groups `artificial...` are read.
    """

    def __init__(self, root: str, groups: Sequence[str] | None = None, artificial: bool = True):
        self.root = Path(root)
        self.groups = groups
        self.artificial = artificial

    def __call__(self) -> list[Recording]:
        """Reads the series, sorted by name, such as `realTraffic/speed_7578`.

        Raises:
            InputError: a group is unknown, or a file is missing or broken.
        """
        path = find(self.root, "labels/combined_windows.json", NAB_SOURCE)
        try:
            spans = json.loads(text(path))
        except json.JSONDecodeError as error:
            raise InputError(f"{path} is not JSON ({error}): fetch it again") from None
        groups = self._chosen({name.split("/")[0] for name in spans})
        names = [name for name in sorted(spans) if name.split("/")[0] in groups]
        return [self._read(name, spans[name]) for name in names]

    def _chosen(self, known: set[str]) -> set[str]:
        for group in self.groups or ():
            if group not in known:
                raise InputError(f"NAB has no group '{group}': it has {', '.join(sorted(known))}")
        wanted = known if self.groups is None else set(self.groups)
        chosen = {one for one in wanted if self.artificial or not one.startswith("artificial")}
        if not chosen:
            raise InputError("no group of NAB is left to read: name another, or artificial=true")
        return chosen

    def _read(self, name: str, spans: list[list[str]]) -> Recording:
        path = find(self.root, name, NAB_SOURCE)
        one = self.file(path)[0]
        windows = [(_row(path, one.time, a), _row(path, one.time, b)) for a, b in spans]
        for start, end in windows:
            one.labels[start : end + 1] = True
        return one._replace(name=name.removesuffix(".csv"), windows=windows)

    endings = (".csv", ".csv.gz")

    @staticmethod
    def file(path: Path) -> list[Recording]:
        """A file in the benchmark's format, without labels."""
        _, time, values = table(path, ["timestamp", "value"], ",")
        labels, values = np.zeros(len(time), dtype=bool), values.astype(np.float32)
        num_train = probation(len(time))
        return [Recording(stem(path), time, values, ["value"], labels, [], num_train)]


class Skab:
    """The 34 experiments of the Skoltech Anomaly Benchmark and its anomaly-free recording.

    Trained on, as by the authors: the first 400 rows of each experiment, and the whole
    anomaly-free recording. The anomaly of `other/2` begins in row 104, within these 400.

    Source: Katser and Kozitsin 2020, doi 10.34740/KAGGLE/DSV/1693952; GPL-3.0.

    Args:
        root: folder that holds `valve1`, `valve2`, `other` and `anomaly-free`.
    """

    def __init__(self, root: str):
        self.root = Path(root)

    def __call__(self) -> list[Recording]:
        """Reads `valve1/0` to `15`, `valve2/0` to `3`, `other/1` to `14`, `anomaly-free`.

        Raises:
            InputError: a file is missing or broken, or its time stamps do not increase.
        """
        names = [f"{group}/{i}" for group, numbers in SKAB_EXPERIMENTS.items() for i in numbers]
        anomaly_free = self._read("anomaly-free/anomaly-free")
        whole = anomaly_free._replace(name="anomaly-free", num_train=len(anomaly_free.time))
        return [*(self._read(name, flags=SKAB_FLAGS) for name in names), whole]

    def _read(self, name: str, flags: Sequence[str] = ()) -> Recording:
        path = find(self.root, f"{name}.csv", SKAB_SOURCE)
        return self._parse(path, flags)._replace(name=name)

    endings = (".csv", ".csv.gz")

    def file(self, path: Path) -> list[Recording]:
        """A file in the benchmark's format, with or without labels, which are left out."""
        flagged = text(path).split("\n", 1)[0].rstrip().endswith(";".join(SKAB_FLAGS))
        one = self._parse(path, SKAB_FLAGS if flagged else ())
        return [one._replace(labels=np.zeros_like(one.labels), windows=[])]

    @staticmethod
    def _parse(path: Path, flags: Sequence[str]) -> Recording:
        cells, time, numbers = table(path, ["datetime", *SKAB_SENSORS, *flags], ";")
        check_increasing(cells, time)
        values, flagged = np.split(numbers, [len(SKAB_SENSORS)], axis=1)
        wrong = np.argwhere((flagged != 0) & (flagged != 1))
        if len(wrong):
            row, column = wrong[0]
            raise InputError(f"{path}: {cells.row(row)}: {flags[column]} must be 0 or 1")
        labels = flagged[:, 0] == 1 if flags else np.zeros(len(time), dtype=bool)
        columns, windows = list(SKAB_SENSORS), runs(labels)
        values = values.astype(np.float32)
        return Recording(stem(path), time, values, columns, labels, windows, 400)


def runs(labels: np.ndarray) -> Windows:
    """First and last step of each run of true in (t,)."""
    padded = np.concatenate([[False], labels, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def stem(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _row(path: Path, time: np.ndarray, stamp: str) -> int:
    """The first row with a time stamp, as the benchmark looks it up."""
    try:
        rows = np.flatnonzero(time == np.datetime64(stamp, "s"))
    except ValueError:
        raise InputError(f"labels/combined_windows.json: '{stamp}' is no time stamp") from None
    if not len(rows):
        raise InputError(f"{path} has no row at {stamp}, where a window begins or ends")
    return int(rows[0])
