"""The user's own table with a column that says where it is anomalous."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import Recording, runs, stem
from seqfuse.data.read.table import Table, TableReader
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.records import RECORD_ENDINGS


class LabelledTable:
    """Recordings of a CSV or Parquet file, one for each group.

    Args:
        source: the file.
        label: column of 0 and 1; 1 is anomalous.
        time: as `TableReader` takes it.
        group: column that tells recordings apart.
        targets: columns to watch; `all` takes every number column that is nothing else.
        gaps: as `TableReader` takes it.
        time_format: as `TableReader` takes it.
        train: leading share of each recording that may be trained on.

    Raises:
        InputError: a knob is out of range.
    """

    endings = (*RECORD_ENDINGS, ".parquet")

    def __init__(
        self,
        source: TableFile,
        label: str = "anomaly",
        time: str | Sequence[str] = "date",
        group: str | None = None,
        targets: str | Sequence[str] = "all",
        gaps: str = "refuse",
        train: float = 0.3,
        time_format: str | None = None,
    ):
        if not 0 < train < 1:
            raise InputError(f"data.train={train} must be above 0 and below 1")
        self.source = source
        self.label = label
        self.reader = TableReader(
            time, group, targets, covariates=[label], gaps=gaps, time_format=time_format
        )
        self.train = train

    def __call__(self) -> list[Recording]:
        """Reads the recordings, sorted by name.

        Raises:
            InputError: whatever is wrong with the file, with its name, row and column.
        """
        try:
            table = self.reader.read(self.source.path(), {})
        except InputError as error:
            raise InputError(str(error).replace("data.covariates", "data.label")) from None
        labels = np.nan_to_num(table.values[:, -1])
        for i in np.flatnonzero((labels != 0) & (labels != 1))[:1]:
            raise InputError(
                f"{table.origin}: at {str(table.time[i]).replace('T', ' ')}, column "
                f"'{self.label}': {labels[i]:g} must be 0 or 1"
            )
        return [
            self._recording(table, labels == 1, name, start, end)
            for name, start, end in table.groups
        ]

    def file(self, path: Path) -> list[Recording]:
        """A table like it; a column of labels is left out.

        Raises:
            InputError: as when called.
        """
        reader = copy.copy(self.reader)
        reader.covariates = []
        frame = reader.load(path).drop(columns=self.label, errors="ignore")
        table = reader.parse(frame, str(path), {})
        labels = np.zeros(len(table.values), dtype=bool)
        return [self._recording(table, labels, *group) for group in table.groups]

    def _recording(
        self, table: Table, labels: np.ndarray, name: str, start: int, end: int
    ) -> Recording:
        targets = pd.DataFrame(table.values[start:end, : table.num_targets])
        return Recording(
            name=name or stem(Path(table.origin)),
            time=table.time[start:end],
            values=np.asarray(targets.ffill().bfill(), dtype=np.float32),
            columns=table.columns[: table.num_targets],
            labels=labels[start:end],
            windows=runs(labels[start:end]),
            num_train=int((end - start) * self.train),
        )
