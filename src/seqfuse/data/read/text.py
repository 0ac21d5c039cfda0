"""Texts with a class each, and sentences with a tag for each word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqfuse.data.read.own_files import OwnFiles
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.labelled import read_sentences, read_texts
from seqfuse.runtime.recordings import Recordings


@dataclass(eq=False, repr=False)
class TextTable(OwnFiles):
    """Reads a column of texts and one of labels, of a .csv, .tsv or .jsonl.

    Args:
        text: name of the column of texts.
        label: name of the column of labels; or, of several labels or numbers, a column for each.
        label_type: `classes`, `numbers` or `several` labels in a cell (see `labels_of`).
    """

    kind = ".csv, .tsv or .jsonl file"

    text: str = "text"
    label: str | Sequence[str] = "label"
    label_type: str = "classes"

    def read(self, path: Path, split: str) -> Recordings:
        blocks = list(read_texts(path, self.text, self.label, self.label_type))
        if not blocks:
            raise InputError(f"{path} holds no text")
        return Recordings.joined(blocks)

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "texts", "text": self.text}


class Conll(OwnFiles):
    """Reads sentences: a word and its tag per line, an empty line behind each sentence.

    Of ten columns (CoNLL-U) the form and the universal part of speech are taken, and lines of
    multiword tokens and empty nodes left out; of other numbers of columns the first and the
    last. In JSON lines, `tokens` and `tags` are lists. Before the first word of a sentence, #
    and a blank begin a comment, where there is no tab; in CoNLL-U any # does.
    """

    kind = ".conllu, .tsv or .jsonl file"

    def read(self, path: Path, split: str) -> Recordings:
        blocks = list(read_sentences(path, labelled=True))
        if not blocks:
            raise InputError(f"{path} holds no sentence")
        return Recordings.joined(blocks)

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "sentences"}
