"""Classes of items and of their steps, from files and from memory."""

from pathlib import Path

import numpy as np

from seqfuse.runtime.classes import Tagger
from seqfuse.runtime.text import TextPipeline
from tests.runtime.fakes import Bundle


def test_a_long_sentence_is_cut_as_in_training(tmp_path: Path) -> None:
    pipeline = TextPipeline(max_length=2, buckets=10).fit([["a", "b"]], [["x", "y"]])
    (tmp_path / "in.conll").write_text("fly\nto\nRome\n\nyes\n")
    bundle = Bundle(pipeline, shape=(2, 2), text="text")
    [rows] = Tagger(bundle).table(tmp_path / "in.conll")  # type: ignore[arg-type]
    assert rows["token"] == ["fly", "to", "yes"]
    assert rows["prediction"].tolist() == ["x"] * 3
    np.testing.assert_array_equal(rows["row"], [0, 0, 1])
