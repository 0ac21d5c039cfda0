"""What runs a graph."""

import sys
from pathlib import Path

import numpy as np
import pytest

from seqfuse.runtime.engine import difference, open_session
from seqfuse.runtime.errors import InputError


def test_without_onnxruntime_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="type pip install onnxruntime"):
        open_session(Path("model.onnx"))


def test_distances_magnify_rounding_a_hundredfold() -> None:
    found, wanted = np.array([1.01, 200.0]), np.array([1.0, 200.0])
    assert difference("prediction", found, wanted) == pytest.approx(0.01)
    assert difference("distance", found, wanted) == pytest.approx(0.0001)
    assert difference("distance", found[:1], wanted) == np.inf
    assert difference("distance", found * np.nan, wanted) == np.inf
