"""Names from files and checkpoints: nothing that a terminal, a spreadsheet or Markdown acts on."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse import evaluate, export, predict
from seqfuse.runtime.shown import CONTROL, cell_text, visible
from tests.shipped import bare, python
from tests.trained import altered

Command = Callable[..., tuple[int, str, str]]
NAMES = ["\x1b]0;evil\x07\x1b[2J", '=HYPERLINK("http://a")', "![x](http://a)|<b>\u202eup\r"]
CPU = ["trainer=cpu", "trainer.num_threads=1"]


@pytest.fixture
def evil(classifier: Path, tmp_path: Path) -> Path:
    """A checkpoint whose classes have such names."""

    def change(content: dict[str, Any]) -> None:
        content["DataModule"]["pipeline"]["labels"]["classes"] = NAMES
        content["config"]["data"]["classes"] = NAMES
        content["config"]["data"]["name"] = NAMES[2]

    path = altered(classifier, tmp_path / "evil.ckpt", change)
    x = np.random.default_rng(1).normal(size=(40, 10, 3)).astype(np.float32)
    ids = np.array([*["=1+1", "-2", "@a", "+b", "-", "7"], *map(str, range(34))])
    np.savez(tmp_path / "new.npz", x=x, id=ids)
    return path


def check(path: Path) -> list[list[str]]:
    text = path.read_text()
    assert not CONTROL.search(text)
    rows = list(csv.reader(text.splitlines()))
    assert [row[0] for row in rows[1:7]] == ["'=1+1", "-2", "'@a", "'+b", "-", "7"]
    assert {row[1] for row in rows[1:]} <= {visible(NAMES[0]), f"'{NAMES[1]}", visible(NAMES[2])}
    assert rows[0][2:] == [*(visible(f"p_{name}") for name in NAMES), "unfamiliar"]
    return rows


@pytest.mark.long
def test_predictions_and_the_exported_folder(evil: Path, tmp_path: Path, command: Command) -> None:
    words = [f"ckpt={evil}", f"input={tmp_path}/new.npz", *CPU]
    code, out, err = command(predict.main, *words, "output=out.csv")
    assert code == 0, err
    rows = check(tmp_path / "out.csv")
    code, _, err = command(predict.main, *words, "output=out.parquet")
    assert code == 0, err
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert set(table["prediction"]) <= set(NAMES), "there they are as they were"
    assert table["id"][0] == "=1+1"
    code, out, err = command(export.main, f"ckpt={evil}", "output=shipped", "split=none", *CPU)
    assert code == 0, err
    assert not CONTROL.search(out + err)
    card = (tmp_path / "shipped" / "card.md").read_text()
    assert not CONTROL.search(card)
    assert not re.search(r"(?<!\\)\]\(", card)
    assert not re.search(r"(?<!\\)<b>", card)
    site = bare(tmp_path / "site")
    done = python(site, tmp_path / "shipped", "run.py", str(tmp_path / "new.npz"), "../run.csv")
    assert done.returncode == 0, done.stderr
    for ours, theirs in zip(rows, check(tmp_path / "run.csv"), strict=True):
        assert ours[:2] == theirs[:2]


def test_lines_for_people(evil: Path, tmp_path: Path, command: Command) -> None:
    x = np.zeros((3, 10, 3), dtype=np.float32)
    np.savez(tmp_path / "other.npz", x=x, y=np.array(["\x1b[31mred", "b", "c"]))
    file = f"data.train={tmp_path}/other.npz"
    for words in ([f"ckpt={evil}", file, f"data.test={tmp_path}/other.npz"], ["ckpt=\x1b[2J"]):
        code, out, err = command(evaluate.main, *words, *CPU)
        assert (code, err.count("\n")) == (1, 1), err
        assert not CONTROL.search(out + err)
        assert r"\x1b[" in err


def test_python_gets_the_names_themselves(evil: Path) -> None:
    assert seqfuse.load(evil).classes == NAMES  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["-1", "+5", "-1e-5", "-", "@", "a=b", "", " a", "-inf", "3-4"])
def test_texts_that_stay(text: str) -> None:
    assert cell_text(text) == text


@pytest.mark.parametrize("text", ["=a", "-a", "+a+1", "@SUM(1)", " =a", "\t=a", "\n=a", "\uff1da"])
def test_texts_that_are_no_formula_any_more(text: str) -> None:
    assert cell_text(text) == f"'{text}"


def test_everything_printed_is_visible() -> None:
    """The one function that prints is in `seqfuse.runtime.shown`."""
    for path in Path(seqfuse.__file__).parent.rglob("*.py"):
        prints = re.findall(r"(?<![\w.])print\(", path.read_text())
        assert len(prints) == (path.name == "shown.py"), path
