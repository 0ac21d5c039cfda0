"""Sentences with a tag for each word: CoNLL-U, two columns, or JSON lines; plain or gzipped."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqfuse.data.blocks import Block
from seqfuse.data.files import TableFile, lines_of
from seqfuse.data.text import cell, rows_of
from seqfuse.data.texts import Texts
from seqfuse.plain.errors import InputError

TABLES = (".conllu", ".conll", ".tsv", ".txt", ".bio", ".iob")
ENDINGS = tuple(f"{kind}{gz}" for kind in (*TABLES, ".jsonl") for gz in ("", ".gz"))
CONLLU_COLUMNS = 10
FORM, UPOS = 1, 3


class Sentence(NamedTuple):
    """One sentence of a file."""

    line: int
    """At which it begins."""
    words: list[str]
    tags: list[str]
    """Empty texts where there are none."""


class Conll:
    """Reads sentences: a word and its tag per line, an empty line behind each sentence.

    Of ten columns (CoNLL-U) the form and the universal part of speech are taken, and lines of
    multiword tokens and empty nodes left out; of other numbers of columns the first and the
    last. In JSON lines, `tokens` and `tags` are lists. A line of one column that begins with #
    is a comment before the first word of a sentence.

    Args:
        train: file to train (and validate) on.
        test: file to test on.
        val: file to validate on; without one, folds of `train` do.
        root: folder that relative names start from.

    Raises:
        InputError: no file is named.
    """

    endings = ENDINGS

    def __init__(
        self, train: str | None, test: str | None, val: str | None = None, root: str = "."
    ):
        for name, file in (("train", train), ("test", test)):
            if not file:
                raise InputError(f"data.{name} is empty: name your .conllu, .tsv or .jsonl file")
        self.files = {"train": str(train), "test": str(test), "val": val}
        self.has_validation = val is not None
        self.root = root

    def __call__(self, split: str) -> Texts:
        """Reads `train`, `val` or `test`.

        Raises:
            InputError: the file is missing or broken, a word has no tag, or BIO tags begin inside.
        """
        path = TableFile(self.files[split], self.root).path()
        found = list(sentences(path))
        for one in found:
            _check_tags(path, one)
        if not found:
            raise InputError(f"{path} holds no sentence")
        lines, words, tags = zip(*found, strict=True)
        return Texts(words, tags, str(path), lines)

    def file(self, path: Path) -> "ConllFile":
        """Sentences to predict; tags are ignored."""
        return ConllFile(path)


class ConllFile:
    """Sentences of a file, without their tags.

    Args:
        path: of the file.
    """

    has_ids = False
    size = None

    def __init__(self, path: Path):
        self.path = path

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many sentences, in the order of the file."""
        found, first = sentences(self.path), 0
        while some := list(itertools.islice(found, size)):
            words = [one.words for one in some]
            texts = Texts(words, [[""]] * len(some), str(self.path))
            yield Block(texts, np.arange(first, first + len(some)), {"token": words})
            first += len(some)


def sentences(path: Path) -> Iterator[Sentence]:
    """Sentences of a file, one by one.

    Raises:
        InputError: another ending, or a line that is none; names it.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise InputError(f"{path}: the ending must be one of: {', '.join(ENDINGS)}")
    if ".jsonl" in name[-9:]:
        yield from _json_lines(path)
        return
    words: list[tuple[int, str, str]] = []
    for number, line in itertools.chain(lines_of(path), [(0, "")]):
        if line.strip():
            words += _word(path, number, line.rstrip("\r\n"), not words)
        elif words:
            yield Sentence(words[0][0], [w for _, w, _ in words], [tag for _, _, tag in words])
            words = []


def _word(path: Path, number: int, line: str, first: bool) -> list[tuple[int, str, str]]:
    """The word of a line; none of a comment, a multiword token or an empty node."""
    columns = line.split("\t") if "\t" in line else line.split(" ")
    if line[0] == "#" and (first and "\t" not in line):
        return []
    if len(columns) == CONLLU_COLUMNS:
        if not columns[0].isdigit():
            if set(columns[0]) <= set("0123456789-."):
                return []
            raise InputError(f"{path}, line {number}: '{columns[0][:20]}' is no number of a word")
        columns = [columns[FORM], columns[UPOS]]
    word, tag = columns[0].strip(), columns[-1].strip() if len(columns) > 1 else ""
    if not word:
        raise InputError(f"{path}, line {number} has no word in column 1")
    return [(number, word, tag)]


def _json_lines(path: Path) -> Iterator[Sentence]:
    for number, row in rows_of(path):
        words = cell(path, number, row, "tokens", "it to the words")
        if not isinstance(words, list) or not words or not all(words):
            raise InputError(f"{path}, line {number}: 'tokens' must be a list of words")
        tags = row.get("tags") or [""] * len(words)
        if len(tags) != len(words):
            raise InputError(f"{path}, line {number}: {len(words)} tokens but {len(tags)} tags")
        yield Sentence(number, [str(word) for word in words], [str(tag) for tag in tags])


def _check_tags(path: Path, one: Sentence) -> None:
    before = "O"
    for i, tag in enumerate(one.tags):
        # Of JSON lines all words stand in one line.
        where = f"{path}, line {one.line if '.jsonl' in path.name else one.line + i}"
        if tag in ("", "_"):
            raise InputError(f"{where}: the word '{one.words[i]}' has no tag")
        if tag.startswith("I-") and before[1:] != tag[1:]:
            raise InputError(
                f"{where}: '{tag}' begins inside (behind '{before}'): begin with B-{tag[2:]}"
            )
        before = tag
