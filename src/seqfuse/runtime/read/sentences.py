"""Sentences of text files: CoNLL-U, a word and its tag per line, JSON lines; plain or gzipped."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import check_ending, lines_of
from seqfuse.runtime.read.records import cell, rows_of

SENTENCE_TABLES = (".conllu", ".conll", ".tsv", ".txt", ".bio", ".iob")
SENTENCE_ENDINGS = tuple(
    f"{kind}{gz}" for kind in (*SENTENCE_TABLES, ".jsonl") for gz in ("", ".gz")
)
CONLLU_COLUMNS = 10
FORM, UPOS = 1, 3
NEW_DOCUMENT = "-DOCSTART-"
"""The word of a line between documents, in CoNLL-2003; it is of no sentence."""
MAX_WORDS = 5_000
"""Maximum words of a sentence; more is a file without empty lines, and too much for a net."""


class Sentence(NamedTuple):
    """One sentence of a file."""

    lines: list[int]
    """Line of each word."""
    words: list[str]
    tags: list[str]
    """Empty texts where there are none."""


def sentences(path: Path) -> Iterator[Sentence]:
    """Sentences of a file, one by one."""
    name = path.name.lower()
    layout = "a word and its tag on each line, a tab between them, an empty line behind a sentence"
    check_ending(path, SENTENCE_ENDINGS, f"write {layout}")
    return _json_sentences(path) if ".jsonl" in name[-9:] else _tabled(path)


def _tabled(path: Path) -> Iterator[Sentence]:
    sentence, width = Sentence([], [], []), 0
    for number, line in itertools.chain(lines_of(path), [(0, "")]):
        line = line.rstrip("\r\n")
        if line.strip() and not (not sentence.words and _is_comment(path, line)):
            columns = line.split("\t") if "\t" in line else line.split()
            if columns[0] == NEW_DOCUMENT:
                continue
            width = _same_width(path, number, len(columns), width)
            for part, value in zip(sentence, _word(path, number, columns), strict=False):
                part.append(value)  # type: ignore[arg-type]
        elif sentence.words and not line.strip():
            _check_length(path, sentence)
            yield sentence
            sentence = Sentence([], [], [])


def unlike_words(path: Path, first: Sentence) -> str:
    """A note where the first sentence looks as if words did not stand one on a line; or nothing."""
    where, fix = f"{path}, line {first.lines[0]}", "write sentences as .jsonl: a list in `tokens`"
    if spaced := [word for word in first.words if " " in word]:
        return f"{where}: '{spaced[0][:60]}' is read as one word, not as several: {fix}"
    if ".jsonl" in path.name.lower()[-9:] or ".conllu" in path.name.lower():
        return ""
    line = next(line for number, line in lines_of(path) if number == first.lines[0]).strip()
    if "\t" in line or len(line.split()) == 1:
        return ""
    return (
        f"{where}: of '{line[:60]}' the first is read as the word, the last as its tag: if it is a "
        f"sentence, {fix}"
    )


def _check_length(path: Path, sentence: Sentence) -> None:
    if len(sentence.words) > MAX_WORDS:
        raise InputError(
            f"{path}, line {sentence.lines[0]}: a sentence of {len(sentence.words):,} words, more "
            f"than {MAX_WORDS:,}: put an empty line between sentences"
        )


def _is_comment(path: Path, line: str) -> bool:
    """Whether a line before a sentence is one; `#tag` is a word, but for CoNLL-U."""
    if "\t" in line:
        return False
    return line[0] == "#" and (line[1:2] in ("", " ") or ".conllu" in path.name.lower())


def _same_width(path: Path, number: int, columns: int, width: int) -> int:
    """How many columns a file has; a word without a tag is told elsewhere."""
    width = CONLLU_COLUMNS if ".conllu" in path.name.lower() else width
    if width and columns not in (1, width):
        raise InputError(
            f"{path}, line {number} has {columns} columns, the lines before {width}: columns are "
            "parted by tabs, or by blanks where there is no tab"
        )
    return max(width, columns) if columns > 1 else width


def _word(path: Path, number: int, columns: list[str]) -> tuple[int, str, str] | tuple[()]:
    """Line, word and tag; nothing of a multiword token or an empty node."""
    if len(columns) == CONLLU_COLUMNS:
        if not columns[0].isdigit():
            if set(columns[0]) <= set("0123456789-."):
                return ()
            raise InputError(f"{path}, line {number}: '{columns[0][:20]}' is no number of a word")
        columns = [columns[FORM], columns[UPOS]]
    word, tag = columns[0].strip(), columns[-1].strip() if len(columns) > 1 else ""
    if not word:
        raise InputError(f"{path}, line {number} has no word in column 1")
    return number, word, tag


def _json_sentences(path: Path) -> Iterator[Sentence]:
    for number, row in rows_of(path):
        words = cell(path, number, row, "tokens", "set it to the words")
        if not isinstance(words, list) or not words or not all(words):
            raise InputError(f"{path}, line {number}: 'tokens' must be a list of words")
        tags = row.get("tags") or [""] * len(words)
        if not isinstance(tags, list):
            raise InputError(f"{path}, line {number}: 'tags' must be a list of a tag for each word")
        if len(tags) != len(words):
            raise InputError(f"{path}, line {number}: {len(words)} tokens but {len(tags)} tags")
        named = ["" if tag is None else str(tag) for tag in tags]
        sentence = Sentence([number] * len(words), [str(word) for word in words], named)
        _check_length(path, sentence)
        yield sentence
