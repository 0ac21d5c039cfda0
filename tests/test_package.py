"""What the package offers, and what importing it costs."""

import pydoc
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import seqfuse
from seqfuse import nn
from seqfuse.config.mistakes import CONF


def test_dir_and_help_list_all_there_is() -> None:
    import_module("seqfuse.list")  # has the name of what is built in
    assert dir(seqfuse) == sorted(seqfuse.__all__)
    text = pydoc.render_doc(seqfuse, renderer=pydoc.plaintext)
    for name in seqfuse.__all__:
        assert getattr(seqfuse, name) is not None
        assert name.strip("_") in text.lower() if name.startswith("__") else name in text


def test_importing_it_imports_nothing_slow() -> None:
    slow = ("torch", "numpy", "hydra", "lightning", "pandas", "sklearn")
    code = f"import seqfuse, sys; assert not set({slow}) & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nn_offers_every_part_of_a_net() -> None:
    text = "".join(path.read_text() for path in Path(CONF / "model").rglob("*.yaml"))
    parts = set(re.findall(r"_target_: seqfuse\.nn\.[\w.]+\.([A-Z]\w+)", text))
    assert parts - {"Augment"} | {"Net", "Fusion", "Batch", "Output"} == set(nn.__all__)
    assert all(getattr(nn, name).__name__ == name for name in nn.__all__)
