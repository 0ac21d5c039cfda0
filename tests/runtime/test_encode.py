"""Items in memory that are none get one line."""

from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.encode import encode
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines import pack, unpack
from seqfuse.runtime.series import SeriesPipeline
from seqfuse.runtime.sources import SourcesPipeline
from seqfuse.runtime.text import TextPipeline

X = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
TEXTS = TextPipeline(buckets=10).fit([["fly"], ["rain"]], ["x", "y"])
SERIES = SeriesPipeline().fit(X, ["x", "y"] * 2)
SOURCES = SourcesPipeline(SeriesPipeline).fit({"phone": X, "watch": X}, ["x", "y"] * 2)


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
        encode(pipeline, x)


def test_only_a_source_without_time_in_training_may_do_without() -> None:
    fitted = SourcesPipeline(SeriesPipeline).fit({"phone": X, "age": X[:, :1]}, ["x", "y"] * 2)
    pipeline = unpack(pack(fitted))
    found = encode(pipeline, {"phone": X, "age": X[:, 0]})
    np.testing.assert_array_equal(found["age"].values, fitted.parts["age"].transform(X[:, :1]))
    with pytest.raises(InputError, match=r"'phone' has shape \(4, 2\), expected .items, time"):
        encode(pipeline, {"phone": X[:, 0], "age": X[:, 0]})
