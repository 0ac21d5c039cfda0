"""`seqfuse <command>`: hands over, lists, looks at the machine."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seqfuse import __main__, doctor, sample
from seqfuse import list as listing
from seqfuse.config import build
from seqfuse.config.checks.groups import CONF
from tests.conftest import TINY, assert_refused, composed

QUIET = ("trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
Command = Callable[..., tuple[int, str, str]]


def typed(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seqfuse", *words], capture_output=True, text=True, timeout=120
    )


def test_alone_it_says_what_there_is(command: Command) -> None:
    for words in ([], ["--help"], ["-h"], ["help"]):
        code, out, _ = command(__main__.main, *words)
        assert code == 0
        assert all(name in out for name in __main__.COMMANDS)


@pytest.mark.parametrize(("word", "named"), [("trian", "train"), ("x", "doctor")])
def test_an_unknown_command_is_named(command: Command, word: str, named: str) -> None:
    code, out, err = command(__main__.main, word)
    assert (code, out) == (2, "")
    assert word in err
    assert named in err
    assert err.count("\n") == 1


def test_a_reader_that_goes_ends_it() -> None:
    script = "from seqfuse.__main__ import main; main()"
    words = [sys.executable, "-c", script, "list", "experiments"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("name", __main__.COMMANDS)
def test_each_command_has_help(command: Command, name: str) -> None:
    code, out, _ = command(__main__.main, name, "--help")
    assert code == 0
    assert name in out


@pytest.mark.long
def test_a_mistake_is_that_of_the_command(command: Command) -> None:
    code, _, err = command(__main__.main, "train", "optimizer.lrr=1")
    assert code == 1
    assert "did you mean optimizer.lr?" in err
    done = typed("train", "optimizer.lrr=1")
    assert done.returncode == 1
    assert done.stderr == err


@pytest.mark.parametrize("word", [*listing.KINDS, "optimizer", "task/loss"])
def test_every_option_is_listed_with_a_line(command: Command, word: str) -> None:
    code, out, _ = command(__main__.main, "list", word)
    assert code == 0
    folder = CONF / listing.KINDS.get(word, word)
    names = {path.stem for path in folder.glob("*.yaml") if path.stem[0] != "_"}
    rows = [line.split(maxsplit=1) for line in out.splitlines() if re.match(r"  \S", line)]
    assert names <= {row[0] for row in rows}
    if word != "optimizer":
        assert all(len(row) > 1 for row in rows)


def test_parts_are_those_of_a_net(command: Command) -> None:
    _, out, _ = command(__main__.main, "list", "parts")
    groups = [line.removesuffix("=...") for line in out.splitlines() if line.endswith("=...")]
    assert groups == sorted(
        f"model/{path.name}" for path in (CONF / "model").iterdir() if path.is_dir()
    )
    assert "Bahdanau" in out, "a class says what it is"


def test_what_cannot_be_listed_is_named(command: Command) -> None:
    assert_refused(command(__main__.main, "list", "modles"), "modles", "models")


def test_the_doctor_looks_at_versions_devices_and_places(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sets" / "ett").mkdir(parents=True)
    monkeypatch.setenv("SEQFUSE_DATA", str(tmp_path / "sets"))
    code, out, _ = command(__main__.main, "doctor")
    assert code == 0
    for name in ("torch", "lightning", "threads", "gpu", "ett", str(tmp_path / "logs")):
        assert name in out
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    monkeypatch.setenv("SEQFUSE_DATA", "elsewhere")
    _, out, _ = command(__main__.main, "doctor")
    assert "pip install no-such-package" in out
    assert "elsewhere" in out


@pytest.mark.long
def test_the_latest_checkpoint_is_the_one_written_last(command: Command) -> None:
    code, out, err = command(__main__.main, "evaluate", "ckpt=latest")
    assert (code, out) == (1, "")
    assert "ckpt=latest" in err
    for seed in (0, 1):
        code, _, err = command(__main__.main, "train", *TINY, f"seed={seed}", "name='my run'")
        assert code == 0, err
    code, out, err = command(__main__.main, "evaluate", "ckpt=latest", *QUIET)
    assert code == 0, err
    last = max(Path("logs").glob("my run/*"))
    assert str(last) in err
    metrics = json.loads((last / "metrics.json").read_text())
    assert f"{metrics['test/accuracy']:.4f}" in out


@pytest.mark.parametrize("kind", sample.MAKERS)
def test_a_sample_is_made_and_its_command_fits(command: Command, kind: str) -> None:
    code, out, _ = command(__main__.main, "sample", kind)
    assert code == 0
    program, *words = out.splitlines()[-1].partition("next        ")[2].split()[1:]
    assert program == "train"
    build.rehearse(composed(words))
    for name in (word.partition("=")[2] for word in words if word.startswith("data.")):
        assert "." not in name or Path(name).exists()
    code, out, err = command(__main__.main, "sample", kind)
    assert (code, out) == (1, "")
    assert "is there already" in err


@pytest.mark.slow
@pytest.mark.parametrize("kind", sample.MAKERS)
def test_a_sample_is_trained_on(command: Command, kind: str) -> None:
    _, out, _ = command(__main__.main, "sample", kind)
    _, *words = out.splitlines()[-1].partition("next        ")[2].split()
    code, out, err = command(__main__.main, *words, *QUIET, "debug=fast")
    assert code == 0, err
    assert "test/" in out


def test_samples_are_the_same_each_time(tmp_path: Path) -> None:
    for maker, _ in sample.MAKERS.values():
        first, second = (maker(np.random.default_rng(0)) for _ in range(2))
        assert first == second


def test_a_kind_without_a_sample_is_named(command: Command) -> None:
    assert_refused(command(__main__.main, "sample", "tabel"), "tabel", "table")


def test_a_sample_in_a_folder_is_named_so(command: Command) -> None:
    code, out, _ = command(__main__.main, "sample", "texts", "my texts")
    assert code == 0
    assert "data.train=my texts/texts.csv data.test=my texts/texts_test.csv" in out
    assert Path("my texts/texts.csv").exists()
