"""Which job predicts, by what a fitted data module says of itself."""

from collections.abc import Mapping
from typing import Any

from seqfuse.runtime.anomalies import Detector
from seqfuse.runtime.classes import Classifier, ClipScorer, Tagger
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.forecasts import Forecaster, RowForecaster

JOBS: dict[str, Any] = {
    "classes": Classifier,
    "tags": Tagger,
    "clip_scores": ClipScorer,
    "forecasts": Forecaster,
    "row_forecasts": RowForecaster,
    "anomalies": Detector,
}


def make(metadata: Mapping[str, Any], engine: Engine) -> Any:
    """The job that metadata describe, over an engine; the same for every surface."""
    if metadata["job"] not in JOBS:
        raise InputError(f"'{metadata['job']}' is no job that this version knows: export it again")
    return JOBS[metadata["job"]](metadata, engine)
