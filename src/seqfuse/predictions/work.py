"""What a job is asked for and what it hands back."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pandas as pd

from seqfuse.runtime.errors import InputError


class Work(NamedTuple):
    """Rows to be written."""

    total: int | None
    """How many, where that is known beforehand."""
    frames: Iterator[pd.DataFrame]
    """All with the same columns; each is predicted when it is asked for."""


class Job(Protocol):
    """One kind of prediction; made of a data module, a `Forward` and its knobs."""

    endings: tuple[str, ...]
    """Of the files in a folder that it reads."""
    knobs: tuple[str, ...]
    """Keys of `conf/predict.yaml` that it takes."""

    def file(self, path: Path) -> Work:
        """Predictions for what is in a file."""
        ...

    def folder(self, paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
        """Predictions for what is in files, in their order; the column `file` comes first."""
        ...

    def split(self, split: str) -> Work:
        """Predictions for a split of the training data, with the truth beside them."""
        ...


def of_input(job: Job, given: str, output: Path) -> Work:
    """Work on a file, or on all files of a folder in the order of their names.

    Of a folder, the column `file` comes first.

    Raises:
        InputError: there is nothing to predict, or the output is among it.
    """
    path = Path(given)
    if not path.exists():
        raise InputError(f"input={given}: there is no such file or folder")
    files = _files(path, job.endings) if path.is_dir() else [path]
    if not files:
        raise InputError(f"input={given}: no file in it ends in {', '.join(job.endings)}")
    if output.resolve() in [file.resolve() for file in files]:
        raise InputError(f"output={output} is an input, too: choose another name")
    return Work(None, _alike(job.folder(files))) if path.is_dir() else job.file(path)


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    found = [p for p in sorted(folder.iterdir()) if p.name.lower().endswith(endings)]
    labels = {p.with_name(f"{p.stem}_y.npy") for p in found if p.suffix == ".npy"}
    return [p for p in found if p.is_file() and p not in labels and not p.name.startswith(".")]


def one_by_one(file: Callable[[Path], Work], paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
    """Predictions for files that share no batch."""
    for path in paths:
        for frame in file(path).frames:
            frame.insert(0, "file", path.name)
            yield frame


def _alike(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Raises InputError where a file gives other columns than the first one."""
    known = None
    for frame in frames:
        name, columns = frame["file"].iat[0], list(frame.columns[1:])
        known = known or (name, columns)
        if columns != known[1]:
            raise InputError(
                f"{name} gives the columns {', '.join(columns)}, but {known[0]} gave "
                f"{', '.join(known[1])}: predict them apart"
            )
        yield frame
