"""Classes of series on the command line: the numbers of the test step, row by row."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.data.read.archive import bundled
from seqfuse.predict import main
from seqfuse.train import train
from tests.conftest import QUIET, assert_refused, composed

VOWELS = bundled() / "JapaneseVowels"
X = np.random.default_rng(0).normal(size=(50, 9, 12)).astype(np.float32)
NAMES = [f"p_{i}" for i in range(1, 10)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(
        composed(
            [*QUIET, "experiment=japanese_vowels", "trainer.max_epochs=3", "callbacks.figures=null"]
        ),
        folder,
    )
    return folder


@pytest.fixture
def predict(command: Callable, run: Path) -> Callable[..., tuple[int, str, str]]:
    ckpt = f"ckpt={run}/checkpoints/best.ckpt"
    return lambda *words: command(main, ckpt, *QUIET, *words)


@pytest.mark.long
def test_a_split_gives_the_numbers_of_the_test_step(predict: Callable, run: Path) -> None:
    code, out, err = predict("split=test", "output=test.csv")
    assert code == 0, err
    assert out == "370 rows  test.csv\n"
    assert [path.name for path in Path().iterdir()] == ["test.csv"]
    found = pd.read_csv("test.csv")
    assert list(found) == ["row", "prediction", "label", *NAMES, "unfamiliar"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert (found.prediction == found.label).mean() == pytest.approx(metrics["test/accuracy"])
    scores = torch.from_numpy(found[NAMES].to_numpy()).log()
    loss = torch.nn.functional.nll_loss(scores, torch.from_numpy(found.label.to_numpy() - 1))
    assert loss.item() == pytest.approx(metrics["test/loss"], rel=1e-5)


@pytest.mark.long
def test_validation_keeps_the_rows_of_the_file(predict: Callable) -> None:
    predict("split=val", "output=val.csv")
    predict(f"input={VOWELS}/JapaneseVowels_TRAIN.ts", "output=train.csv")
    val, every = pd.read_csv("val.csv"), pd.read_csv("train.csv")
    assert 0 < len(val) < len(every)
    same = every.iloc[val.row].reset_index(drop=True)
    np.testing.assert_allclose(same[NAMES], val[NAMES], rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".jsonl"])
def test_files_of_all_formats_agree(predict: Callable, run: Path, ending: str) -> None:
    np.savez("x.npz", x=X, y=np.zeros(3), id=[f"no {i}" for i in range(50)])
    assert predict("input=x.npz", f"output=a{ending}")[0] == 0
    readers = {".parquet": pd.read_parquet, ".jsonl": lambda p: pd.read_json(p, lines=True)}
    found = readers.get(ending, pd.read_csv)(f"a{ending}")
    assert list(found) == ["id", "prediction", *NAMES, "unfamiliar"]
    assert found.id.tolist() == [f"no {i}" for i in range(50)]
    wanted = seqfuse.load(run / "checkpoints" / "best.ckpt").predict_proba(X)
    np.testing.assert_allclose(found[NAMES], wanted, rtol=1e-4, atol=1e-6)
    assert found.prediction.astype(str).tolist() == [str(i) for i in 1 + wanted.argmax(axis=1)]


@pytest.mark.long
def test_a_folder_is_predicted_in_the_order_of_names(predict: Callable) -> None:
    Path("in").mkdir()
    for name in ("b", "a"):
        np.save(f"in/{name}.npy", X if name == "a" else X[:7])
    np.save("in/a_y.npy", np.zeros(50))  # labels, as for training
    Path("in/notes.txt").touch()
    code, _, err = predict("input=in", "output=in/out.csv")
    assert code == 0, err
    found = pd.read_csv("in/out.csv")
    assert found.file.tolist() == ["a.npy"] * 50 + ["b.npy"] * 7
    assert found.row.tolist() == [*range(50), *range(7)]
    assert predict("input=in", "output=in/out.csv")[0] == 1, "it is there already"
    code, _, err = predict("input=in", "output=in/out.csv", "overwrite=true")
    assert code == 0, err
    pd.testing.assert_frame_equal(pd.read_csv("in/out.csv"), found)
    Path("in/out.csv").unlink()
    np.savez("in/c.npz", x=X, id=np.arange(50))
    assert_refused(
        predict("input=in", "output=mixed.csv"), "c.npz gives the columns id, prediction"
    )
    assert not list(Path().glob("*mixed*"))


@pytest.mark.long
def test_files_share_batches_that_change_nothing(predict: Callable) -> None:
    lengths = (50, 3, 20, 1)
    Path("in").mkdir()
    for i, count in enumerate(lengths):
        np.save(f"in/{i}.npy", X[:count, : 9 - i])
        predict(f"input=in/{i}.npy", f"output={i}.csv")
    alone = pd.concat([pd.read_csv(f"{i}.csv") for i in range(len(lengths))])
    for size in ("auto", "1", "7"):
        code, _, err = predict("input=in", f"output=all{size}.csv", f"batch_size={size}")
        assert code == 0, err
        found = pd.read_csv(f"all{size}.csv")
        assert found.file.tolist() == np.repeat([f"{i}.npy" for i in range(4)], lengths).tolist()
        assert found.prediction.tolist() == alone.prediction.tolist()
        np.testing.assert_allclose(found[NAMES], alone[NAMES], rtol=1e-4, atol=1e-7)


def test_a_key_that_is_none_is_named(predict: Callable) -> None:
    assert_refused(predict("input=x.npz", "outptu=a.csv"), "did you mean output?")


def test_an_empty_command_says_what_is_missing(command: Callable, tmp_path: Path) -> None:
    assert_refused(command(main), "ckpt is empty: type ckpt=")
    assert tmp_path.is_dir(), "where the user stands is not taken for an empty run folder"
