"""Data in memory, in the place of files."""

from collections.abc import Mapping
from typing import Any

from seqfuse.data.items import Source
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.read.table.cells import Cells
from seqfuse.runtime.recordings import Recordings

NAME = "(in memory)"
"""Stands for a file in the config of a run whose data were in memory."""


class ItemsInMemory(Source):
    """Labelled items, all of them to train (and validate) on."""

    def __init__(self, items: Recordings):
        self.items = items

    def __call__(self, split: str) -> Recordings:
        if split != "train":
            raise InputError(f"split={split}: all items in memory are to train on: name a file")
        return self.items


class TableInMemory:
    """A table, in the place of a `TableFile`."""

    def __init__(self, cells: Cells):
        self.cells = cells

    def path(self) -> Cells:
        return self.cells


class RecordingsInMemory:
    """Recordings in which anomalies are looked for; see `data.read.recordings`."""

    file_format: Mapping[str, Any] = {}
    train: Mapping[str, Any] | None = None

    def __init__(self, recordings: list[Recording]):
        self.recordings = recordings

    def __call__(self) -> list[Recording]:
        return self.recordings
