"""A checkpoint is data: it runs no code, fetches nothing, and stays where the user is."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seqfuse
from seqfuse import evaluate, export, predict, train
from seqfuse.runtime.errors import InputError
from tests.conftest import assert_refused
from tests.security.conftest import Server, both, node_at
from tests.trained import altered

Command = Callable[..., tuple[int, str, str]]
COMMANDS = {
    "evaluate": (evaluate.main, []),
    "predict": (predict.main, ["split=test", "output=out.csv"]),
    "export": (export.main, ["output=shipped", "repeats=1"]),
}
CPU = ["trainer=cpu", "trainer.num_threads=1"]


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("place", ["nested", "top"])
def test_nothing_is_fetched(
    forecaster: Path, tmp_path: Path, command: Command, server: Server, name: str, place: str
) -> None:
    """What is fetched could be code, such as a usercustomize.py in the folder of packages."""
    site, text = tmp_path / "site", b"raise SystemExit('code ran')\n"
    source = {
        "url": f"{server.address}/usercustomize.py",
        "root": str(site),
        "file": "usercustomize.py",
        "sha256": hashlib.sha256(text).hexdigest(),
    }

    def change(content: dict[str, Any]) -> None:
        node = content["recipe"]["data"]
        node = node if place == "top" else node["module"]["splits"]["source"]
        node.update(source)

    main, words = COMMANDS[name]
    path = altered(forecaster, tmp_path / "evil.ckpt", change)
    code, _, err = command(main, f"ckpt={path}", *words, *CPU, f"data.root={site}")
    assert (code, err.count("\n")) == (1, 1), err
    assert server.asked == []
    assert not site.exists()
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "shipped").exists()


@pytest.mark.long
def test_nothing_is_said_by_position(
    forecaster: Path, tmp_path: Path, command: Command, server: Server
) -> None:
    """Rules go by the names of arguments."""
    file = "seqfuse.data.read.files.TableFile"
    args = ["a.csv", str(tmp_path / "site"), f"{server.address}/a", "0" * 64]

    def change(config: dict[str, Any]) -> None:
        config["data"]["module"]["splits"]["source"] = {"_target_": file, "_args_": args}

    path = altered(forecaster, tmp_path / "evil.ckpt", both(change))
    code, _, err = command(evaluate.main, f"ckpt={path}", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert "_args_" in err
    assert server.asked == []
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("place", ["trainer", "data"])
def test_joined_references_make_no_function(
    forecaster: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    joined = "${data.aa}${data.bb}"

    def change(content: dict[str, Any]) -> None:
        content["recipe"]["data"].update(aa="$", bb="{oc.env:TOKEN}")
        if place == "trainer":
            content["config"]["trainer"]["precision"] = joined
        else:
            content["recipe"]["data"]["name"] = joined

    path = altered(forecaster, tmp_path / "evil.ckpt", change)
    code, out, err = command(evaluate.main, f"ckpt={path}", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert "secret" not in out + err


@pytest.mark.long
@pytest.mark.parametrize("name", ["../../outside", "a/b"])
def test_names_of_sets_are_words(
    classifier: Path, tmp_path: Path, command: Command, name: str
) -> None:
    node = {"_target_": "seqfuse.data.read.archive.Archive", "name": name, "root": "."}
    change = both(lambda config: config["data"]["module"]["splits"].update(dataset=node))
    path = altered(classifier, tmp_path / "evil.ckpt", change)
    code, _, err = command(evaluate.main, f"ckpt={path}", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"name={name}" in err


@pytest.mark.long
def test_a_label_is_no_interpolation(tmp_path: Path, command: Command) -> None:
    """Names of classes get into the config, which looks up, or calls, what stands in ${...}."""
    evil = "${oc.create:{_target_: pathlib.Path.touch, self: ran}}"
    x = np.random.default_rng(0).normal(size=(60, 10, 3)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x, y=np.array(["up", evil] * 30))
    words = ["data=arrays", "data.train=mine.npz", "trainer.max_epochs=1", *CPU]
    code, _, err = command(train.main, *words)
    assert (code, err.count("\n")) == (1, 1), err
    assert "oc.create" in err
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_a_set_of_the_archive_is_not_downloaded(
    classifier: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("it was downloaded")

    monkeypatch.setattr("aeon.datasets.load_classification", forbidden)
    node = {
        "_target_": "seqfuse.data.read.archive.Archive",
        "name": "FordA",
        "root": ".",
        "download": True,
    }
    change = both(lambda config: config["data"]["module"]["splits"].update(dataset=node))
    path = altered(classifier, tmp_path / "evil.ckpt", change)
    code, _, err = command(evaluate.main, f"ckpt={path}", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert "FordA" in err


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:TOKEN}",
        "x/${oc.env:TOKEN}",
        "${ oc.env : TOKEN}",
        "${oc.decode:TOKEN}",
        "${oc.create:{a: 1}}",
        "${now:%Y}",
        "${hydra:runtime.cwd}",
        "${${paths.data}:TOKEN}",
        "${data.${oc.env:TOKEN}}",
        r"\${oc.env:TOKEN}",
    ],
)
@pytest.mark.parametrize("where", ["data.name", "paths.data", "data.module.splits.source.url"])
def test_interpolations_are_references(
    forecaster: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    where: str,
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    keys, _, last = where.rpartition(".")
    path = altered(
        forecaster,
        tmp_path / "evil.ckpt",
        lambda content: node_at(content["recipe"], keys).update({last: text}),
    )
    code, out, err = command(evaluate.main, f"ckpt={path}", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert "secret" not in out + err
    if not where.endswith("url"):  # which is left out before anything else
        assert where in err


@pytest.mark.parametrize("key", ["root", "file"])
@pytest.mark.parametrize("name", COMMANDS)
def test_it_reads_where_the_user_is_or_says(
    forecaster: Path, tmp_path: Path, command: Command, name: str, key: str
) -> None:
    """Trained on a file elsewhere: that must be typed, and the line says how."""
    main, words = COMMANDS[name]
    here = {"root": "/etc", "file": "/etc/passwd"}[key]
    new = {"root": {"root": here, "file": "passwd"}, "file": {"file": here}}[key]
    path = altered(
        forecaster, tmp_path / "evil.ckpt", lambda one: one["recipe"]["data"].update(new)
    )
    code, _, err = command(main, f"ckpt={path}", *words, *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"type data.{key}={here}" in err


@pytest.mark.long
def test_it_reads_what_was_typed(forecaster: Path, command: Command) -> None:
    file = forecaster.parents[2] / "mine.csv"
    assert_refused(command(evaluate.main, f"ckpt={forecaster}", *CPU), f"type data.file={file}")
    code, out, err = command(evaluate.main, f"ckpt={forecaster}", f"data.file={file}", *CPU)
    assert code == 0, err
    assert "test/mse" in out
    near = os.path.relpath(file)  # ../..
    code, out, err = command(evaluate.main, f"ckpt={forecaster}", f"data.file={near}", *CPU)
    assert code == 0, err


@pytest.mark.parametrize("where", ["../evil", "/tmp/evil-cache", "~/evil"])
def test_it_writes_no_cache_elsewhere(
    classifier: Path, tmp_path: Path, command: Command, where: str
) -> None:
    clips = {
        "_target_": "seqfuse.data.read.clips.folder.ClipFolder",
        "folder": ".",
        "decoder": {"_target_": "seqfuse.data.read.clips.decoder.Decoder", "cache": where},
    }
    change = both(lambda config: config["data"]["module"]["splits"].update(dataset=clips))
    path = altered(classifier, tmp_path / "evil.ckpt", change)
    (tmp_path / "clip.mp4").touch()
    code, _, err = command(predict.main, f"ckpt={path}", "input=clip.mp4", "output=out.csv", *CPU)
    assert (code, err.count("\n")) == (1, 1), err
    assert f"cache={where}" in err


SEARCH = {
    "_target_": "seqfuse.search.study.Search",
    "address": "sqlite:///evil.db",
    "name": "a",
    "goal": None,
    "pruner": None,
    "num_trials": 1,
    "seed": 0,
}
TABLE = {"_target_": "seqfuse.callbacks.journal.CsvLogger", "save_dir": "evil"}
TRACE = {"_target_": "seqfuse.callbacks.trace.Trace", "folder": "evil"}
WRITER = {"_target_": "seqfuse.runtime.writer.Writer", "output": "evil.csv"}
ROWS = {"_target_": "seqfuse.runtime.read.table.rows.ArrayRows", "path": "evil.npy", "wanted": None}


@pytest.mark.parametrize(
    ("keys", "node"),
    [
        ("optimizer", SEARCH),
        ("optimizer", {"_target_": "seqfuse.nn.cnn.Cnn"}),
        ("optimizer.nested", SEARCH),
        ("scheduler", TABLE),
        ("scheduler", {"_target_": "torch.optim.Adam"}),
        ("model.cnn", SEARCH),
        ("model.cnn", ROWS),
        ("model.cnn", {"_target_": "seqfuse.nn.shapes.fraction"}),
        ("model.cnn.deep.deeper", TABLE),
        ("model.init", {"_target_": "seqfuse.runtime.files.write"}),
        ("task", TRACE),
        ("task", {"_target_": "seqfuse.tasks.losses.CrossEntropy"}),
        ("task.loss", WRITER),
        ("task.metrics.accuracy", SEARCH),
        ("task.metrics.accuracy", {"_target_": "torchmetrics.text.BERTScore"}),
        ("data.module", SEARCH),
        ("data.module", {"_target_": "seqfuse.data.read.files.TableFile", "file": "a"}),
        ("data.module.splits", TRACE),
        ("data.module.splits.dataset", WRITER),
        ("data.module.splits.pipeline", TABLE),
        ("callbacks.figures", TRACE),
        (
            "callbacks.figures",
            {"_target_": "seqfuse.resume.last.LastCheckpoint"},
        ),
        ("callbacks.figures", {"_target_": "lightning.pytorch.callbacks.ModelCheckpoint"}),
    ],
)
def test_each_slot_takes_its_own_kind(
    classifier: Path, tmp_path: Path, command: Command, keys: str, node: dict[str, Any]
) -> None:
    """Whatever else there is in seqfuse: one class opens databases, another unpickles."""
    before, _, last = keys.rpartition(".")

    def change(config: dict[str, Any]) -> None:
        for key in before.split(".") if before else ():
            config = config.setdefault(key, {})
        config[last] = node

    path = altered(classifier, tmp_path / "evil.ckpt", both(change))
    there = set(tmp_path.rglob("*"))
    if not keys.startswith("callbacks"):
        with pytest.raises(InputError, match="nothing was built"):
            seqfuse.load(path)
    code, _, err = command(
        evaluate.main, f"ckpt={path}", f"data.train={classifier.parents[2]}/mine.npz", *CPU
    )
    assert (code, err.count("\n")) == (1, 1), err
    assert node["_target_"] in err
    assert keys in err
    assert set(tmp_path.rglob("*")) <= {*there, tmp_path / "logs"}, "nothing was made"


@pytest.mark.parametrize("target", ["os.system", "torch.load", "hydra.utils.call", "shutil.rmtree"])
def test_only_code_of_one_s_own_is_said_to_be_trusted(
    classifier: Path, tmp_path: Path, target: str
) -> None:
    change = both(lambda config: config["model"]["cnn"].update(_target_=target))
    path = altered(classifier, tmp_path / "evil.ckpt", change)
    with pytest.raises(InputError, match="nothing was built") as error:
        seqfuse.load(path)
    assert "trust" not in str(error.value)


def weight(content: dict[str, Any], value: complex) -> None:
    name = next(name for name in content["state_dict"] if name.startswith("net."))
    tensor = content["state_dict"][name]
    tensor = tensor.to(torch.complex64) if isinstance(value, complex) else tensor
    content["state_dict"][name] = torch.full_like(tensor, value)


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: weight(content, float("nan")), "net."),
        (lambda content: weight(content, float("inf")), "net."),
        (lambda content: weight(content, 1j), "complex"),
        (lambda content: _scale(content, "mean", float("nan")), "mean"),
        (lambda content: _scale(content, "mean", 1j), "mean"),
        (lambda content: _scale(content, "std", 0.0), "std"),
        (lambda content: _scale(content, "std", float("inf")), "std"),
        (lambda content: _scale(content, "std", "1"), "std"),
    ],
)
def test_numbers_that_are_none(
    classifier: Path, tmp_path: Path, command: Command, change: Any, words: str
) -> None:
    """They would give a class, with empty probabilities, and exit code 0."""
    path = altered(classifier, tmp_path / "evil.ckpt", change)
    with pytest.raises(InputError, match=words):
        seqfuse.load(path)
    code, _, err = command(
        train.main, f"init_from={path}", "data=synthetic", "data.num_samples=80", *CPU
    )
    assert (code, err.count("\n")) == (1, 1), err
    assert words in err
    assert not list(Path("logs").glob("*/*/metrics.json"))


def _scale(content: dict[str, Any], name: str, value: Any) -> None:
    content["DataModule"]["pipeline"]["standardisation"][name] = [value] * 3
