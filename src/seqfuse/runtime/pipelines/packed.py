"""Pipelines as plain data, and back."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.clips import ClipPipeline, NormalClipPipeline
from seqfuse.runtime.pipelines.scaling import RecordingPipeline, TablePipeline
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.runtime.pipelines.sources import SourcesPipeline
from seqfuse.runtime.pipelines.text import TextPipeline

KINDS: dict[type, tuple[str, ...]] = {
    SeriesPipeline: ("scaling", "missing"),
    TextPipeline: (
        *("subwords", "min_count", "max_length", "max_subwords", "ngrams", "buckets"),
        *("strip", "digits"),
    ),
    ClipPipeline: (),
    NormalClipPipeline: ("normal",),
    TablePipeline: ("scaling",),
    RecordingPipeline: ("limit", "identity"),
}
"""Options of each kind that its state does not hold."""


def pack(pipeline: Any) -> dict[str, Any]:
    """A fitted pipeline as lists, numbers and strings."""
    kind = type(pipeline)
    packed = {"kind": kind.__name__, "state": pipeline.state_dict()}
    if kind is SourcesPipeline:
        return {**packed, "parts": {name: pack(part) for name, part in pipeline.parts.items()}}
    if kind not in KINDS:
        raise InputError(f"a pipeline of the kind {kind.__name__} cannot be exported")
    return {**packed, "options": {name: getattr(pipeline, name) for name in KINDS[kind]}}


def unpack(packed: Mapping[str, Any]) -> Any:
    """The fitted pipeline that was packed."""
    if "parts" in packed:
        given = {name: partial(unpack, part) for name, part in packed["parts"].items()}
        pipeline: Any = SourcesPipeline(SeriesPipeline, given)
    else:
        kinds = {kind.__name__: kind for kind in KINDS}
        pipeline = kinds[packed["kind"]](**packed["options"])
    pipeline.load_state_dict(packed["state"])
    return pipeline
