"""Sentences with a tag for each word: CoNLL-U, two columns, or JSON lines; plain or gzipped."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqfuse.data.blocks import Block
from seqfuse.data.read.files import TableFile
from seqfuse.data.read.texts import Texts
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.sentences import SENTENCE_ENDINGS, Sentence, sentences


class Conll:
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

    Raises:
        InputError: no file is named.
    """

    endings = SENTENCE_ENDINGS

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


def _check_tags(path: Path, one: Sentence) -> None:
    before = "O"
    for i, tag in enumerate(one.tags):
        where = f"{path}, line {one.lines[i]}"
        if tag in ("", "_"):
            raise InputError(f"{where}: the word '{one.words[i]}' has no tag")
        if tag.startswith("I-") and before[1:] != tag[1:]:
            raise InputError(
                f"{where}: '{tag}' begins inside (behind '{before}'): begin with B-{tag[2:]}"
            )
        before = tag
