"""`seqfuse new`: the project it makes works, and later changes of the template are merged."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from seqfuse import __main__, new, sample, train
from tests.conftest import assert_refused

FAST = ("debug=fast", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false")
Command = Callable[..., tuple[int, str, str]]


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    line = ["git", *settings, *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "commit", "-qam", "mine")


@pytest.fixture
def project(command: Command) -> Path:
    code, out, err = command(__main__.main, "new", "birdlab")
    assert code == 0, err
    assert "note" not in out
    return Path("birdlab").resolve()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A template that may be changed."""
    monkeypatch.setattr(new, "TEMPLATE", tmp_path / "template")
    return Path(shutil.copytree(Path(new.__file__).parent / "template", tmp_path / "template"))


def test_a_project_has_its_name_everywhere(project: Path) -> None:
    tracked = git(project, "ls-files").splitlines()
    assert {"birdlab/data.py", "conf/sweep/widths.yaml", ".github/workflows/ci.yml"} <= {*tracked}
    assert not any("mylab" in (project / name).read_text() + name for name in tracked)
    for name in tracked:
        if name.endswith(".yaml"):
            assert yaml.safe_load((project / name).read_text())
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.long
def test_a_project_trains(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command(__main__.main, "new", "trainlab")  # a name of its own, as it is imported
    monkeypatch.chdir("trainlab")
    monkeypatch.syspath_prepend(Path.cwd())
    sample.write(sample.MAKERS["series"][0](np.random.default_rng(0)), Path("data"))
    words = ["--config-dir", "conf", "trust=[trainlab]", "experiment=first", *FAST]
    code, out, err = command(train.main, *words)
    assert code == 0, err
    assert "test/accuracy" in out


@pytest.mark.slow
def test_make_works_in_a_project(project: Path) -> None:
    source = str(Path(new.__file__).parents[1])
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "PYTHONPATH": source}
    for words in (["train", "ARGS=trainer.max_steps=2 test=false"], ["test"]):
        done = subprocess.run(
            ["make", *words], cwd=project, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert list((project / "logs").glob("first/*/config.yaml"))


@pytest.mark.parametrize(
    ("name", "said"), [("My-Lab", "small letters"), ("class", "class"), ("torch", "torch")]
)
def test_a_name_that_cannot_be(command: Command, name: str, said: str) -> None:
    code, out, err = command(__main__.main, "new", name)
    assert (code, out) == (1, "")
    assert said in err
    assert not Path(name).exists()


def test_nothing_is_written_over(command: Command, project: Path) -> None:
    assert_refused(command(__main__.main, "new", "birdlab"), str(project))
    assert command(__main__.main, "new", "fishlab", "birdlab")[0] == 1
    assert git(project, "status", "--porcelain") == ""


def test_within_another_repository_none_is_begun(command: Command, project: Path) -> None:
    code, out, _ = command(__main__.main, "new", "fishlab", "birdlab/fishlab")
    assert code == 0
    assert str(project) in out
    assert (project / "fishlab" / "Makefile").exists()
    assert not (project / "fishlab" / ".git").exists()


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (None, "seqfuse"),
        ({"url": "file:///shelf/my%20lab/a$b", "dir_info": {}}, '"/shelf/my lab/a$$b"'),
        ({"url": "file:///s", "dir_info": {"editable": True}}, '--editable "/s"'),
        (
            {"url": "https://host/s", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            '"seqfuse @ git+https://host/s@abc"',
        ),
        ({"url": "https://host/s.whl", "archive_info": {}}, '"seqfuse @ https://host/s.whl"'),
    ],
)
def test_a_project_installs_what_made_it(
    record: dict | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return json.dumps(record) if record else None

    monkeypatch.setattr(new, "distribution", lambda name: Installed())
    assert new.source() == wanted
    assert f"SEQFUSE ?= {wanted}\n" in new.rendered("birdlab")["Makefile"]


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_later_changes_are_merged(command: Command, project: Path, later: Path) -> None:
    change(project / "birdlab/parts.py", "relu()", "tanh()")
    commit(project)
    change(later / "mylab/parts.py", '"""Parts of a net', '"""Own parts of a net')
    (later / "mylab/losses.py").write_text('"""Losses of mylab."""\n')
    (later / "conf/sweep/widths.yaml").unlink()
    code, out, err = command(__main__.main, "new", "--update", "birdlab")
    assert code == 0, err
    assert "birdlab/losses.py" in out
    text = (project / "birdlab/parts.py").read_text()
    assert "tanh()" in text
    assert "Own parts" in text
    assert (project / "birdlab/losses.py").read_text() == '"""Losses of birdlab."""\n'
    assert not (project / "conf/sweep/widths.yaml").exists()
    commit(project)
    # Once more: what was merged is not merged again, and what is new still is.
    code, out, _ = command(__main__.main, "new", "--update", "birdlab")
    assert (code, out.split()[:2]) == (0, ["up", "to"])
    change(later / "Makefile", "python3", "python3.12")
    code, out, err = command(__main__.main, "new", "--update", "birdlab")
    assert code == 0, err
    assert "Makefile" in out
    assert git(project, "diff", "--cached", "--name-only") == "Makefile"


def test_what_both_changed_is_named(command: Command, project: Path, later: Path) -> None:
    change(project / "conf/experiment/first.yaml", "3e-3", "1e-2")
    commit(project)
    change(later / "conf/experiment/first.yaml", "3e-3", "1e-3")
    assert_refused(
        command(__main__.main, "new", "--update", "birdlab"), "conf/experiment/first.yaml"
    )
    text = (project / "conf/experiment/first.yaml").read_text()
    assert "<<<<<<<" in text
    git(project, "merge", "--abort")
    assert git(project, "worktree", "list").count("\n") == 0


def test_an_update_that_cannot_be(command: Command, project: Path, later: Path) -> None:
    change(project / "README.md", "birdlab", "Birds")
    _, _, err = command(__main__.main, "new", "--update", "birdlab")
    assert "commit" in err
    commit(project)
    _, _, err = command(__main__.main, "new", "--update", "birdlab/conf")
    assert str(project) in err
    git(project, "checkout", "-q", "--orphan", "other")
    commit(project)
    _, _, err = command(__main__.main, "new", "--update", "birdlab")
    assert "seqfuse new" in err
    _, _, err = command(__main__.main, "new", "--update", "nowhere")
    assert "nowhere" in err
    Path("plain").mkdir()
    _, _, err = command(__main__.main, "new", "--update", "plain")
    assert err.count("\n") == 1
    assert "git" in err
