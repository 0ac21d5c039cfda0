"""Sentences of text files: CoNLL-U, a word and its tag per line, JSON lines; plain or gzipped."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seqfuse.plain.errors import InputError
from seqfuse.plain.lines import lines_of
from seqfuse.plain.records import cell, rows_of

SENTENCE_TABLES = (".conllu", ".conll", ".tsv", ".txt", ".bio", ".iob")
SENTENCE_ENDINGS = tuple(
    f"{kind}{gz}" for kind in (*SENTENCE_TABLES, ".jsonl") for gz in ("", ".gz")
)
CONLLU_COLUMNS = 10
FORM, UPOS = 1, 3


class Sentence(NamedTuple):
    """One sentence of a file."""

    line: int
    """At which it begins."""
    words: list[str]
    tags: list[str]
    """Empty texts where there are none."""


def sentences(path: Path) -> Iterator[Sentence]:
    """Sentences of a file, one by one.

    Raises:
        InputError: another ending, or a line that is none; names it.
    """
    name = path.name.lower()
    if not name.endswith(SENTENCE_ENDINGS):
        raise InputError(f"{path}: the ending must be one of: {', '.join(SENTENCE_ENDINGS)}")
    if ".jsonl" in name[-9:]:
        yield from _json_sentences(path)
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


def _json_sentences(path: Path) -> Iterator[Sentence]:
    for number, row in rows_of(path):
        words = cell(path, number, row, "tokens", "it to the words")
        if not isinstance(words, list) or not words or not all(words):
            raise InputError(f"{path}, line {number}: 'tokens' must be a list of words")
        tags = row.get("tags") or [""] * len(words)
        if len(tags) != len(words):
            raise InputError(f"{path}, line {number}: {len(words)} tokens but {len(tags)} tags")
        yield Sentence(number, [str(word) for word in words], [str(tag) for tag in tags])
