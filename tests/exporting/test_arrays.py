"""Arrays mean the same to seqfuse-predict, seqfuse.load and an exported folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse.predict import main as predict
from seqfuse.runtime import runner
from seqfuse.runtime.read.labelled import read_arrays, read_sources
from seqfuse.train import train
from tests import shipped
from tests.conftest import composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
SIZE = 12


def series(items: int) -> tuple[np.ndarray, np.ndarray]:
    """(n c t) as wide as they are long; the class is which half of the channels is higher."""
    draw = np.random.default_rng(0)
    y = np.arange(items) % 2
    x = draw.normal(size=(items, SIZE, SIZE)) * 0.3
    x[y == 1, : SIZE // 2] += 1
    x[y == 0, SIZE // 2 :] += 1
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bct")
    x, y = series(80)
    np.savez(folder / "train.npz", x=x, y=y)
    words = ("data=arrays", f"data.train={folder}/train.npz", "data.layout=bct", "model=base")
    small = ("data.batch_size=16", "trainer.max_epochs=4", "callbacks.figures=null")
    train(composed([*words, *small, *QUIET]), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.export(run, tmp_path_factory.mktemp("out") / "shipped", "split=none")


@pytest.mark.long
def test_layout_and_lengths_travel(
    run: Path, folder: Path, command: Callable, tmp_path: Path
) -> None:
    x, y = series(6)
    lengths = np.array([12, 9, 4, 12, 7, 5])
    np.savez("in.npz", x=x, lengths=lengths)
    words = (f"ckpt={run}/checkpoints/best.ckpt", "input=in.npz", "output=p.csv", *QUIET)
    assert command(predict, *words)[0] == 0
    shipped_one = runner.load(folder)
    told, ran = pd.read_csv("p.csv"), pd.DataFrame(shipped_one.table("in.npz"))
    ran = ran.astype({"prediction": int})
    probabilities = told[["p_0", "p_1"]].to_numpy()
    np.testing.assert_allclose(ran[["p_0", "p_1"]], probabilities, atol=1e-5)
    assert ran.prediction.tolist() == told.prediction.tolist() == y.tolist()
    cut = [one[:, :n] for one, n in zip(x, lengths, strict=True)]
    for model in (shipped_one, seqfuse.load(run / "checkpoints" / "best.ckpt")):
        np.testing.assert_allclose(model.predict_proba(cut), probabilities, atol=1e-5)
        whole = model.predict_proba(x)[lengths == SIZE]
        np.testing.assert_allclose(whole, probabilities[lengths == SIZE], atol=1e-5)


@pytest.mark.long
def test_the_layout_is_said(run: Path, folder: Path) -> None:
    assert "`x` (series, channels, time)" in (folder / "card.md").read_text()
    model = seqfuse.load(run / "checkpoints" / "best.ckpt")
    with pytest.raises(ValueError, match=r"\(2, 3, 12\), read as \(series, channels, time\)"):
        model.predict(np.zeros((2, 3, 12)))


LENGTHS: dict[str, tuple[Any, str]] = {
    "too long": (np.array([3, 13]), "lengths says 13 for item 1, expected 1 to 12 steps"),
    "fractions": (np.ones(2), "lengths is float64 of shape"),
    "too few": (np.ones(1, dtype=int), r"lengths is int64 of shape \(1,\), expected a whole"),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_all_sides_check_lengths_alike(tmp_path: Path, name: str) -> None:
    from seqfuse.data.read.arrays import Arrays
    from seqfuse.data.read.source_arrays import SourceArrays

    lengths, message = LENGTHS[name]
    x, path = np.zeros((2, SIZE, 3)), tmp_path / "in.npz"
    np.savez(path, x=x, y=np.arange(2), lengths=lengths)
    np.savez(tmp_path / "s.npz", a_x=x, y=np.arange(2), a_lengths=lengths)
    ways: list[Callable[[], Any]] = [
        lambda: Arrays(str(path), str(path))("train"),
        lambda: list(read_arrays(path, size=2)),
        lambda: SourceArrays(str(tmp_path / "s.npz"))("train"),
        lambda: list(read_sources(tmp_path / "s.npz", ["a"])),
    ]
    for way in ways:
        with pytest.raises(ValueError, match=message):
            way()


def test_training_honours_lengths(tmp_path: Path) -> None:
    from seqfuse.data.read.arrays import Arrays

    x, lengths = np.ones((4, 5, 2)), np.array([5, 3, 1, 5])
    np.savez(tmp_path / "in.npz", x=x, y=np.arange(4), lengths=lengths)
    file = str(tmp_path / "in.npz")
    assert Arrays(file, file)("train").lengths.tolist() == lengths.tolist()


@pytest.mark.long
def test_a_folder_is_explained_by_occlusion(run: Path, folder: Path, command: Callable) -> None:
    x, _ = series(4)
    np.savez("in.npz", x=x, lengths=np.array([12, 9, 4, 7]))
    assert runner.main(["in.npz", "why.csv", "--explain", "target=1"], folder) == 0
    table, model = pd.read_csv("why.csv"), runner.load(folder)
    assert list(table) == ["row", "step", "channel", "attribution"]
    for job in (model, seqfuse.load(run / "checkpoints" / "best.ckpt")):
        wanted = job.explain("in.npz", "occlusion", target="1")
        assert [each.shape for each in wanted] == [(n, SIZE) for n in (12, 9, 4, 7)]
        for row, each in enumerate(wanted):
            mine = table[table.row == row].attribution.to_numpy()
            np.testing.assert_allclose(mine, each.ravel(), atol=1e-4)
    with pytest.raises(ValueError, match="method=occlusion"):
        model.explain("in.npz", "gradients")
    np.testing.assert_allclose([e.sum() for e in model.explain(x, "attention")], 1, atol=1e-5)


def test_what_is_explained_is_named_with_explain_alone(
    folder: Path, command: Callable, capsys: pytest.CaptureFixture
) -> None:
    np.savez("in.npz", x=series(2)[0])
    assert runner.main(["in.npz", "why.csv", "segment=2"], folder) == 1
    assert "--explain" in capsys.readouterr().err
    assert runner.main(["in.npz", "why.csv", "--explain", "target=left"], folder) == 1
    assert "target=left" in capsys.readouterr().err
    assert runner.main(["in.npz", "why.csv", "--explain", "method=gradients"], folder) == 1
    assert "method=gradients" in capsys.readouterr().err
    assert not Path("why.csv").exists()


def test_a_wrong_option_is_no_fault_of_the_folder(
    folder: Path, command: Callable, capsys: pytest.CaptureFixture
) -> None:
    np.savez("in.npz", x=series(2)[0])
    for word in ("level=2", "abstain=2", "threshold=0.5"):
        assert runner.main(["in.npz", "out.csv", word], folder) == 1
        assert capsys.readouterr().err.startswith(f"run.py: {word.partition('=')[0]}=")
