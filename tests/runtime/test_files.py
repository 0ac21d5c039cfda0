"""A file is whole or not there."""

import os
import re
from pathlib import Path

import pytest

from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from tests.conftest import full_disk


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


@pytest.mark.parametrize("before", [None, "a,b\n"])
def test_a_full_disk_adds_all_or_nothing(tmp_path: Path, before: str | None) -> None:
    """The system lets the file grow by a part of what is added."""
    path = tmp_path / "metrics.csv"
    if before is not None:
        files.append(path, before)
    with full_disk(1000), pytest.raises(OSError, match="File too large") as error:
        files.append(path, "1,2\n" * 1000)
    assert error.value.filename == str(path)
    assert (path.read_text() if path.exists() else None) == before
    files.append(path, "1,2\n")
    assert path.read_text() == (before or "") + "1,2\n"


def test_nothing_else_in_the_package_writes_files() -> None:
    """But for what comes block by block under another name, and what is a message of our own."""
    others = re.compile(
        r"write_text|write_bytes|open\([^)]*[\"'][wax]|imsave\(|savefig\(|json\.dump\("
    )
    allowed = {
        "runtime/files.py": 2,
        "runtime/writer.py": 1,
        "ddp/strategy.py": 1,
        "config/runs.py": 1,
        "search/summary.py": 1,
        "figures/drawing.py": 1,
    }
    source = Path(files.__file__).parents[1]
    found = {
        path.relative_to(source).as_posix(): len(others.findall(path.read_text()))
        for path in source.rglob("*.py")
    }
    assert {name: count for name, count in found.items() if count} == allowed


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


@pytest.mark.parametrize(
    ("name", "fix"),
    [("a.xlsx", "as CSV"), ("a.csv.zip", "unpack"), ("a.MAT", "savez"), ("a.feather", "to_csv")],
)
def test_other_files_are_told_what_to_do_with(name: str, fix: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: .*\.csv: .*{fix}"):
        files.check_ending(Path(name), [".npz", ".csv"])
