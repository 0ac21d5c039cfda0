"""Which job belongs to which data."""

from collections.abc import Mapping
from typing import Any

from seqfuse.data.mapped import Mapped
from seqfuse.data.module import DataModule
from seqfuse.data.monitored import Monitored
from seqfuse.data.windows import Windows
from seqfuse.predictions.anomalies import Anomalies
from seqfuse.predictions.forecasts import Forecasts
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.rows import RowForecasts
from seqfuse.predictions.work import Job
from seqfuse.runtime.errors import InputError

JOBS: dict[type, Any] = {
    Windows: Forecasts,
    Mapped: RowForecasts,
    Monitored: Anomalies,
}
KNOBS = ("every",)


def choose(data: DataModule, forward: Forward, config: Mapping[str, Any]) -> Job:
    """The job for what a checkpoint was trained on.

    Raises:
        InputError: there is none, or a knob is given that is not for it.
    """
    job = next((job for kind, job in JOBS.items() if isinstance(data.splits, kind)), None)
    if job is None:
        raise InputError(f"seqfuse-predict knows no job for {type(data.splits).__qualname__}")
    given = {knob: config[knob] for knob in KNOBS if config[knob] is not None}
    for knob in given:
        if knob not in job.knobs:
            raise InputError(f"{knob}={given[knob]} is not for {data.splits.unit}: leave it out")
    return job(data, forward, **given)
