"""How a checkpoint is written and read, and which is refused."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.config_store import ConfigStore

import seqfuse
from seqfuse.config import checkpoint, cli
from seqfuse.evaluate import main as evaluate_main
from seqfuse.resume.whole import WholeFiles
from seqfuse.runtime.bundle import METADATA
from seqfuse.runtime.errors import InputError
from seqfuse.train import train
from tests.conftest import assert_refused, composed, full_disk
from tests.trained import altered


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of series with 7 to 29 steps and nine class names."""
    run = tmp_path_factory.mktemp("run")
    words = ["trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    train(composed([*words, "experiment=japanese_vowels", "test=false"]), run)
    return run / "checkpoints" / "best.ckpt"


@pytest.mark.long
def test_it_holds_plain_containers_alone(best: Path) -> None:
    content = torch.load(best, weights_only=True)
    config = content["config"]
    assert config["data"]["channels"] == 12
    assert config["model"]["head"]["num_classes"] == 9
    assert "${" not in str(config)
    assert content["recipe"]["model"]["in_channels"] == "${data.channels}"
    state = content["DataModule"]["pipeline"]
    assert state["labels"]["classes"] == [str(i) for i in range(1, 10)]
    assert "hyper_parameters" not in content


@pytest.mark.long
def test_predictions_do_not_depend_on_company(best: Path) -> None:
    predictor = seqfuse.load(best)
    generator = np.random.default_rng(0)
    x = [generator.normal(size=(n, 12)) for n in (5, 29, 1)]
    together = predictor.predict_proba(x)
    for one, row in zip(x, together, strict=True):
        np.testing.assert_allclose(predictor.predict_proba([one])[0], row, rtol=1e-4, atol=1e-6)
    assert set(predictor.predict(x)) <= set(predictor.classes)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    for one, weights in zip(x, predictor.attention(x), strict=True):
        assert weights.shape == (1, len(one))
        assert weights.sum() == pytest.approx(1, rel=1e-5)


def test_predict_names_both_readings(best: Path) -> None:
    predictor = seqfuse.load(best)
    message = (
        r"x has shape \(2, 12, 30\), read as \(series, time, channels\): .* 30 channels, .* 12"
    )
    with pytest.raises(InputError, match=message + ".*give x.transpose"):
        predictor.predict(np.zeros((2, 12, 30)))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.nn.functional.torch.hub.load",
        "torch.hub.load",
        "torch.load",
        "torch.nn.modules.module.torch.save",
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "torchmetrics.text.BERTScore",
        "seqfuse.config.cli.fail",
        "seqfuse.config.build.instantiate",
        "seqfuse.callbacks.provenance.subprocess.run",
        "torch_evil.Net",
        "${oc.env:HOME}",
    ],
)
@pytest.mark.parametrize("where", ["model", "data"])
def test_forbidden_targets_are_refused(
    best: Path, tmp_path: Path, target: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(content: dict[str, Any]) -> None:
        part = "head" if where == "model" else "module"
        content["config"][where][part]["_target_"] = target
        content["config"][where][part]["extra"] = [{"_target_": target}]

    imported = set(sys.modules)
    with pytest.raises(InputError, match="nothing was built"):
        seqfuse.load(altered(best, tmp_path / "evil.ckpt", change))
    assert "torch_evil" not in set(sys.modules) - imported


@pytest.mark.parametrize(
    ("where", "escape"),
    [("head", ""), ("optimizer", ""), ("recipe", ""), ("recipe", "\\"), ("key", "")],
)
def test_interpolations_cannot_smuggle_targets(
    best: Path, tmp_path: Path, command: Callable, where: str, escape: str
) -> None:
    touch = f"__import__('pathlib').Path('{tmp_path}/ran').touch()"
    evil = f'{escape}${{oc.create:{{_target_: sympy.sympify, a: "{touch}"}}}}'

    def change(content: dict[str, Any]) -> None:
        if where == "head":
            content["config"]["model"]["head"]["dropout"] = evil
        elif where == "optimizer":
            content["config"]["optimizer"]["lr"] = evil
        elif where == "key":
            content["config"]["optimizer"][evil] = 1
        else:
            content["recipe"]["data"]["module"]["num_workers"] = evil

    path = altered(best, tmp_path / "evil.ckpt", change)
    if where != "recipe":
        with pytest.raises(InputError, match="config holds .* nothing was built"):
            seqfuse.load(path)
    assert_refused(command(evaluate_main, f"ckpt={path}", "trainer=cpu"))
    assert not (tmp_path / "ran").exists()


def test_figures_of_a_checkpoint_are_checked_too(
    best: Path, tmp_path: Path, command: Callable
) -> None:
    evil = {"_target_": "shutil.copyfile", "src": str(best), "dst": str(tmp_path / "ran")}

    def change(content: dict[str, Any]) -> None:
        content["config"]["callbacks"]["figures"] = evil

    path = altered(best, tmp_path / "evil.ckpt", change)
    assert_refused(
        command(evaluate_main, f"ckpt={path}", "trainer=cpu"),
        "the checkpoint names shutil.copyfile",
    )
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_downloads_nothing(
    best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["recipe"]["data"]["url"] = "http://127.0.0.1:1/a.pth"

    path = altered(best, tmp_path / "evil.ckpt", change)
    monkeypatch.setattr("sys.argv", ["seqfuse-evaluate", f"ckpt={path}"])
    cli.offer_recipe()
    assert ConfigStore.instance().load("checkpoint/recipe.yaml").node.data.url is None


def test_a_forbidden_package_is_not_even_imported(best: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "yourlab.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('imported').touch()\n"
        "from seqfuse.nn.heads import ClassHead\n"
        "class Head(ClassHead):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def change(content: dict[str, Any]) -> None:
        content["config"]["model"]["head"]["_target_"] = "yourlab.Head"

    path = altered(best, tmp_path / "mine.ckpt", change)
    with pytest.raises(InputError, match=r"add trust=\[yourlab\]"):
        seqfuse.load(path)
    assert not (tmp_path / "imported").exists()
    assert type(seqfuse.load(path, trust=["yourlab"]).engine.model.net.head).__name__ == "Head"
    assert (tmp_path / "imported").exists()


class Evil:
    def __reduce__(self) -> tuple:
        return print, ("code ran",)


def test_a_pickle_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"config": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match="holds more than plain data and is not read"):
        seqfuse.load(tmp_path / "evil.ckpt")
    assert "code ran" not in capsys.readouterr().out


def test_an_exported_folder_is_told_from_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="best.ckpt"):
        checkpoint.read(tmp_path)
    (tmp_path / METADATA).write_text("{}")
    with pytest.raises(InputError, match="run.py"):
        checkpoint.read(tmp_path)


def test_nothing_else_is_read_with_code() -> None:
    """Every `torch.load` of the package says `weights_only=True`."""
    for path in Path(checkpoint.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            assert "torch.load(" not in line or "weights_only=True" in line, (path, line)


def test_other_data_than_it_was_trained_on(best: Path, command: Callable) -> None:
    words = (f"ckpt={best}", "data.name=GunPoint")
    assert_refused(command(evaluate_main, *words), "1 channels, the training data 12")


@pytest.mark.long
def test_evaluate_from_another_folder(best: Path, command: Callable) -> None:
    code, out, err = command(evaluate_main, f"ckpt={best}", "split=val", "trainer=cpu")
    assert code == 0, err
    assert "val/accuracy" in out
    assert "test/" not in out


@pytest.mark.long
def test_an_evaluation_on_a_full_disk_leaves_nothing(best: Path, command: Callable) -> None:
    words = [f"ckpt={best}", "trainer=cpu", "trainer.enable_progress_bar=false"]
    with full_disk(20):
        code, _, err = command(evaluate_main, *words, "callbacks.figures=null")
    assert (code, err.count("\n")) == (1, 1)
    assert "metrics.json (File too large)" in err
    assert not list(Path().iterdir())


def saved(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


@pytest.fixture
def last(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints" / "last.ckpt"


def test_the_one_before_is_kept(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2, 3):
        disk.save_checkpoint({"step": step}, last)
        disk.save_checkpoint({"step": step}, last.with_name("best.ckpt"))
    assert saved(last) == saved(last.with_name("best.ckpt")) == 3
    assert saved(last.with_name("previous.ckpt")) == 2
    assert len(list(last.parent.iterdir())) == 3


def test_a_broken_last_checkpoint_never_takes_the_place_of_a_whole_one(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2):
        disk.save_checkpoint({"step": step}, last)
    last.write_bytes(b"broken")
    disk = WholeFiles()  # of the resumed run
    disk.load_checkpoint(last.with_name("previous.ckpt"), weights_only=True)
    disk.save_checkpoint({"step": 3}, last)
    assert (saved(last), saved(last.with_name("previous.ckpt"))) == (3, 1)


def test_a_run_that_begins_anew_keeps_nothing_of_the_one_before(last: Path) -> None:
    disk = WholeFiles()
    for step in (1, 2):
        disk.save_checkpoint({"step": step}, last)
    WholeFiles().save_checkpoint({"step": 1}, last)
    assert saved(last) == 1
    assert not last.with_name("previous.ckpt").exists()


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_is_one_line(last: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    disk = WholeFiles()
    disk.save_checkpoint({"step": 1}, last)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(InputError) as error:
        disk.save_checkpoint({"step": 2}, last)
    assert str(error.value) == (
        f"cannot write {last} (No space left on device): what was saved before is still there; "
        f"make room, then type seqfuse-train resume={last.parents[1]}"
    )
    assert saved(last) == 1
