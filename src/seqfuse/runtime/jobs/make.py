"""Jobs, by what a fitted data module says of itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import matches
from seqfuse.runtime.jobs.anomalies import Detector
from seqfuse.runtime.jobs.classes import Classifier, ClipScorer, Labeller, Tagger
from seqfuse.runtime.jobs.forecasts import Forecaster
from seqfuse.runtime.jobs.imputations import Imputer
from seqfuse.runtime.jobs.job import Job
from seqfuse.runtime.jobs.numbers import Regressor
from seqfuse.runtime.read.table.parquet import ENDING
from seqfuse.runtime.writer import Columns, Rows

JOBS: dict[str, type[Job]] = {
    "classes": Classifier,
    "labels": Labeller,
    "numbers": Regressor,
    "tags": Tagger,
    "clip_scores": ClipScorer,
    "forecasts": Forecaster,
    "imputations": Imputer,
    "anomalies": Detector,
}
OPTIONS = tuple(dict.fromkeys(option for job in JOBS.values() for option in job.options))
"""Options of all jobs."""


def make_job(
    metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = "auto", **options: Any
) -> Any:
    """The job that metadata describe, over an engine."""
    name = metadata["job"]
    if name not in JOBS:
        raise InputError(f"'{name}' is no job that this version knows: export it again")
    for option, value in options.items():
        if option not in JOBS[name].options:
            raise InputError(f"{option}={value} is not for {name}: leave it out")
    return JOBS[name](metadata, engine, batch_size, **options)


def without_cache(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of a stranger, by which clips are decoded anew and nothing is written."""
    file_format = metadata.get("file_format")
    if not isinstance(file_format, Mapping) or "cache" not in file_format:
        return dict(metadata)
    return {**metadata, "file_format": {**file_format, "cache": None}}


def of_input(job: Job, given: str, *outputs: Path) -> Rows:
    """Predictions for a file, or for each file of a folder in the order of their names.

    An output is no input, though an earlier run may have left it in the folder.
    """
    paths = input_files(job, given, *outputs)
    if not Path(given).is_dir():
        return job.rows(paths[0])
    rows = job.folder(paths)
    return Rows(_alike(rows), rows.total, rows.notes, rows.alarms)


def input_files(job: Job, given: str, *outputs: Path) -> list[Path]:
    """A file, or all files of a folder in the order of their names, but for the outputs.

    A pattern names Parquet files that are one table, and is given back as it is.
    """
    path = Path(given)
    if ENDING in job.endings and matches(path):
        return [path]
    if not path.exists():
        raise InputError(f"input={given}: there is no such file or folder")
    if not path.is_dir():
        for output in outputs:
            if output.resolve() == path.resolve():
                raise InputError(f"output={output} is the input, too: choose another name")
        return [path]
    written = {output.resolve() for output in outputs}
    paths = [p for p in _files(path, job.endings) if p.resolve() not in written]
    if not paths:
        raise InputError(f"input={given}: no file in it ends in {', '.join(job.endings)}")
    return paths


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    paths = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(endings)]
    labels = {path.with_name(f"{path.stem}_y.npy") for path in paths if path.suffix == ".npy"}
    return [p for p in paths if p.is_file() and p not in labels and not p.name.startswith(".")]


def _alike(blocks: Iterator[Columns]) -> Iterator[Columns]:
    """Raises InputError where a file gives other columns than the first one."""
    first = None
    for block in blocks:
        name, columns = block["file"][0], list(block)[1:]
        first = first or (name, columns)
        if columns != first[1]:
            raise InputError(
                f"{name} gives the columns {', '.join(columns)}, but {first[0]} gave "
                f"{', '.join(first[1])}: predict them apart"
            )
        yield block
