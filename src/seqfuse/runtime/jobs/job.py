"""The job: one kind of prediction, for every surface."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.explanations import explained
from seqfuse.runtime.explanations.cases import Case, Wanted
from seqfuse.runtime.files import path_in
from seqfuse.runtime.writer import Columns, Rows


class Job:
    """One kind of prediction over an engine; its rows are those of `seqfuse-predict`.

    Args:
        metadata: what a fitted data module and a task say of themselves.
        engine: predicts.
        batch_size: items or windows at a time; `auto` as many as suit the memory.
    """

    endings: tuple[str, ...]
    """Endings of the files that it reads."""
    options: tuple[str, ...] = ()
    """Its own, beside the size of batches."""

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = "auto"):
        check_batch_size(batch_size)
        self.metadata, self.engine, self.batch_size = metadata, engine, batch_size

    def predict(self, x: Any) -> Any:
        """Predictions for what is in memory, or in a file."""
        raise NotImplementedError

    def rows(self, path: str | Path) -> Rows:
        """Rows for people of a file, block by block."""
        raise NotImplementedError

    def table(self, path: str | Path) -> Columns:
        """Rows for people of a file, all at once."""
        return joined(self.rows(path))

    def folder(self, paths: Sequence[Path]) -> Rows:
        """Rows for people of files, in their order; the column `file` comes first."""
        return in_folder(self.rows, paths)

    def explain(
        self,
        x: Any,
        method: str = "gradients",
        target: str | None = None,
        step: int | None = None,
        segment: int | None = None,
    ) -> Any:
        """Attributions: the fraction of each value in a prediction.

        Args:
            x: as in `predict`.
            method: `gradients`, `occlusion` or `attention` (see `explanations.methods`).
            target: the class, label, number or column that is explained; the predicted class, the
                likeliest label, the first number or the first column, if not given; of gaps and of
                anomalies all columns.
            step: of a class for each step, or of a horizon, from 1; the mean, if not given.
            segment: steps that are occluded together.

        Returns:
            for each item, or forecast of an array, (t c), of clips (t regions); (t) of texts and of
            attention; of several sources a dict of such. Of tables, gaps and anomalies columns as
            in a file: a row for each step and channel of a forecast, a gap or an alarm.
        """
        path, wanted = path_in(x, self.endings), Wanted(target, step)
        cases = self.cases_of(path, wanted) if path else self.cases_in(x, wanted)
        return self._attributions(x, cases, method, segment)

    def _attributions(self, x: Any, cases: Iterable[Case], method: str, segment: int | None) -> Any:
        """Attributions to cases, in the form of what is explained."""
        return explained.columns(self.engine, cases, method, segment)

    def cases_in(self, x: Any, wanted: Wanted) -> Iterator[Case]:
        """Items in memory to explain, batch by batch."""
        raise NotImplementedError

    def cases_of(self, path: Path, wanted: Wanted, file: str | None = None) -> Iterator[Case]:
        """Items of a file to explain, batch by batch; `file` names it where there are several."""
        raise NotImplementedError


def in_folder(rows: Callable[[Path], Rows], paths: Sequence[Path]) -> Rows:
    """Predictions for files that share no batch; the column `file` comes first."""
    notes: list[str] = []
    alarms: list[Columns] = []

    def named(path: Path, columns: Columns) -> Columns:
        return {"file": np.repeat(path.name, len(next(iter(columns.values())))), **columns}

    def blocks() -> Iterator[Columns]:
        for path in paths:
            of_file = rows(path)
            for columns in of_file:
                yield named(path, columns)
            alarms.extend(named(path, columns) for columns in of_file.alarms())
            lines = list(of_file.notes())
            notes.extend([f"file        {path.name}", *lines] if lines else [])

    return Rows(blocks(), None, lambda: notes, lambda: alarms)


def joined(blocks: Iterator[Columns]) -> Columns:
    """All rows at once; in memory days are time stamps, too."""
    parts = list(blocks)
    names = (parts or [{}])[0]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return {
        name: column.astype("M8[s]") if column.dtype == "M8[D]" else column
        for name, column in columns.items()
    }
