"""Wrong texts and tagged sentences, to train on."""

import pytest

from seqfuse.train import main
from tests.bad_inputs.catalogue import Row, rows
from tests.bad_inputs.conftest import BRIEF, Judge
from tests.bad_inputs.makers import gz, tags, texts

TEXTS = ("data=text", "data.train=a.csv", "data.test=b.csv", *BRIEF)
GOOD = {"a.csv": texts(), "b.csv": texts()}


def lines(name: str, *more: str) -> dict:
    return {**GOOD, name: texts() + "".join(f"{line}\n" for line in more)}


@pytest.mark.long
@rows(
    Row("data.train=null", "data.train is empty"),
    Row("data.test=null data.test_folds=1", "data.test_folds=1", GOOD),
    Row("data.test=null data.test_folds=50", ["a.csv", "test split", "data.test"], GOOD),
    Row("data.train=c.csv", "c.csv is not there", GOOD),
    Row("data.train=c.txt", ["c.txt", "ending"], {**GOOD, "c.txt": texts()}),
    Row("data.train=5", "data.train=5", GOOD),
    Row("data.val=c.csv", "c.csv is not there", GOOD),
    Row("", "a.csv is empty", {**GOOD, "a.csv": ""}),
    Row("", "a.csv", {**GOOD, "a.csv": "text,label\n"}),
    Row("", ["a.csv, line 42", "3 columns"], lines("a.csv", "one,two,up")),
    Row("", ["a.csv, line 42", "1 columns"], lines("a.csv", "one")),
    Row("", ["a.csv, line 42", "'text'", "empty"], lines("a.csv", ",up")),
    Row("", ["a.csv, line 42", "'label'", "empty"], lines("a.csv", "one,")),
    Row("", ["a.csv, line 42"], lines("a.csv", '"one,up')),
    Row("", ["a.csv, line 42", "UTF-8"], {**GOOD, "a.csv": texts().encode() + b"\xff\xfe,up\n"}),
    Row("data.text=words", ["a.csv", "'words'", "data.text", "text, label"], GOOD),
    Row("data.label=mood", ["a.csv", "'mood'", "data.label"], GOOD),
    Row("data.text=null", "data.text", GOOD),
    Row("", ["a.csv", "'up'"], {**GOOD, "a.csv": texts().replace(",down", ",up")}),
    Row("data.train=a.jsonl", ["a.jsonl, line 1"], {**GOOD, "a.jsonl": "{text: a}"}),
    Row(
        "data.train=a.jsonl",
        ["a.jsonl, line 2"],
        {**GOOD, "a.jsonl": '{"text": "a", "label": "b"}\n[1]\n'},
    ),
    Row("data.train=a.jsonl", ["a.jsonl, line 1"], {**GOOD, "a.jsonl": '{"a":' * 100_000}),
    Row("data.train=a.jsonl", ["a.jsonl, line 1", "text"], {**GOOD, "a.jsonl": '{"label": "b"}'}),
    Row("data.train=a.csv.gz", "a.csv.gz", {**GOOD, "a.csv.gz": gz(texts())[:50]}),
    Row("data.train=a.csv.gz", "a.csv.gz", {**GOOD, "a.csv.gz": texts()}),
    Row("data.vectors=v.txt", "v.txt is not there", GOOD),
    Row("data.vectors=v.txt", "v.txt", {**GOOD, "v.txt": ""}),
    Row("data.vectors=v.txt", ["v.txt", "line 2"], {**GOOD, "v.txt": "the 1 2\nday 1\n"}),
    Row("data.vectors=v.txt", ["v.txt", "line 1"], {**GOOD, "v.txt": "the x y\n"}),
    Row("data.vectors=v.txt", ["v.txt", "data.vectors"], {**GOOD, "v.txt": "the 1 2\nday 1 2\n"}),
    Row("data.vectors=v.txt", "v.txt", {**GOOD, "v.txt": "nobody 1 2\n"}),
    Row("data.subwords=syllables", "subwords=syllables", GOOD),
    Row("data.min_count=0", "min_count=0", GOOD),
    Row("data.max_length=-1", "max_length=-1", GOOD),
    Row("data.max_subwords=0", "max_subwords=0", GOOD),
    Row("data.ngrams=[5,3]", "ngrams=[5, 3]", GOOD),
    Row("data.ngrams=[3]", "ngrams", GOOD),
    Row("data.ngrams=3", "data.ngrams=3", GOOD),
    Row("data.buckets=0", "buckets=0", GOOD),
    Row("data.split=grouped", "data.split=grouped", GOOD),
    Row("model=base", "model", GOOD),
    Row("", ["b.csv, line 42", "'label'"], lines("b.csv", "one,"), begins=True),
    Row("", ["b.csv", "line 42", "sideways"], lines("b.csv", "one,sideways"), begins=True),
)
def test_texts(judge: Judge, row: Row) -> None:
    assert judge(row, main, *TEXTS) == ""


