"""seqfuse-explain: tables, figures, and the one line of a mistake."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seqfuse
from seqfuse.explain import main
from seqfuse.train import train
from tests.bad_inputs import makers
from tests.conftest import QUIET, composed

X = np.random.default_rng(0).normal(size=(6, 9, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    np.savez(folder / "a.npz", **makers.series(steps=9))
    words = ("data=arrays", f"data.train={folder}/a.npz", "model=base", "trainer.max_steps=2")
    train(composed([*QUIET, *words, "callbacks.figures=null"]), folder)
    return folder / "checkpoints/best.ckpt"


@pytest.fixture
def explain(command: Callable, ckpt: Path) -> Callable[..., tuple[int, str, str]]:
    root = f"paths.data={ckpt.parents[1]}"
    return lambda *words: command(main, f"ckpt={ckpt}", root, *QUIET, *words)


@pytest.mark.long
@pytest.mark.parametrize("method", ["gradients", "occlusion", "attention"])
def test_a_table_lines_and_figures(explain: Callable, ckpt: Path, method: str) -> None:
    lengths = np.array([9, 8, 7, 6, 5, 4])
    np.savez("new.npz", x=X, lengths=lengths, id=np.array(list("abcdef")))
    code, out, err = explain(
        "input=new.npz", "output=why", f"method={method}", "figures=2", "max_items=5"
    )
    assert code == 0, err
    assert sorted(p.name for p in Path("why").iterdir()) == [
        "attributions.csv", "figures", "items.csv"
    ]  # fmt: skip
    table, items = pd.read_csv("why/attributions.csv"), pd.read_csv("why/items.csv")
    channel = [] if method == "attention" else ["channel"]
    assert list(table) == ["id", "step", *channel, "attribution"]
    assert table.groupby("id").step.max().tolist() == [9, 8, 7, 6, 5]
    assert list(items.id) == list("abcde")
    wanted = seqfuse.load(ckpt).explain([x[:n] for x, n in zip(X, lengths, strict=True)], method)
    first = table[table.id == "b"].attribution.to_numpy()
    np.testing.assert_allclose(first, wanted[1].ravel(), atol=1e-4)
    sums = table.groupby("id").attribution.sum().to_numpy()
    np.testing.assert_allclose(items["sum"], sums, atol=1e-4)
    if method == "gradients":
        np.testing.assert_allclose(sums, items.score - items.baseline, atol=1e-3)
    assert (items.explained == seqfuse.load(ckpt).predict("new.npz")[:5]).all()
    pictures = sorted(Path("why/figures").iterdir())
    assert [p.name for p in pictures] == ["001_id_a.png", "002_id_b.png"]
    assert np.asarray(Image.open(pictures[0])).std() > 5
    assert out.splitlines()[-1] == f"5 items explained by {method}  why"
    assert out.startswith("id a: ")


@pytest.mark.long
def test_a_split_and_a_folder_of_files(explain: Callable) -> None:
    code, _, err = explain("split=test", "output=why", "figures=0", "method=occlusion", "segment=3")
    assert code == 0, err
    assert not Path("why/figures").exists()
    assert "row" in pd.read_csv("why/items.csv")
    Path("in").mkdir()
    np.savez("in/b.npz", x=X)
    np.savez("in/a.npz", x=X[:2])
    code, _, err = explain("input=in", "output=both", "figures=0")
    assert code == 0, err
    assert pd.read_csv("both/items.csv").file.tolist() == ["a.npz"] * 2 + ["b.npz"] * 6


@pytest.mark.long
def test_nothing_is_left_of_an_explanation_that_failed(explain: Callable) -> None:
    np.savez("new.npz", x=X[..., :1])
    code, _, err = explain("input=new.npz", "output=why")
    assert (code, len(err.splitlines())) == (1, 1)
    assert [path.name for path in Path().iterdir()] == ["new.npz"]
