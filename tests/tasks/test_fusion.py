"""Several devices, from the files to predictions: trained, measured, done without, mistaken."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import seqfuse
from seqfuse.config import build, recipes
from seqfuse.data.items import Items
from seqfuse.data.loader import Sliceable
from seqfuse.evaluate import main as evaluate
from seqfuse.predict import main as predict
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.pipelines.sources import clocked
from seqfuse.train import train
from tests.conftest import QUIET, assert_refused, composed
from tests.devices import OPTIONS, both, phone, watch, write
from tests.trained import assert_same, weights

SOURCES = {
    "early": ("data=har_fusion", "data.rate=[10.0,20.0]", "model.stem.source_dropout=0.5"),
    "late": (
        *("data=har_fusion", "model/stem=late_fusion", "model/cnn=none", "model/lstm=none"),
        *("model.stem.blocks.default.lstm.hidden_size=4", "model/attention=steps"),
    ),
    "joined": ("data=har_steps", "model/head=crf"),
}


def options(kind: str) -> list[str]:
    words = [*OPTIONS, *SOURCES[kind]]
    return [w for w in words if kind != "late" or not w.startswith(("model.cnn", "model.lstm"))]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"))


KINDS = [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "late")) for kind in SOURCES]


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, root: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    train(composed([*options(request.param), f"data.root={root}"]), folder)
    return folder


@pytest.mark.long
def test_predictions_are_those_of_the_test_step(run: Path, root: Path, command: Callable) -> None:
    ckpt, data = run / "checkpoints" / "best.ckpt", f"data.root={root}"
    code, _, err = command(predict, f"ckpt={ckpt}", "split=test", data, "output=t.csv", *QUIET)
    assert code == 0, err
    found = pd.read_csv("t.csv")
    assert list(found) == ["id", "step", "t_ms", "prediction", "label", "probability"]
    assert len(found) == 36 + 36 + 37 + 37
    assert found.t_ms[0] == 701_030
    metrics = json.loads((run / "metrics.json").read_text())
    right = (found.prediction == found.label).mean()
    assert right == pytest.approx(metrics["test/accuracy"], abs=1e-6)
    assert {p.name for p in (run / "figures").iterdir()} == {
        "test_confusion_matrix.png",
        "test_steps.png",
    }


@pytest.mark.long
def test_a_file_gives_what_the_split_gave(run: Path, root: Path, command: Callable) -> None:
    ckpt, data = run / "checkpoints" / "best.ckpt", f"data.root={root}"
    np.savez("own.npz", **both())
    assert command(predict, f"ckpt={ckpt}", "split=test", data, "output=t.csv", *QUIET)[0] == 0
    code, _, err = command(predict, f"ckpt={ckpt}", "input=own.npz", "output=p.csv", *QUIET)
    assert code == 0, err
    split, every = pd.read_csv("t.csv"), pd.read_csv("p.csv")
    own = every[every.id.isin(["7-1", "7-2", "8-1", "8-2"])].reset_index(drop=True)
    assert own.id[0] == "7-1"
    assert (own[["step", "t_ms"]] == split[["step", "t_ms"]]).all(axis=None)
    np.testing.assert_allclose(own.probability, split.probability, rtol=1e-4)
    table = seqfuse.load(ckpt).table("own.npz")
    assert table["prediction"].tolist() == every.prediction.tolist()


@pytest.mark.long
@pytest.mark.parametrize("run", ["early", "late"], indirect=True)
@pytest.mark.parametrize("gone", ["phone", "watch"])
def test_a_source_may_be_missing_when_it_is_tested(
    run: Path, root: Path, command: Callable, gone: str
) -> None:
    ckpt, missing = run / "checkpoints" / "best.ckpt", f"data.missing=[{gone}]"
    data = [missing, f"data.root={root}"]
    code, out, err = command(evaluate, f"ckpt={ckpt}", *data, *QUIET)
    assert code == 0, err
    measured = dict(line.split() for line in out.splitlines() if line.startswith("test/"))
    code, _, err = command(predict, f"ckpt={ckpt}", "split=test", *data, "output=t.csv", *QUIET)
    assert code == 0, err
    found = pd.read_csv("t.csv")
    right = (found.prediction == found.label).mean()
    assert right == pytest.approx(float(measured["test/accuracy"]), abs=1e-4)
    there = {"phone": watch(), "watch": phone()}[gone]
    np.savez("one.npz", **{name: rows for name, rows in there.items() if name != "label"})
    code, out, err = command(
        predict, f"ckpt={ckpt}", "input=one.npz", missing, "output=o.csv", *QUIET
    )
    assert code == 0, err
    assert pd.read_csv("o.csv").id.nunique() == 16


@pytest.mark.long
@pytest.mark.parametrize("kind", ["early", "joined"])
def test_garbage_in_the_test_split_changes_no_weight(root: Path, tmp_path: Path, kind: str) -> None:
    poisoned = {}
    for name, rows in (("phone", phone()), ("watch", watch())):
        tested = rows["subject"] >= 7
        rows["x"][tested] = np.inf
        rows["label"][tested] = 9
        poisoned[name] = rows
    folder, words = (
        write(tmp_path / "data", **poisoned),
        [*options(kind), "test=false", "callbacks.figures=null"],
    )
    train(composed([*words, f"data.root={root}"]), tmp_path / "clean")
    train(composed([*words, f"data.root={folder}"]), tmp_path / "poisoned")
    assert_same(weights(tmp_path / "clean"), weights(tmp_path / "poisoned"))
    with pytest.raises(InputError, match=r"phone.npz: x has an infinite value at row .*channel 0"):
        train(composed([*options(kind), f"data.root={folder}"]), tmp_path / "tested")


@pytest.mark.long
def test_a_label_that_training_never_saw(tmp_path: Path) -> None:
    one = phone()
    one["label"][one["subject"] == 7] = 2
    folder = write(tmp_path / "data", phone=one)
    (folder / "labels.txt").write_text("REST\nMOVE\nJUMP")
    with pytest.raises(InputError, match="7-1, step 0 has label 'JUMP', which training never"):
        train(composed([*options("joined"), f"data.root={folder}"]), tmp_path / "run")


def wrong(kind: str) -> dict[str, np.ndarray]:
    one, two = phone(), watch()
    if kind == "lacks":
        two = {name: rows[two["subject"] != 3] for name, rows in two.items()}
    elif kind == "lengths":
        two["t_ms"] = two["t_ms"][:-2]
    return both(phone=one, watch=two)


@pytest.mark.long
@pytest.mark.parametrize("run", ["early"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("lacks", [], "own.npz: 'watch' has no recording 3-1, which 'phone' has from row 252"),
        ("lengths", [], "own.npz: watch_t_ms has shape (2190,), but watch_x has 2192 rows"),
        ("", ["data.missing=[foot]"], "data.missing names 'foot', which is not in data.sources"),
    ],
)
def test_a_mistake_gets_one_line(
    run: Path, command: Callable, kind: str, words: list[str], message: str
) -> None:
    np.savez("own.npz", **wrong(kind))
    ckpt = run / "checkpoints" / "best.ckpt"
    assert_refused(
        command(predict, f"ckpt={ckpt}", "input=own.npz", "output=p.csv", *QUIET, *words), message
    )
    assert not Path("p.csv").exists()


def test_a_rank_without_items_gets_none_of_each_source(root: Path) -> None:
    data = build.build_data(recipes.resolve(composed([*options("early"), f"data.root={root}"])))
    data.setup("fit")
    items = data.tensors("train")
    assert isinstance(items, Items)
    none = Sliceable(items).__getitems__([])
    assert {name: len(x) for name, x in none.x.items()} == {"clock": 0, "phone": 0, "watch": 0}
    batch = items.__getitems__([3, 0])
    assert [*batch.mask] == ["clock", "phone", "watch"]
    assert batch.mask["watch"].sum(dim=1).tolist() == [62, 60]
    assert batch.mask["phone"].sum(dim=1).tolist() == [31, 30]
    assert torch.equal(batch.mask["clock"], batch.y >= 0)


def test_sources_of_other_numbers_do_not_fit() -> None:
    parts = {name: series(np.ones((n, 2, 1))) for name, n in (("a", 3), ("b", 2))}
    with pytest.raises(InputError, match="3 items but 2 of 'b'"):
        clocked(np.array([2, 2, 2]), parts)