TAGS = ("data=conll", "data.train=a.tsv", "data.test=b.tsv", *BRIEF)
TAGGED = {"a.tsv": tags(), "b.tsv": tags()}
CONLLU = "1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_\n2\tcat\t_\tNOUN\t_\t_\t_\t_\t_\t_\n\n"


def tagged(more: str) -> dict:
    return {**TAGGED, "a.tsv": tags() + more}


@rows(
    Row("data.train=null", "data.train is empty"),
    Row("data.train=c.tsv", "c.tsv is not there", TAGGED),
    Row("data.test=null data.test_folds=31", ["a.tsv", "test split", "data.test"], TAGGED),
    Row("data.train=c.csv", ["c.csv", "ending"], {**TAGGED, "c.csv": tags()}),
    Row("", "a.tsv", {**TAGGED, "a.tsv": ""}),
    Row("", "a.tsv", {**TAGGED, "a.tsv": "\n\n\n"}),
    Row("", ["a.tsv, line 121", "'cat'", "no tag"], tagged("cat\n")),
    Row("", ["a.tsv, line 121", "3 columns"], tagged("cat\tNOUN\tNOUN\n")),
    Row("", ["a.tsv, line 121", "no word"], tagged("\tNOUN\n")),
    Row("", ["a.tsv, line 121", "'I-PER'", "B-PER"], tagged("cat\tI-PER\n")),
    Row("", ["a.tsv, line 121", "UTF-8"], {**TAGGED, "a.tsv": tags().encode() + b"\xff\tNOUN\n"}),
    Row(
        "data.train=a.conllu",
        ["a.conllu, line 4", "2 columns"],
        {**TAGGED, "a.conllu": CONLLU + "cat\tNOUN\n"},
    ),
    Row(
        "data.train=a.conllu",
        ["a.conllu, line 4", "'x'"],
        {**TAGGED, "a.conllu": CONLLU + CONLLU.replace("1", "x", 1)},
    ),
    Row(
        "data.train=a.conllu",
        ["a.conllu, line 1", "no tag"],
        {**TAGGED, "a.conllu": CONLLU.replace("DET", "_")},
    ),
    Row("data.train=a.jsonl", ["a.jsonl, line 1", "tokens"], {**TAGGED, "a.jsonl": '{"a": 1}'}),
    Row(
        "data.train=a.jsonl",
        ["a.jsonl, line 1", "tokens"],
        {**TAGGED, "a.jsonl": '{"tokens": "the cat", "tags": ["A", "B"]}'},
    ),
    Row(
        "data.train=a.jsonl",
        ["a.jsonl, line 1", "2 tokens", "1 tags"],
        {**TAGGED, "a.jsonl": '{"tokens": ["the", "cat"], "tags": ["A"]}'},
    ),
    Row(
        "data.train=a.jsonl",
        ["a.jsonl, line 1", "tags"],
        {**TAGGED, "a.jsonl": '{"tokens": ["the", "cat"], "tags": "AB"}'},
    ),
    Row("data.train=a.jsonl", ["a.jsonl, line 1"], {**TAGGED, "a.jsonl": "[" * 100_000}),
    Row("", ["a.tsv", "50,000"], tagged("the\tDET\n" * 50_000)),
    Row("data.split=stratified", "data.split=stratified", TAGGED),
    Row("task=entities", ["task=tagging", "BIO"], TAGGED),
    Row("model=text", "model", TAGGED),
    Row(
        "", ["b.tsv", "line 91", "XX"], {**TAGGED, "b.tsv": tags(22) + "\n\ncat\tXX\n"}, begins=True
    ),
)
def test_tags(judge: Judge, row: Row) -> None:
    words = [w for w in TAGS if not w.startswith(row.words.split("=")[0] + "=")]
    assert judge(row, main, *words) == ""
