"""Classes of items and of their steps, from files and from memory."""

from pathlib import Path

import numpy as np

from seqfuse.runtime.jobs.classes import Tagger
from seqfuse.runtime.pipelines.text import TextPipeline, texts
from tests.runtime.fakes import Zeros, metadata


def test_a_long_sentence_is_cut_as_in_training(tmp_path: Path) -> None:
    pipeline = TextPipeline(max_length=2, buckets=10).fit(texts([["a", "b"]], labels=[["x", "y"]]))
    (tmp_path / "in.conll").write_text("fly\nto\nRome\n\nyes\n")
    tagger = Tagger(metadata(pipeline, reader={"kind": "sentences"}), Zeros(2, 2))
    [rows] = tagger.rows(tmp_path / "in.conll")
    assert rows["token"].tolist() == ["fly", "to", "yes"]
    assert rows["prediction"].tolist() == ["x"] * 3
    np.testing.assert_array_equal(rows["row"], [0, 0, 1])
