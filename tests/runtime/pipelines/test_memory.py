"""Items in memory that are none get one line."""

from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.packed import pack, unpack
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.pipelines.sources import SourcesPipeline, clocked
from seqfuse.runtime.pipelines.text import TextPipeline, texts

X = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
LABELS = ["x", "y"] * 2
TEXTS = TextPipeline(buckets=10).fit(texts([["fly"], ["rain"]], labels=["x", "y"]))
SERIES = SeriesPipeline().fit(series(X, LABELS))


def fitted(**sources: np.ndarray) -> SourcesPipeline:
    parts = {name: series(x) for name, x in sources.items()}
    return SourcesPipeline(SeriesPipeline).fit(clocked(np.full(4, 3), parts, labels=LABELS))


SOURCES = fitted(phone=X, watch=X)


@pytest.mark.parametrize(
    ("pipeline", "x", "message"),
    [
        (TEXTS, "fly", r"x is one text, expected several: put it into a list: \[text\]"),
        (TEXTS, None, "x is NoneType, expected an array or a list of items"),
        (SERIES, np.float32(3), "x is float32, expected an array or a list"),
        (SERIES, np.array(3), "x is ndarray, expected"),
        (SOURCES, {"watch": None}, "'watch': x is NoneType, expected an array or a list"),
        (SOURCES, {"phone": X, "watch": []}, "'watch': there is nothing to predict"),
    ],
)
def test_what_is_no_list_of_items_is_named(pipeline: Any, x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipeline.items(x)


def test_only_a_source_without_time_in_training_may_do_without() -> None:
    trained = fitted(phone=X, age=X[:, :1])
    pipeline = unpack(pack(trained))
    found = pipeline.transform(pipeline.items({"phone": X, "age": X[:, 0]})).sources["age"]
    wanted = trained.parts["age"].transform(series(X[:, :1]))
    np.testing.assert_array_equal(found.values, wanted.values)
    with pytest.raises(InputError, match=r"'phone': x has shape \(4, 2\), expected .items, time"):
        pipeline.items({"phone": X[:, 0], "age": X[:, 0]})
