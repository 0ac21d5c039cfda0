"""What a packed pipeline holds."""

import inspect

import pytest

from seqfuse.runtime.pipelines.packed import KINDS, pack, unpack
from seqfuse.runtime.pipelines.text import TextPipeline, texts


@pytest.mark.parametrize("kind", KINDS)
def test_each_knob_is_packed(kind: type) -> None:
    knobs = set(inspect.signature(kind).parameters)
    given = {"normal": "a"} if "normal" in knobs else {}
    assert knobs <= {*KINDS[kind], *kind(**given).state_dict()}


def test_words_are_stripped_as_in_training() -> None:
    items = texts([["Peru?"], ["Lima"]], labels=["a", "b"])
    trained = TextPipeline(strip=True, buckets=50).fit(items)
    found = unpack(pack(trained))
    assert found.strip
    assert found.state_dict() == trained.state_dict()
