"""Texts of a table: CSV, TSV or JSON lines, plain or gzipped."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.data.blocks import Block
from seqfuse.data.read.files import TableFile
from seqfuse.data.read.texts import Texts
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.items import WHOLE_ID
from seqfuse.runtime.records import RECORD_ENDINGS, cell, rows_of
from seqfuse.runtime.text import tokenise


class TextTable:
    """Reads a column of texts and one of labels.

    A text is split into words and signs (`tokenise`); in JSON lines it may be a list of words,
    which are taken as they are.

    Args:
        train: file to train (and validate) on.
        test: file to test on.
        val: file to validate on; without one, folds of `train` do.
        text: name of the column of texts.
        label: name of the column of labels.
        root: folder that relative names start from.

    Raises:
        InputError: no file is named.
    """

    endings = RECORD_ENDINGS

    def __init__(
        self,
        train: str | None,
        test: str | None,
        val: str | None = None,
        text: str = "text",
        label: str = "label",
        root: str = ".",
    ):
        for name, file in (("train", train), ("test", test)):
            if not file:
                raise InputError(f"data.{name} is empty: name your .csv, .tsv or .jsonl file")
        self.files = {"train": str(train), "test": str(test), "val": val}
        self.has_validation = val is not None
        self.text, self.label, self.root = text, label, root

    def __call__(self, split: str) -> Texts:
        """Reads `train`, `val` or `test`.

        Raises:
            InputError: the file is missing or broken, or a text or a label is empty.
        """
        path = TableFile(self.files[split], self.root).path()
        texts, labels, lines = [], [], []
        for line, row in rows_of(path):
            texts.append(self.words(path, line, row))
            labels.append(self._label(path, line, row))
            lines.append(line)
        return Texts(texts, labels, str(path), lines)

    def words(self, path: Path, line: int, row: dict[str, Any]) -> list[str]:
        """The words of one row.

        Raises:
            InputError: there is none.
        """
        value = cell(path, line, row, self.text, "set data.text")
        words = [str(word) for word in value] if isinstance(value, list) else tokenise(str(value))
        if not words:
            raise InputError(f"{path}, line {line}: column '{self.text}' is empty: fill or drop it")
        return words

    def _label(self, path: Path, line: int, row: dict[str, Any]) -> str:
        label = str(cell(path, line, row, self.label, "set data.label")).strip()
        if not label:
            raise InputError(
                f"{path}, line {line}: column '{self.label}' is empty: fill or drop it"
            )
        return label

    def file(self, path: Path) -> "TextFile":
        """Texts to predict; a column `id` names them."""
        return TextFile(self, path)


class TextFile:
    """Texts of a file, without their labels.

    Args:
        table: knows the column.
        path: of the file.

    Raises:
        InputError: another ending.
    """

    size = None

    def __init__(self, table: TextTable, path: Path):
        self.table, self.path = table, path
        self.has_ids = "id" in next(rows_of(path), (0, {}))[1]

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many texts, in the order of the file."""
        rows, number = rows_of(self.path), itertools.count()
        while some := list(itertools.islice(rows, size)):
            texts = [self.table.words(self.path, *row) for row in some]
            ids = [
                cell(self.path, line, row, "id", WHOLE_ID) if self.has_ids else next(number)
                for line, row in some
            ]
            yield Block(Texts(texts, [""] * len(texts), str(self.path)), np.asarray(ids))
