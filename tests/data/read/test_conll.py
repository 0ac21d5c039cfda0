"""Tagged sentences: formats, comments, and what is said of each mistake."""

import json
from pathlib import Path

import pytest

from seqfuse.data.read.text import Conll
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import Classes
from seqfuse.runtime.pipelines.text import texts
from seqfuse.runtime.read.labelled import read_sentences
from seqfuse.runtime.read.sentences import sentences

CONLLU = (
    "# sent_id = 1\n# text = I didn't\n1\tI\ti\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n"
    "2-3\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_\n2\tdid\tdo\tAUX\tVBD\t_\t0\troot\t_\t_\n"
    "3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_\n3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_\n\n"
)


def read(path: Path, content: str) -> list:
    path.write_text(content)
    return list(sentences(path))


def test_conllu(tmp_path: Path) -> None:
    [one] = read(tmp_path / "a.conllu", CONLLU)
    assert one.lines == [3, 5, 6]
    assert one.words == ["I", "did", "n't"]
    assert one.tags == ["PRON", "AUX", "PART"]


def test_two_columns_and_comments(tmp_path: Path) -> None:
    content = "# weblog-juan_2005-0001\nAl\tPROPN\n#\tSYM\n#tag\tX\n \t \n# sent_id\nHi\tINTJ"
    one, two = read(tmp_path / "a.tsv", content)
    assert one.words == ["Al", "#", "#tag"]
    assert one.tags == ["PROPN", "SYM", "X"]
    assert two == ([7], ["Hi"], ["INTJ"])


def test_lines_between_documents(tmp_path: Path) -> None:
    """CoNLL-2003."""
    start = "-DOCSTART- -X- -X- O\n\n"
    one, two = read(tmp_path / "a.conll", f"{start}Al NNP B-NP B-PER\n\n{start}Hi UH B-INTJ O\n")
    assert one == ([3], ["Al"], ["B-PER"])
    assert two == ([7], ["Hi"], ["O"])
    for name, fix in (("a.csv", "a tab between them"), ("a.parquet", "read_parquet.*to_csv")):
        with pytest.raises(InputError, match=f"{name}: the ending must be one of.*{fix}"):
            read(tmp_path / name, "word,tag\n")


def test_words_alone(tmp_path: Path) -> None:
    [one] = read(tmp_path / "a.txt", "Al\nZaman\n\n\n")
    assert one == ([1, 2], ["Al", "Zaman"], ["", ""])


def test_hashtags_are_words(tmp_path: Path) -> None:
    alone = read(tmp_path / "a.txt", "#red\nfire\n\n#cold\n\n# said\nsun\n")
    assert [one.words for one in alone] == [["#red", "fire"], ["#cold"], ["sun"]]
    [tagged] = read(tmp_path / "b.txt", "#NASA B-org\nflies  O\n")
    assert tagged == ([1, 2], ["#NASA", "flies"], ["B-org", "O"])


def test_unseen_tags_are_told_by_their_line(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["O", "X"]}] * 2
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.conllu").write_text(CONLLU.replace("ADVMOD", "advmod"))
    labels = Classes().fit(texts([["a", "b", "c"]], labels=[["O", "PRON", "AUX"]]))
    for name, line in (("a.jsonl", 1), ("a.conllu", 6)):
        items = Conll(name, name, root=str(tmp_path))("train")
        with pytest.raises(InputError, match=f"^line {line} has label"):
            labels.encode(items)


def test_json_lines(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["O", "B-x"]}, {"tokens": ["c"]}]
    found = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert found == [([1, 1], ["a", "b"], ["O", "B-x"]), ([2], ["c"], [""])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "Al\tO\nof\tI-loc\n", r"line 2: 'I-loc' begins inside .behind 'O'.: .*B-loc"),
        ("a.tsv", "Al\tB-x\nof\tI-y\n", "line 2: 'I-y' begins inside .behind 'B-x'."),
        ("a.txt", "Al O\nof the O\n", "a.txt, line 2 has 3 columns, the lines before 2"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [null]}', "line 1: the word 'a' has no tag"),
        ("a.jsonl", '{"tokens": ["a"], "tags": 5}', "line 1: 'tags' must be a list"),
        ("a.jsonl", '{"tokens": ["a"], "tags": []}', "line 1: the word 'a' has no tag"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Conll(name, name, root=str(tmp_path))("train")
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_real_sizes(data_root: Path) -> None:
    known = {
        "ud_english_ewt/train.tsv.gz": (12_544, 204_577),
        "ud_english_ewt/test.tsv.gz": (2_077, 25_094),
        "wnut17/train.conll.gz": (3_394, 62_730),
        "wnut17/dev.conll.gz": (1_009, 15_733),
        "snips/test.jsonl.gz": (700, 6_327),
    }
    for name, (number, words) in known.items():
        found = Conll(name, name, root=str(data_root))("test")
        assert (len(found), len(found.values)) == (number, words), name


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.txt", "the house fell\na house stands\n", "'the house fell' the first is read as"),
        ("a.tsv", "the house fell\tX\n", "'the house fell' is read as one word"),
        ("a.jsonl", '{"tokens": ["the house fell"]}', "'the house fell' is read as one word"),
        ("a.txt", "the\nhouse\n\nfell\n", None),
        ("a.tsv", "the\tDET\nhouse\tNOUN\n", None),
        ("a.jsonl", '{"tokens": ["the", "house"]}', None),
    ],
)
def test_a_sentence_on_a_line_is_said(
    tmp_path: Path, name: str, content: str, part: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    list(read_sentences(tmp_path / name))
    said = capsys.readouterr().err
    assert (part in said and "tokens" in said and "line 1" in said) if part else not said
    list(read_sentences(tmp_path / name, labelled=False, size=1))
