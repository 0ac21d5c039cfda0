"""Exported classifiers of series: the numbers of seqfuse-predict, and one line per mistake."""

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

import seqfuse
from seqfuse.config.mistakes import CONF
from seqfuse.export import main
from seqfuse.exporting.settings import check_settings
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


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[..., :2], "the series have 2 channels, the training data 3"),
        ([X[0], X[1, :, :1]], "series 1 has 1 channels, series 0 has 3"),
        (X.astype(str), "x holds <U32, expected numbers"),
        ([["a", "b"]], "series 0, step 0: 'a'"),
        ([], "there is nothing to predict"),
        (np.full_like(X, np.nan), "row 0 has no value at all"),
        (np.where(X > 2, np.inf, X), "has an infinite value at step"),
    ],
)
def test_wrong_arrays_are_named(folder: Path, x: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        runner.load(folder).predict(x)


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("id,a,b\n1,2,3\n", [], "in.csv: the series have 2 channels, the training data 3"),
        ("id,a,b,c\n1,2,x,3\n", [], "in.csv, line 2, column 'b': 'x' is no number"),
        ("id,a,b,c\n1,2,3\n", [], "in.csv, line 2 has 3 columns, the header 4"),
        ("id,a,b,c\n1,2,3,4\n2,2,3,4\n1,2,3,4\n", [], "line 4: series '1' goes on behind"),
        (
            "id,a,b,c\n1,2,3,4\n",
            ["in.csv", "out.txt"],
            "out.txt must end in one of: .csv, .csv.gz, .parquet, .jsonl",
        ),
        ("", ["nowhere.csv", "out.csv"], "nowhere.csv: there is no such file"),
        ("", ["in.csv"], "usage: python run.py"),
        ("", ["--check", "--int8"], "usage: python run.py"),
    ],
)
def test_wrong_files_get_one_line(
    folder: Path, site: Path, tmp_path: Path, content: str, words: list[str], message: str
) -> None:
    (tmp_path / "in.csv").write_text(content)
    words = words or ["in.csv", "out.csv"]
    done = shipped.python(site, tmp_path, f"{folder}/run.py", *words)
    assert done.returncode
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ckpt={ckpt}", "output=full"], "output=full is not empty: name a new folder"),
        (["ckpt={ckpt}", "output=o", "boud=1"], "boud: no such key, did you mean bound?"),
        (["ckpt=nowhere.ckpt", "output=o"], "ckpt=nowhere.ckpt: there is no such file"),
        (["ckpt=file", "output=o"], "file is truncated or no checkpoint"),
        (["output=o"], "ckpt is empty: type ckpt="),
        (["ckpt={ckpt}", "output=."], "output=. is the folder you are in"),
        (["ckpt={ckpt}", "output=o", "bound=nan"], "bound=nan must be at least 0"),
    ],
)
def test_a_mistake_gets_one_line(
    run: Path, command: Callable, tmp_path: Path, words: list[str], message: str
) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    Path("file").touch()
    given = [word.format(ckpt=run / "checkpoints" / "best.ckpt") for word in words]
    assert_refused(command(main, *given), message)
    assert {path.name for path in tmp_path.iterdir()} == {"full", "file"}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"output": None}, "output is empty: type output=<a new folder>"),
        ({"output": "file"}, "output=file is a file"),
        ({"opset": 99}, "opset=99 must be from 14 to 20"),
        ({"opset": 7}, "opset=7 must be from 14 to 20"),
        ({"int8": "maybe"}, "int8=maybe must be one of: null, true, finetune"),
        ({"split": "train"}, "split=train must be one of: test, val, none"),
        ({"int8": True, "split": "none"}, "int8=True is judged by a metric"),
        ({"bound": -0.1}, "bound=-0.1 must be at least 0"),
        ({"finetune": {"epochs": 0}}, "finetune.epochs=0 must be at least 1"),
    ],
)
def test_knobs_are_checked_first(
    knobs: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    config = OmegaConf.merge(OmegaConf.load(CONF / "export.yaml"), {"output": "new"}, knobs)
    with pytest.raises(InputError, match=message):
        check_settings(config)
