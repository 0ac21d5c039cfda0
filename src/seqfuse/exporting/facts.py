"""What an exported folder has to know beside its graph."""

from typing import Any

import seqfuse
from seqfuse.data.mapped import Mapped
from seqfuse.data.module import DataModule
from seqfuse.data.monitored import Monitored
from seqfuse.data.read.labelled import LabelledTable
from seqfuse.data.read.recordings import Nab, Skab
from seqfuse.data.splits import Folds
from seqfuse.data.windows import Windows
from seqfuse.exporting.parity import TOLERANCE
from seqfuse.runtime.anomalies import SCORERS
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.nab import MAX_PROBATION
from seqfuse.runtime.pipelines import pack
from seqfuse.tasks.anomaly import AnomalyTask
from seqfuse.tasks.base import Task

Facts = dict[str, Any]


def describe(task: Task, data: DataModule, config: dict[str, Any], opset: int) -> Facts:
    """All that `run.py` reads, but for the hashes of the files.

    Raises:
        InputError: the checkpoint is of a job that cannot be exported.
    """
    splits: Any = data.splits
    kind = next((kind for kind in KINDS if isinstance(splits, kind)), None)
    if kind is None:
        raise InputError(f"{type(splits).__qualname__} is no data that can be exported")
    return {
        "format": 1,
        "seqfuse": seqfuse.__version__,
        "name": str(config["data"]["name"]),
        "opset": opset,
        "tolerance": TOLERANCE,
        "stride": int(getattr(task.net, "stride", 1)),
        "pipeline": pack(splits.pipeline),
        **KINDS[kind](task, splits, config),
    }


def _labelled(task: Task, splits: Folds, config: dict[str, Any]) -> Facts:
    metadata = splits.metadata()
    reader = metadata["reader"]
    if "absent" in reader:  # a folder takes whatever sources a file has
        reader = {**reader, "absent": None}
    return {**metadata, **task.metadata(), "reader": reader}


def _windows(splits: Any) -> Facts:
    return {"look_back": splits.look_back, "horizon": splits.horizon}


def _table(task: Task, splits: Windows, config: dict[str, Any]) -> Facts:
    return {
        "job": "forecasts",
        **_windows(splits),
        "quantiles": list(config["task"]["quantiles"]),
        "num_known": int(config["data"]["num_known"]),
        "table": splits.reader.metadata,
    }


def _rows(task: Task, splits: Mapped, config: dict[str, Any]) -> Facts:
    return {
        "job": "row_forecasts",
        **_windows(splits),
        "quantiles": list(config["task"]["quantiles"]),
        "num_known": 0,
        "table": {},
    }


def _recordings(task: Task, splits: Monitored, config: dict[str, Any]) -> Facts:
    assert isinstance(task, AnomalyTask)
    scorer = task.scorer
    if type(scorer) not in SCORERS.values():
        raise InputError(f"{type(scorer).__qualname__} is no scorer that can be exported")
    return {
        "job": "anomalies",
        **_windows(splits),
        "overlap": splits.overlap,
        "window_stride": splits.stride,
        "validation": splits.validation,
        "scorer": {
            "kind": type(scorer).__name__,
            **{name: getattr(scorer, name) for name in scorer.knobs},
        },
        "threshold": task.threshold,
        **_source(splits.source),
    }


def _source(source: Any) -> Facts:
    """How a file of recordings is read, and how much of each is taken to be normal."""
    if isinstance(source, LabelledTable):
        reader = source.reader
        rule = {"share": source.train}
        own = {"group": reader.group, "gaps": reader.gaps, "delimiter": ","}
        return {"time": reader.stamps, "time_format": reader.time_format, "train": rule, **own}
    time, delimiter, rule = SOURCES.get(type(source), ("time", ",", None))
    own = {"group": None, "gaps": None, "delimiter": delimiter}
    return {"time": [time], "time_format": None, "train": rule, **own}


SOURCES: dict[type, tuple[str, str, dict[str, float]]] = {
    Nab: ("timestamp", ",", {"share": 0.15, "most": MAX_PROBATION}),
    Skab: ("datetime", ";", {"rows": 400}),
}
"""Time stamps, delimiter, and the leading part: a share, at most so many rows, or rows."""


KINDS: dict[type, Any] = {
    Folds: _labelled,
    Windows: _table,
    Mapped: _rows,
    Monitored: _recordings,
}
