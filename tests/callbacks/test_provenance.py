"""Where a run came from: the package that ran is known outside any repository, too."""

import shutil
from pathlib import Path

import pytest

from seqfuse.callbacks import provenance
from seqfuse.config.checks.groups import CONF, HERE


def test_the_hash_is_of_the_files_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = provenance.package_hash.__wrapped__  # of this moment, not of the process
    before = measured()
    assert len(before) == 64
    code, conf = tmp_path / "lib" / "seqfuse", tmp_path / "lib" / "seqfuse" / "conf"
    shutil.copytree(HERE, code, ignore=shutil.ignore_patterns("__pycache__", "conf"))
    shutil.copytree(CONF, conf)
    monkeypatch.setattr(provenance, "HERE", code)
    monkeypatch.setattr(provenance, "CONF", conf)
    assert measured() == before
    train = code / "train.py"
    train.write_bytes(train.read_bytes().replace(b"\n", b"\r\n"))
    assert measured() == before
    train.write_bytes(train.read_bytes() + b"# changed\n")
    assert measured() != before


def test_git_knows_nothing_outside_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert provenance.git_state() == {}
