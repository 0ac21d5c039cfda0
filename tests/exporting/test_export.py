"""Exported classifiers of series: the numbers of seqfuse-predict, and one line per mistake."""

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seqfuse
from seqfuse.export import main
from seqfuse.predict import main as predict
from seqfuse.runtime import runner
from seqfuse.runtime.bundle import read_metadata
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests import shipped
from tests.conftest import TINY, assert_refused, composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.num_threads=1")
X = np.random.default_rng(1).normal(size=(9, 15, 3)).astype(np.float32)
UNEQUAL = [one[: 3 + i] for i, one in enumerate(X)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(
        composed([*TINY, "data.scaling=channel", "data.missing=indicator", "data.channels=6"]),
        folder,
    )
    return folder


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.export(run, tmp_path_factory.mktemp("out") / "shipped", "int8=true", "bound=1")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return shipped.bare(tmp_path / "site")


@pytest.mark.long
def test_all_files_are_there_and_say_what_they_are(folder: Path, run: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    models = {"model.onnx", "model.int8.onnx"}
    package = "seqfuse_runtime"
    assert names == {*models, "pipeline.json", "example.npz", "card.md", "run.py", package}
    metadata = read_metadata(folder)
    assert metadata["pipeline"]["state"]["labels"]["classes"] == ["negative", "positive"]
    inner = {path.relative_to(folder).as_posix() for path in (folder / package).rglob("*.py")}
    assert set(metadata["files"]) == names - {"pipeline.json", "card.md", package} | inner
    card = (folder / "card.md").read_text()
    assert "- channels: 3\n- classes: negative, positive\n" in card
    assert f"onnxruntime {version('onnxruntime')}; batches of 1 and 64 items of " in card
    known = json.loads((run / "metrics.json").read_text())
    for number in (f"{known['test/accuracy']:.4f}", f"{known['test/macro_f1']:.4f}"):
        assert card.count(number) >= 3, "torch, ONNX fp32, and what the run had measured"
    assert "Standard normal noise" in card
    assert "Measured on the test split." in card
    assert "fine-tuned" not in card
    assert "Licence: not known: write it here." in card
    assert "| ONNX int8 |" in card
    assert "int8 has 0.3" in card


@pytest.mark.long
@pytest.mark.parametrize("x", [X, UNEQUAL], ids=["array", "list"])
def test_predictions_are_those_of_the_checkpoint(folder: Path, run: Path, x: list) -> None:
    model = runner.load(folder, threads=1)
    torch_model = seqfuse.load(run / "checkpoints" / "best.ckpt")
    wanted = torch_model.predict_proba(x)  # type: ignore[union-attr, call-arg]
    np.testing.assert_allclose(model.predict_proba(x), wanted, atol=1e-6)
    assert model.predict(x).tolist() == torch_model.predict(x).tolist()  # type: ignore[union-attr, arg-type]
    pairs = zip(model.attention(x), torch_model.attention(x), strict=True)  # type: ignore[union-attr]
    for found, weights in pairs:
        np.testing.assert_allclose(found, weights, atol=1e-6)


@pytest.mark.long
def test_missing_values_are_filled_as_in_training(folder: Path, run: Path) -> None:
    x = X.copy()
    x[::2, 3:6, 1] = np.nan
    wanted = seqfuse.load(run / "checkpoints" / "best.ckpt").predict_proba(x)  # type: ignore[union-attr]
    np.testing.assert_allclose(runner.load(folder).predict_proba(x), wanted, atol=1e-6)
    assert np.abs(wanted - runner.load(folder).predict_proba(X)).max() > 1e-5


def series_csv(path: Path) -> None:
    """A row for each step of each series."""
    rows = [
        [f"no {i}", *step] for i, one in enumerate(UNEQUAL) for step in one.astype(float).tolist()
    ]
    pd.DataFrame(rows, columns=["id", "a", "b", "c"]).to_csv(path, index=False)


@pytest.mark.long
def test_files_are_predicted_without_torch(
    folder: Path, run: Path, site: Path, tmp_path: Path, command: Callable
) -> None:
    series_csv(tmp_path / "in.csv")
    done = shipped.python(site, tmp_path, f"{folder}/run.py", "in.csv", "out.csv")
    assert (done.returncode, done.stdout) == (0, "9 rows  out.csv\n"), done.stderr
    x = np.full((9, 15, 3), np.nan, dtype=np.float32)
    for row, one in zip(x, UNEQUAL, strict=True):
        row[: len(one)] = one
    np.savez(tmp_path / "in.npz", x=x, id=[f"no {i}" for i in range(9)])
    ckpt = f"ckpt={run}/checkpoints/best.ckpt"
    assert command(predict, ckpt, "input=in.npz", "output=torch.csv", *QUIET)[0] == 0
    found, wanted = pd.read_csv("out.csv"), pd.read_csv("torch.csv")
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-5)
    code = (
        "import sys, numpy; sys.path.insert(0, sys.argv[1]); import run; "
        "model = run.load(sys.argv[1]); print(model.predict(numpy.load('in.npz')['x']).tolist()); "
        "bad = {'torch', 'lightning', 'hydra', 'seqfuse', 'pandas'} & set(sys.modules); "
        "print(sorted(bad))"
    )
    done = shipped.python(site, tmp_path, "-c", code, str(folder))
    said = done.stdout.splitlines()
    assert said == [str(wanted.prediction.tolist()), "[]"], done.stderr


def test_torch_is_really_absent(site: Path, tmp_path: Path) -> None:
    done = shipped.python(site, tmp_path, "-c", "import torch")
    assert "No module named 'torch'" in done.stderr


def test_int8_is_smaller_and_nearly_the_same(folder: Path) -> None:
    sizes = [(folder / name).stat().st_size for name in ("model.int8.onnx", "model.onnx")]
    assert sizes[0] < 0.5 * sizes[1]
    one, other = (runner.load(folder, int8=int8).predict_proba(X) for int8 in (True, False))
    assert 0 < np.abs(one - other).max() < 0.02


@pytest.mark.parametrize("name", ["model.onnx", "example.npz", "run.py", "pipeline.json"])
@pytest.mark.parametrize("damage", ["truncated", "changed", "missing"])
def test_a_damaged_folder_is_refused(folder: Path, tmp_path: Path, name: str, damage: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    content = bytearray((copy / name).read_bytes())
    if damage == "missing":
        (copy / name).unlink()
    else:
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content[:-20] if damage == "truncated" else content)
    with pytest.raises(InputError, match=name) as error:
        runner.load(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("words", [["in.csv"], ["--check", "--int8"]])
def test_wrong_words_get_the_usage(
    folder: Path, site: Path, tmp_path: Path, words: list[str]
) -> None:
    done = shipped.python(site, tmp_path, f"{folder}/run.py", *words)
    assert done.returncode
    assert "usage: python run.py" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_mistake_gets_one_line(run: Path, command: Callable, tmp_path: Path) -> None:
    words = (f"ckpt={run / 'checkpoints' / 'best.ckpt'}", "output=o")
    assert_refused(command(main, *words, "boud=1"), "boud: no such key, did you mean bound?")
    assert_refused(command(main, *words, "bound=nan"), "bound=nan must be at least 0")
    assert not [*tmp_path.iterdir()]
