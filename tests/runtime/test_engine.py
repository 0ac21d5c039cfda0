"""What runs a graph."""

import sys
from pathlib import Path

import pytest

from seqfuse.runtime.engine import open_session
from seqfuse.runtime.errors import InputError


def test_without_onnxruntime_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="type pip install onnxruntime"):
        open_session(Path("model.onnx"))
