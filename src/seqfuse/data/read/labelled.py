"""The user's own table with a column that says where it is anomalous."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqfuse.data.read.files import TableFile
from seqfuse.data.read.recordings import Recording, runs, stem
from seqfuse.runtime.cells import TABLE_ENDINGS
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.stamps import carried_on
from seqfuse.runtime.tables import Table, TableReader


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

    endings = TABLE_ENDINGS

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
        self.reader = TableReader(time, group, targets, gaps=gaps, time_format=time_format)
        self.train = train

    def __call__(self) -> list[Recording]:
        """Reads the recordings, sorted by name.

        Raises:
            InputError: whatever is wrong with the file, with its name, row and column.
        """
        reader = TableReader(**{**self.reader.metadata, "covariates": [self.label]})
        try:
            table = reader.read(self.source.path())
        except InputError as error:
            raise InputError(str(error).replace("data.covariates", "data.label")) from None
        labels = np.nan_to_num(table.values[:, -1])
        for i in np.flatnonzero((labels != 0) & (labels != 1))[:1]:
            raise InputError(
                f"{table.origin}: at {str(table.time[i]).replace('T', ' ')}, column "
                f"'{self.label}': {labels[i]:g} must be 0 or 1"
            )
        return self._recordings(table, labels == 1)

    def file(self, path: Path) -> list[Recording]:
        """A table like it; a column of labels is left out."""
        table = self.reader.parse(self.reader.cells(path).without(self.label))
        return self._recordings(table, np.zeros(len(table.values), dtype=bool))

    def _recordings(self, table: Table, labels: np.ndarray) -> list[Recording]:
        edges = zip(table.names or (), table.offsets, table.offsets[1:], strict=False)
        return [self._recording(table, labels, *edge) for edge in edges]

    def _recording(
        self, table: Table, labels: np.ndarray, name: str, start: int, end: int
    ) -> Recording:
        targets = carried_on(table.values[start:end, : table.num_targets])
        return Recording(
            name=name or stem(Path(table.origin)),
            time=table.time[start:end],
            values=carried_on(targets[::-1])[::-1].astype(np.float32),
            columns=list(table.columns[: table.num_targets]),
            labels=labels[start:end],
            windows=runs(labels[start:end]),
            num_train=int((end - start) * self.train),
        )
