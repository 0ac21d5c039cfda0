"""A file is whole or not there."""

import os
from pathlib import Path

import pytest

from seqfuse.plain import files


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.yaml"
    files.write(path, "a: 1\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        files.write(path, "a: 2\n")
    assert error.value.filename == str(path)
    assert path.read_text() == "a: 1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_what_a_killed_write_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    beside = files.write_beside(path, b"half")  # killed before it was moved
    assert not path.exists()
    files.write(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert not beside.exists()


def test_two_processes_that_write_at_once_both_succeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "summary.md", os.replace

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(os, "getpid", lambda: 7)
        files.write_shared(path, "theirs")
        assert path.read_text() == "theirs"
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    files.write_shared(path, "ours")
    assert path.read_text() == "ours"
    assert list(tmp_path.iterdir()) == [path]
