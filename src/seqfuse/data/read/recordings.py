"""Data sets of recordings with labelled anomalies: NAB, SKAB, SMAP and MSL, and the user's own.

A source is called without arguments, and says how files like its own are read (`file_format`) and
how many leading steps of them are taken to be normal (`train`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seqfuse.data.read.files import TableFile
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find_in, lines_of
from seqfuse.runtime.read.monitored import (
    PROBATION,
    SKAB_FLAGS,
    SKAB_NORMAL,
    Recording,
    read_labelled,
    read_nab,
    read_skab,
    read_smap_msl,
    with_intervals,
)
from seqfuse.runtime.read.table.cells import read_cells
from seqfuse.runtime.read.table.reader import TableReader

NAB_SOURCE = "NAB is at GitHub, numenta/NAB (folders data and labels)"
SKAB_SOURCE = "SKAB is at GitHub, waico/SKAB (folder data)"
SKAB_EXPERIMENTS = {"valve1": range(16), "valve2": range(4), "other": range(1, 15)}
SMAP_MSL_SOURCE = (
    "the telemetry is at GitHub, khundman/telemanom, to be packed as one .npz per channel"
)
SPACECRAFT = ("SMAP", "MSL", "both")


class RecordingSource(Protocol):
    """Source of recordings."""

    file_format: dict[str, Any]
    """Kind and options of a file (see `runtime.read.monitored.read_recordings`)."""
    train: dict[str, Any] | None
    """The leading part that is taken to be normal (see `leading`); None: each file has its own."""

    def __call__(self) -> list[Recording]: ...


class Nab:
    """The 58 series of the Numenta Anomaly Benchmark; trained on: the probation period.

    Seven series repeat time stamps, and machine_temperature_system_failure steps back by 55
    minutes once: rows stay in the order of the file.

    Source: Ahmad et al., Neurocomputing 262, 2017; MIT licence.

    Args:
        root: folder that holds `labels/combined_windows.json` and one folder per group.
        groups: such as `realTraffic`; None reads all.
        artificial: whether the groups `artificial...` are read.
    """

    file_format, train = {"kind": "nab"}, PROBATION

    def __init__(self, root: str, groups: Sequence[str] | None = None, artificial: bool = True):
        self.root, self.groups, self.artificial = Path(root), groups, artificial

    def __call__(self) -> list[Recording]:
        path = find(self.root, "labels/combined_windows.json", NAB_SOURCE)
        try:
            spans = json.loads("".join(line for _, line in lines_of(path)))
        except json.JSONDecodeError as error:
            raise InputError(f"{path} is not JSON ({error}): fetch it again") from None
        groups = self._chosen({name.split("/")[0] for name in spans})
        names = [name for name in sorted(spans) if name.split("/")[0] in groups]
        return [self._read(name, spans[name]) for name in names]

    def _chosen(self, groups: set[str]) -> set[str]:
        for group in self.groups or ():
            if group not in groups:
                raise InputError(f"NAB has no group '{group}': it has {', '.join(sorted(groups))}")
        wanted = groups if self.groups is None else set(self.groups)
        chosen = {name for name in wanted if self.artificial or not name.startswith("artificial")}
        if not chosen:
            raise InputError("no group of NAB is left to read: name another, or artificial=true")
        return chosen

    def _read(self, name: str, spans: list[list[str]]) -> Recording:
        path = find(self.root, name, NAB_SOURCE)
        [recording] = read_nab(path)
        for first, last in spans:
            recording.labels[
                _row(path, recording.time, first) : _row(path, recording.time, last) + 1
            ] = True
        return recording._replace(name=name.removesuffix(".csv"))


class Skab:
    """The 34 experiments of the Skoltech Anomaly Benchmark and its anomaly-free recording.

    Trained on, as by the authors: the first 400 rows of each experiment, and the whole
    anomaly-free recording. The anomaly of `other/2` begins in row 104, within these 400.

    Source: Katser and Kozitsin 2020, doi 10.34740/KAGGLE/DSV/1693952; GPL-3.0.

    Args:
        root: folder that holds `valve1`, `valve2`, `other` and `anomaly-free`.
    """

    file_format, train = {"kind": "skab"}, {"rows": SKAB_NORMAL}

    def __init__(self, root: str):
        self.root = Path(root)

    def __call__(self) -> list[Recording]:
        names = [f"{group}/{i}" for group, numbers in SKAB_EXPERIMENTS.items() for i in numbers]
        normal = self._read("anomaly-free/anomaly-free", ())
        whole = normal._replace(name="anomaly-free", num_train=len(normal.time))
        return [*(self._read(name, SKAB_FLAGS) for name in names), whole]

    def _read(self, name: str, flags: Sequence[str]) -> Recording:
        [recording] = read_skab(find(self.root, f"{name}.csv", SKAB_SOURCE), flags)
        return recording._replace(name=name)


class SmapMsl:
    """81 telemetry channels of the satellite SMAP (54) and the rover MSL, Curiosity (27).

    Source: Hundman et al., KDD 2018; published with telemanom under NASA/JPL's terms.

    Args:
        root: folder that holds `labeled_anomalies.csv` and one `.npz` per channel.
        spacecraft: SMAP, MSL or both.
        leave_out: channels. P-2 is labelled twice, differently, and most papers since
            OmniAnomaly (Su et al., KDD 2019) leave it out.
    """

    file_format, train = {"kind": "smap_msl"}, None

    def __init__(
        self, root: str, spacecraft: str = "both", leave_out: Sequence[str] = ("P-2",)
    ) -> None:
        if spacecraft not in SPACECRAFT:
            raise InputError(f"spacecraft={spacecraft} must be one of: {', '.join(SPACECRAFT)}")
        self.root, self.spacecraft, self.leave_out = Path(root), spacecraft, leave_out

    def __call__(self) -> list[Recording]:
        path = find(self.root, "labeled_anomalies.csv", SMAP_MSL_SOURCE)
        columns = read_cells(path).columns
        if not {"chan_id", "spacecraft"} <= set(columns):
            raise InputError(f"{path}, line 1 lacks the columns chan_id and spacecraft")
        craft = dict(zip(columns["chan_id"], columns["spacecraft"], strict=True))
        for channel in self.leave_out:
            if channel not in craft:
                raise InputError(f"leave_out: SMAP and MSL have no channel '{channel}'")
        return [
            read_smap_msl(find(self.root, f"{name}.npz", SMAP_MSL_SOURCE), labelled=True)[0]
            for name in craft
            if self.spacecraft in ("both", craft[name]) and name not in self.leave_out
        ]


class LabelledTable:
    """Recordings of a CSV or Parquet file, perhaps with a column that says where it is anomalous.

    Args:
        label: column of 0 and 1; 1 is anomalous. `auto`: see `read_labelled`.
        intervals: table of what is anomalous, in columns `start` and `end` of time stamps.
        time, gaps, duplicates, time_format: as `TableReader` takes them.
        group: column that tells recordings apart.
        targets: columns to watch; `all` takes every number column that is nothing else.
        train: leading fraction of each recording that may be trained on.
    """

    def __init__(
        self,
        source: TableFile,
        label: str = "auto",
        time: str | Sequence[str] = "date",
        group: str | None = None,
        targets: str | Sequence[str] = "all",
        gaps: str = "refuse",
        train: float = 0.3,
        time_format: str | None = None,
        duplicates: str = "refuse",
        intervals: str | None = None,
    ):
        if not 0 < train < 1:
            raise InputError(f"data.train={train} must be above 0 and below 1")
        if not isinstance(label, str):
            raise InputError(f"data.label={label}: name a column, or type auto")
        self.source, self.intervals = source, intervals
        self.group, self.time_format = group, time_format
        table = TableReader(
            time, group, targets, gaps=gaps, time_format=time_format, duplicates=duplicates
        )
        self.train: dict[str, Any] = {"fraction": train}
        self.file_format = {
            "kind": "labelled",
            "table": table.options,
            "label": label,
            "train": self.train,
        }

    def __call__(self) -> list[Recording]:
        options = {name: value for name, value in self.file_format.items() if name != "kind"}
        recordings = read_labelled(self.source.path(), **options, labelled=True)
        if not self.intervals:
            return recordings
        path = find_in((".", self.source.root), self.intervals)
        if path is None:
            raise InputError(f"data.intervals={self.intervals} is not there: check its name")
        return with_intervals(recordings, path, self.group, self.time_format)


def find(root: Path, name: str, source: str) -> Path:
    """The file `name`, with folders below `root`, perhaps gzipped, or in its folder `data` as in a
    clone.

    `source` is a sentence that says where the data can be had.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: set root to the data's own; {source}")
    folders = (root, root / "data")
    path = find_in(folders, name) or find_in(folders, f"{name}.gz")
    if path is None:
        raise InputError(f"{root} has neither {name} nor {name}.gz: set root or fetch it; {source}")
    return path


def _row(path: Path, time: np.ndarray, stamp: str) -> int:
    try:
        rows = np.flatnonzero(time == np.datetime64(stamp, "s"))
    except ValueError:
        raise InputError(f"labels/combined_windows.json: '{stamp}' is no time stamp") from None
    if not len(rows):
        raise InputError(f"{path} has no row at {stamp}, where a window begins or ends")
    return int(rows[0])
