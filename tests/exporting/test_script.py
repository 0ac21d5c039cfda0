"""The one file: all of `plain` that it needs, each name once."""

import subprocess
import sys
from pathlib import Path

import pytest

from seqfuse.exporting import script


def test_modules_come_in_the_order_of_their_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PLAIN", tmp_path)
    (tmp_path / "b.py").write_text('"""B."""\n\nimport math\n\n\ndef two():\n    return 2  # why\n')
    (tmp_path / "a.py").write_text(
        '"""A."""\n\nimport json\n\nfrom seqfuse.runtime.b import two\n\nFOUR = 2 * two()\n'
    )
    joined = script.join("a")
    scope: dict = {}
    exec(compile(joined, "run.py", "exec"), scope)
    assert scope["FOUR"] == 4
    assert "seqfuse" not in joined
    assert "# why" in joined
    assert scope["__doc__"].startswith("A.")


def test_a_name_that_is_there_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PLAIN", tmp_path)
    (tmp_path / "b.py").write_text("SIZE = 1\n")
    (tmp_path / "a.py").write_text("from seqfuse.runtime.b import SIZE as other\n\nSIZE: int = 2\n")
    with pytest.raises(ValueError, match="'SIZE' is in plain/b.py and plain/a.py"):
        script.join("a")


def test_the_real_one_needs_numpy_alone() -> None:
    lines = [line.strip() for line in script.join().splitlines()]
    lines = [line for line in lines if line.startswith(("import ", "from "))]
    packages = {line.split()[1].split(".")[0] for line in lines}
    assert "numpy" in packages
    assert not packages & {"seqfuse", "torch", "pandas", "hydra", "lightning", "scipy"}


def test_without_numpy_the_fix_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(script.join())
    (tmp_path / "numpy.py").write_text("raise ImportError(\"No module named 'numpy'\")\n")
    done = subprocess.run(
        [sys.executable, "-S", "run.py", "--check"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "run.py: No module named 'numpy': type pip install numpy onnxruntime\n"
