"""Texts with a class each, and sentences with a tag for each word."""

from collections.abc import Mapping
from typing import Any

from seqfuse.data.items import Source
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find
from seqfuse.runtime.read.labelled import read_sentences, read_texts
from seqfuse.runtime.recordings import Recordings


class TextTable(Source):
    """Reads a column of texts and one of labels, of a .csv, .tsv or .jsonl.

    Args:
        train: file to train (and validate) on.
        test: file to test on.
        val: file to validate on; without one, folds of `train` do.
        text: name of the column of texts.
        label: name of the column of labels.
        root: folder that relative names start from.
        label_type: `classes`, `numbers` or `several` labels in a cell (see `labels_of`).
    """

    endings = ".csv, .tsv or .jsonl"

    def __init__(
        self,
        train: str | None,
        test: str | None,
        val: str | None = None,
        text: str = "text",
        label: str = "label",
        root: str = ".",
        label_type: str = "classes",
    ):
        self.text, self.label, self.label_type = text, label, label_type
        self._set_files(train, test, val, root)

    def _set_files(self, train: str | None, test: str | None, val: str | None, root: str) -> None:
        for name, file in (("train", train), ("test", test)):
            if not file:
                raise InputError(f"data.{name} is empty: name your {self.endings} file")
        self.files = {"train": str(train), "test": str(test), "val": str(val)}
        self.has_validation, self.root = val is not None, root

    def __call__(self, split: str) -> Recordings:
        path = find(self.files[split], self.root, f"data.{split}")
        blocks = list(read_texts(path, self.text, self.label, self.label_type))
        if not blocks:
            raise InputError(f"{path} holds no text")
        return Recordings.joined(blocks)

    def reader(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "texts", "text": self.text}


class Conll(TextTable):
    """Reads sentences: a word and its tag per line, an empty line behind each sentence.

    Of ten columns (CoNLL-U) the form and the universal part of speech are taken, and lines of
    multiword tokens and empty nodes left out; of other numbers of columns the first and the
    last. In JSON lines, `tokens` and `tags` are lists. Before the first word of a sentence, #
    and a blank begin a comment, where there is no tab; in CoNLL-U any # does.

    Args:
        train: file to train (and validate) on.
        test: file to test on.
        val: file to validate on; without one, folds of `train` do.
        root: folder that relative names start from.
    """

    endings = ".conllu, .tsv or .jsonl"

    def __init__(
        self, train: str | None, test: str | None, val: str | None = None, root: str = "."
    ):
        self._set_files(train, test, val, root)

    def __call__(self, split: str) -> Recordings:
        path = find(self.files[split], self.root, f"data.{split}")
        blocks = list(read_sentences(path, labelled=True))
        if not blocks:
            raise InputError(f"{path} holds no sentence")
        return Recordings.joined(blocks)

    def reader(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "sentences"}
