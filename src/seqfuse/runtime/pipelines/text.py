"""Words to whole numbers: fitted on the training texts, then fixed."""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError, check_minimum, check_option
from seqfuse.runtime.pipelines.labels import Labelled
from seqfuse.runtime.pipelines.series import check_several
from seqfuse.runtime.recordings import Recordings

PADDING, UNKNOWN = 0, 1
FIRST = 2
"""The first id of something known."""
SUBWORDS = ("ngrams", "characters")
SIGNS = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and ideographs, written without blanks between words: each is a word by itself."""
MARKS = "\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Accents and vowel signs that belong to the letter before them."""
TOKEN = re.compile(rf"[{SIGNS}]|[^\W{SIGNS}]+(?:[{MARKS}]+[^\W{SIGNS}]*)*(?:['\u2019]\w+)?|[^\w\s]")
ENDING = re.compile(r"(?:['\u2019]s)?[^\w\s]*$")


def tokenise(text: str) -> list[str]:
    """Words, with an apostrophe in them, and signs, each by itself; blanks are left out.

    Of Chinese and Japanese, each character is a word (as in BERT's multilingual vocabulary).
    """
    return TOKEN.findall(text)


def normal(word: str, digits: bool = False) -> str:
    """The normal form of a word: in lower case, all digits alike unless they are kept."""
    return word.lower() if digits else re.sub(r"\d", "0", word.lower())


def texts(words: Sequence[Sequence[str]], **metadata: Any) -> Recordings:
    """Texts of one word or more, each a list of words."""
    values = np.array([word for text in words for word in text], dtype=object)
    return Recordings(values, np.cumsum([0, *map(len, words)]), **{"unit": "texts", **metadata})


