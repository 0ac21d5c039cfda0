"""The package that a folder runs on: a copy of `seqfuse.runtime`, which needs numpy alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from seqfuse.exporting import folder
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import addresses


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder.write_run(tmp_path)
    return tmp_path


def test_a_copy_names_no_other_package(shipped: Path) -> None:
    sources = [path.read_text() for path in shipped.rglob("*.py")]
    assert len(sources) > 20
    for source in sources:
        lines = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        packages = {line.split()[1].split(".")[0] for line in lines}
        assert packages <= {"numpy", folder.PACKAGE, *sys.stdlib_module_names}
        assert "seqfuse.runtime" not in source


def test_nothing_is_written_beside_what_runs(shipped: Path) -> None:
    before = {path.name for path in shipped.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", "import run, sys; print(run.load.__doc__, sys.path)"],
        cwd=shipped, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = {path.name for path in shipped.glob("__pycache__/*")}  # of who imports it
    assert {path.name for path in shipped.rglob("*")} - run - {"__pycache__"} == before


def test_without_numpy_the_fix_is_named(shipped: Path) -> None:
    (shipped / "numpy.py").write_text("raise ImportError(\"No module named 'numpy'\")\n")
    done = subprocess.run(
        [sys.executable, "-S", "run.py", "--check"], cwd=shipped, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "run.py: No module named 'numpy': type pip install numpy onnxruntime\n"


def test_a_folder_at_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQFUSE_CACHE", str(tmp_path / "cache"))
    MemoryFileSystem().store.clear()
    with folder.whole("memory://lab/shipped") as part:
        folder.write_run(part)
        assert addresses.is_empty("memory://lab/shipped"), "whole or not there"
    copy = addresses.local("memory://lab/shipped")
    assert {p.relative_to(copy) for p in copy.rglob("*.py")} >= {Path(folder.RUN)}
    assert not part.exists()
    with pytest.raises(InputError, match="memory://lab/shipped is not empty"):
        folder.check_output("memory://lab/shipped")
    with pytest.raises(InputError, match="cannot be written"):
        folder.check_output("https://host/shipped")
    with pytest.raises(ZeroDivisionError):
        fail_in("memory://lab/other")
    assert addresses.is_empty("memory://lab/other")


def fail_in(address: str) -> None:
    with folder.whole(address) as part:
        (part / "x").write_text("1")
        raise ZeroDivisionError
