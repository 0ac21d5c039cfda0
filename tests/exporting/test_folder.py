"""The package that a folder runs on: a copy of `seqfuse.runtime`, which needs numpy alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from seqfuse.exporting import folder


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