class TextPipeline(Labelled):
    """Ids of words and of their subwords, and class numbers.

    A word is known if training had it often enough. Its subwords stand for it where it is not:
    hashed n-grams of its characters (Bojanowski et al. 2017), after the pair that it makes with
    the word before; or its characters.

    Args:
        subwords: `ngrams` or `characters`.
        min_count: times a word must occur in training to be known.
        max_length: words of a text that are read; 0 reads all.
        max_subwords: subwords of a word that are read; of characters the first and the last.
        ngrams: the shortest and the longest n-gram, in characters, the ends of a word being two.
        buckets: numbers that n-grams are hashed to.
        digits: whether `2 rooms` and `3 rooms` differ; without, all digits are alike.
        strip: whether `Peru?` and `Peru's` are looked up as `peru`; their subwords stay apart.
    """

    by_length = True

    def __init__(
        self,
        subwords: str = "ngrams",
        min_count: int = 1,
        max_length: int = 64,
        max_subwords: int = 32,
        ngrams: Sequence[int] = (3, 5),
        buckets: int = 50_000,
        strip: bool = False,
        digits: bool = False,
    ):
        super().__init__()
        check_option(SUBWORDS, subwords=subwords)
        check_minimum(1, min_count=min_count, buckets=buckets)
        check_minimum(0, max_length=max_length)
        check_minimum(2, max_subwords=max_subwords)
        if len(ngrams) != 2 or not 1 <= ngrams[0] <= ngrams[1]:
            raise InputError(f"data.ngrams={list(ngrams)} must be two lengths, such as [3,5]")
        self.subwords, self.min_count, self.max_length = subwords, min_count, max_length
        self.max_subwords, self.ngrams, self.buckets = max_subwords, list(ngrams), buckets
        self.strip, self.digits = strip, digits
        self.words: dict[str, int] = {}
        self.characters: dict[str, int] = {}
        self._known: dict[str, list[int]] = {}

    def fit(self, items: Recordings) -> "TextPipeline":
        self.fit_labels(items)
        counts = Counter(map(self._look_up, items.values))
        words = [word for word, times in _frequent_first(counts) if times >= self.min_count]
        letters = Counter(letter for word in items.values for letter in word)
        self._keep(words, [letter for letter, _ in _frequent_first(letters)])
        return self

    def items(self, x: Any) -> Recordings:
        check_several(x)
        return texts([self._words(i, text) for i, text in enumerate(x)], origin="x")

    @staticmethod
    def _words(i: int, text: Any) -> list[str]:
        words = tokenise(text) if isinstance(text, str) else text
        if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
            raise InputError(
                f"text {i} is {type(text).__name__}, expected a text or a list of words"
            )
        if not words:
            raise InputError(f"text {i} has no word: remove it")
        return list(words)

    def _keep(self, words: Sequence[str], characters: Sequence[str]) -> None:
        self.words = {word: i for i, word in enumerate(words, FIRST)}
        self.characters = {c: i for i, c in enumerate(characters, FIRST)}
        self._known = {}

    def transform(self, items: Recordings) -> Recordings:
        """Ids (n 1+max_subwords) of each word and its subwords, padded with 0."""
        items = items.head(self.max_length) if self.max_length else items
        ids = np.zeros((len(items.values), 1 + self.max_subwords), dtype=np.int32)
        starts, before = set(items.offsets.tolist()), ""
        for i, word in enumerate(items.values):
            numbers = self._ids(word, "" if i in starts else before)
            ids[i, : len(numbers)] = numbers
            before = word
        return replace(items, values=ids)

    def notes(self, items: Recordings) -> Iterator[str]:
        """Says how many texts are longer than what is read of them."""
        yield from super().notes(items)
        long = int((items.lengths > self.max_length).sum()) if self.max_length else 0
        if long:
            yield (
                f"{long:,} of {len(items):,} {items.unit} are longer than {self.max_length} words "
                f"(the longest: {items.lengths.max():,}), and no more is read of them: "
                f"data.max_length={2 * self.max_length} reads more, 0 all"
            )

    def baseline(self, items: Recordings) -> NDArray[np.int32]:
        """Ids of texts without words: padding, whose vectors are zero."""
        return np.zeros_like(self.transform(items).values)

    def groups(self, items: Recordings) -> tuple[NDArray[np.int64], list[str]]:
        """All ids of a word belong together."""
        return np.zeros(1 + self.max_subwords, dtype=np.int64), [""]

    def _ids(self, word: str, before: str) -> list[int]:
        if word not in self._known:
            parts = self._ngrams(word) if self.subwords == "ngrams" else self._characters(word)
            self._known[word] = [self.words.get(self._look_up(word), UNKNOWN), *parts]
        number, *parts = self._known[word]
        if self.subwords == "ngrams":
            parts = [
                self._bucket(f"{normal(before, self.digits)} {normal(word, self.digits)}"),
                *parts,
            ]
        return [number, *parts[: self.max_subwords]]

    def _look_up(self, word: str) -> str:
        """The form of a word that is in the vocabulary."""
        form = normal(word, self.digits)
        return (ENDING.sub("", form) or form) if self.strip else form

    def _ngrams(self, word: str) -> list[int]:
        text, (low, high) = f"<{normal(word, self.digits)}>", self.ngrams
        return [
            self._bucket(text[i : i + n])
            for n in range(low, high + 1)
            for i in range(len(text) - n + 1)
        ]

    def _bucket(self, text: str) -> int:
        return FIRST + zlib.crc32(text.encode()) % self.buckets

    def _characters(self, word: str) -> list[int]:
        if len(word) > self.max_subwords:
            half = self.max_subwords // 2
            word = word[: self.max_subwords - half] + word[-half:]
        return [self.characters.get(c, UNKNOWN) for c in word]

    def sizes(self) -> dict[str, Any]:
        subwords = self.buckets if self.subwords == "ngrams" else len(self.characters)
        return {
            "channels": 1 + self.max_subwords,
            "vocab_size": FIRST + len(self.words),
            "num_subwords": FIRST + subwords,
            **self.labels.sizes(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "words": list(self.words),
            "characters": list(self.characters),
            "labels": self.labels.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.load_labels(state)
        self._keep(state["words"], state["characters"])


def _frequent_first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
