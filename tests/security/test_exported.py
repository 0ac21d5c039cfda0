"""Exported folders of strangers: sealed by them, so the seal alone proves nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqfuse import export
from seqfuse.runtime import runner
from seqfuse.runtime.bundle import METADATA, seal
from seqfuse.runtime.errors import InputError

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.long
@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "in/side", ".."])
def test_no_file_elsewhere_is_read(
    classifier: Path, tmp_path: Path, command: Command, name: str
) -> None:
    words = [f"ckpt={classifier}", "output=shipped", "split=none", "repeats=1", "trainer=cpu"]
    assert command(export.main, *words)[0] == 0
    folder = shutil.copytree(tmp_path / "shipped", tmp_path / "theirs")
    facts = json.loads((folder / METADATA).read_text())
    facts["files"][name] = "0" * 64
    (folder / METADATA).write_text(json.dumps({**facts, "seal": seal(facts)}))
    with pytest.raises(InputError, match="does not lie in its folder"):
        runner.load(folder)
