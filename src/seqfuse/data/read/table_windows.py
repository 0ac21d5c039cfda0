"""Windows of a table with a number each: the mean of the targets over the rows behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from seqfuse.data.items import Source
from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import PARTS, borders, check_split
from seqfuse.runtime.errors import InputError, check_minimum
from seqfuse.runtime.read.table.calendar import CALENDAR
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import Table, windows_of
from seqfuse.runtime.read.table.words import words_in
from seqfuse.runtime.recordings import Recordings
from seqfuse.runtime.windows import Span, sliding


@dataclass(eq=False, repr=False)
class TableWindows(Source):
    """Windows of all columns, split by time; a label never reaches beyond its split.

    Args:
        look_back: rows of a window; it may reach back before its split.
        horizon: rows behind it, over which each target is averaged.
        every: rows from one window to the next.
        split: training, validation and test, in this order: fractions of each series, numbers of
            rows, or the dates on which the last two begin.
    """

    has_validation = True

    reader: TableReader
    source: TableFile
    look_back: int
    horizon: int
    every: int
    split: Sequence[Any]

    def __post_init__(self) -> None:
        check_minimum(1, look_back=self.look_back, horizon=self.horizon, every=self.every)
        check_split(self.split)
        self.split = [str(part) if isinstance(part, date) else part for part in self.split]
        if len(self.split) + isinstance(self.split[0], str) != 3:
            raise InputError(f"data.split={self.split}: give training, validation and test alone")

    def __call__(self, split: str) -> Recordings:
        table = self.reader.read(self.source.path(), training=partial(self._spans, "train"))
        spans = self._spans(split, table)
        sizes = (self.look_back, self.horizon, self.every)
        starts = np.asarray(sliding(spans, table.offsets[:-1].tolist(), *sizes))
        if not len(starts):
            raise InputError(
                f"{table.origin}: the {split} split is too short for data.look_back="
                f"{self.look_back} and data.horizon={self.horizon}: type another data.split"
            )
        items = windows_of(table, starts, self.look_back, self.horizon)
        learnt = {"channels": list(table.columns), "holidays": list(table.holidays)}
        return replace(items, tabular=learnt)  # by which other files are read

    def _spans(self, split: str, table: Table) -> list[Span]:
        """For each series its rows in a split."""
        part = [name for name in PARTS if name != "calibration"].index(split)
        return [borders(table, self.split, *edge)[part] for edge in pairwise(table.offsets)]

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        learnt = pipeline.tabular or {"channels": (), "holidays": ()}
        inputs = [name for name in self.reader.inputs if name not in CALENDAR]
        table = {
            **self.reader.options,
            "targets": pipeline.labels.targets,
            "words": {**self.reader.words, **words_in(learnt["channels"], inputs)},
            "holidays": list(learnt["holidays"]),
        }
        return {
            "kind": "windows",
            "table": table,
            "look_back": self.look_back,
            "every": self.every,
            "clock": pipeline.clock and list(pipeline.clock),
        }
