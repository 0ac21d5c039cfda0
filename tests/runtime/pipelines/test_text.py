"""Words to numbers: what is known, what stands in for what is not, and back from a checkpoint."""

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.packed import pack, unpack
from seqfuse.runtime.pipelines.text import UNKNOWN, TextPipeline, normal, texts, tokenise

TEXTS = [["Play", "some", "Jazz"], ["play", "it", "again"], ["Room", "101", "some"]]
LABELS = ["a", "b", "a"]
ITEMS = texts(TEXTS, labels=LABELS)


def transform(pipeline: TextPipeline, words: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Padded ids, and lengths."""
    found = pipeline.transform(texts(words))
    return found.padded()[0], found.lengths


def test_words_and_signs() -> None:
    assert tokenise("I can't pay £20, why?!") == [
        *("I", "can't", "pay", "£", "20", ",", "why", "?", "!"),
    ]
    assert tokenise(" \n\t") == []


def test_words_of_other_scripts() -> None:
    assert tokenise("我买了iPhone 15。") == [*"我买了", "iPhone", "15", "。"]
    assert tokenise("これはテスト") == [*"これはテスト"]
    assert tokenise("हिन्दी किताब।") == ["हिन्दी", "किताब", "।"]
    assert tokenise("cafe\u0301 naïve - über's") == ["cafe\u0301", "naïve", "-", "über's"]
    assert tokenise("한국어 문장 😍") == ["한국어", "문장", "😍"]


def test_digits_that_are_kept() -> None:
    assert normal("Room 101", digits=True) == "room 101"
    words = texts([["3", "rooms"], ["4", "rooms"]], labels=["a", "b"])
    for digits in (False, True):
        pipeline = TextPipeline(digits=digits).fit(words)
        ids, _ = transform(unpack(pack(pipeline)), [["3"], ["4"]])
        assert (ids[0] == ids[1]).all() != digits


def test_the_same_word() -> None:
    assert normal("Room") == "room"
    assert normal("1999") == normal("2024")


def test_frequent_words_come_first() -> None:
    pipeline = TextPipeline().fit(ITEMS)
    assert list(pipeline.words) == ["play", "some", "000", "again", "it", "jazz", "room"]
    assert pipeline.sizes()["vocab_size"] == 9
    assert TextPipeline(min_count=2).fit(ITEMS).sizes()["vocab_size"] == 4


def test_ngrams_of_a_known_and_an_unknown_word() -> None:
    pipeline = TextPipeline(ngrams=(3, 3), max_subwords=4).fit(ITEMS)
    ids, lengths = transform(pipeline, [["play", "plays"], ["it"]])
    assert ids.shape == (2, 2, 5)
    assert lengths.tolist() == [2, 1]
    assert ids[0, 0, 0] == 2
    assert ids[0, 1, 0] == UNKNOWN
    # The pair with the word before; then <pl, pla, lay, and ay> or ays.
    assert ids[0, 0, 2:4].tolist() == ids[0, 1, 2:4].tolist()
    assert ids[0, 0, 1] != ids[0, 1, 1]
    assert ids[1, 1].tolist() == [0] * 5
    assert (ids[1, 0] > 0).sum() == 4  # it, its pair, <it, it>
    assert ids.max() < pipeline.sizes()["num_subwords"]


def test_a_word_is_its_own_pair_with_another_before_it() -> None:
    pipeline = TextPipeline().fit(ITEMS)
    ids, _ = transform(pipeline, [["some", "play"], ["it", "play"]])
    assert ids[0, 1, 0] == ids[1, 1, 0]
    assert ids[0, 1, 1] != ids[1, 1, 1]
    assert ids[0, 1, 2:].tolist() == ids[1, 1, 2:].tolist()


def test_characters_of_a_long_word_are_its_first_and_last() -> None:
    pipeline = TextPipeline(subwords="characters", max_subwords=4).fit(ITEMS)
    ids, _ = transform(pipeline, [["again", "Zum"]])
    letters = pipeline.characters
    assert ids[0, 0, 1:].tolist() == [letters[c] for c in "agin"]
    assert ids[0, 1, 1:].tolist() == [UNKNOWN, UNKNOWN, letters["m"], 0]


def test_long_texts_are_cut() -> None:
    ids, lengths = transform(TextPipeline(max_length=2).fit(ITEMS), TEXTS)
    assert ids.shape[1] == 2
    assert lengths.tolist() == [2, 2, 2]
    [note] = TextPipeline(max_length=2).notes(texts([*TEXTS, ["it"]]))
    assert "3 of 4 texts" in note
    assert "data.max_length=4" in note
    assert not [*TextPipeline(max_length=3).notes(ITEMS), *TextPipeline(max_length=0).notes(ITEMS)]


def test_tags_behind_the_last_word_are_none() -> None:
    pipeline = TextPipeline().fit(texts(TEXTS, labels=[list("ABA"), list("BBA"), list("AAA")]))
    labels = pipeline.labels
    assert labels.per_step
    tags = [["A", "B"], ["B"]]
    assert labels.encode(texts(tags, labels=tags)).tolist() == [[0, 1], [1, -1]]
    with pytest.raises(InputError, match="line 8 has label 'C', which training never saw"):
        labels.encode(texts([["a"], ["b", "c"]], labels=[["A"], ["A", "C"]], lines=[[3], [7, 8]]))


def test_state_is_enough() -> None:
    for subwords in ("ngrams", "characters"):
        pipeline = TextPipeline(subwords).fit(ITEMS)
        other = TextPipeline(subwords)
        other.load_state_dict(pipeline.state_dict())
        np.testing.assert_array_equal(transform(other, TEXTS)[0], transform(pipeline, TEXTS)[0])
        assert other.sizes() == pipeline.sizes()


def test_words_without_the_signs_at_their_end() -> None:
    words = [["Peru?", "Peru", "Peru\u2019s", "d.c.", "...", "'s"], ["x"]]
    items = texts(words, labels=["a", "b"])
    plain, stripped = (TextPipeline("characters", strip=strip) for strip in (False, True))
    assert len(plain.fit(items).words) == 7
    assert set(stripped.fit(items).words) == {"peru", "d.c", "...", "'s", "x"}
    ids, _ = transform(stripped, [["peru.", "Peru"]])
    assert ids[0, 0, 0] == ids[0, 1, 0] != UNKNOWN
    assert ids[0, 0, 5] == stripped.characters["."]
    assert ids[0, 1, 5] == 0
