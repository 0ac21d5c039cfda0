"""Raw items to what a graph takes: padded values and lengths, then batches of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.array_items import by_time
from seqfuse.runtime.clips import ClipPipeline
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.numbers import as_float32
from seqfuse.runtime.series import SeriesPipeline, pad, value_name
from seqfuse.runtime.sources import SourcesPipeline
from seqfuse.runtime.text import TextPipeline, tokenise

CLOCK_NAME = "clock"
FRAME_AXES = "(time, colours, height, width)"


class Encoded(NamedTuple):
    """The items of one source."""

    values: NDArray[Any]
    """(n t ...) zero behind the last step of an item."""
    lengths: NDArray[np.int64]
    """(n)"""


Inputs = dict[str, Encoded]
"""By name of the source; a single one has the name ''. A clock has no values."""


def encode(pipeline: Any, x: Any, layout: str = "btc") -> Inputs:
    """Items as a fitted pipeline makes them.

    Args:
        pipeline: of series, texts, clips or several sources.
        x: series, (n t c) or a list of (t c); texts, or lists of words; clips, (n t c height
            width) or a list of them; or of each source such items, by its name, and `clock`, the
            numbers of steps that the first one would have, where it is missing.
        layout: `btc`, or `bct` where the axes of series are (n c t), or (c t) in a list.

    Raises:
        InputError: whatever does not fit; names the item.
    """
    if isinstance(pipeline, SourcesPipeline):
        return _encode_sources(pipeline, x)
    _check_several(x)
    if isinstance(pipeline, TextPipeline):
        return {"": Encoded(*pipeline.transform([_words(i, one) for i, one in enumerate(x)]))}
    if isinstance(pipeline, ClipPipeline):
        return {"": _encode_clips(pipeline, x)}
    return {"": encode_series(pipeline, by_time(x, layout))}


def _check_several(x: Any) -> None:
    """Raises InputError where x is no sequence of items."""
    if isinstance(x, (str, bytes)):
        raise InputError("x is one text, expected several: put it into a list: [text]")
    try:
        count = len(x)
    except TypeError:
        wanted = "an array or a list of items"
        raise InputError(f"x is {type(x).__name__}, expected {wanted}") from None
    if not count:
        raise InputError("there is nothing to predict: x is empty")


def encode_series(pipeline: SeriesPipeline, x: Any) -> Encoded:
    """Scaled series and their lengths: NaN in all channels at the end is padding."""
    if isinstance(x, np.ndarray) and x.ndim == 3 and x.dtype.kind in "biuf":
        values = as_float32(x, partial(value_name, 0))
    elif isinstance(x, np.ndarray) and x.dtype.kind not in "biufO":
        raise InputError(f"x holds {x.dtype}, expected numbers (series, time, channels)")
    else:
        values, _ = pad(list(x))
    real = np.asarray(~np.isnan(values).all(axis=2))
    for i in np.flatnonzero(~real.any(axis=1))[:1]:
        raise InputError(f"series {i} has no value at all: remove it")
    for i, t, c in np.argwhere(np.isinf(values))[:1]:
        raise InputError(f"series {i} has an infinite value at step {t}, channel {c}")
    lengths = real.shape[1] - real[:, ::-1].argmax(axis=1)
    padding = np.arange(real.shape[1]) >= lengths[:, None]
    scaled = pipeline.transform(values)
    scaled[padding] = 0
    return Encoded(scaled, lengths)


def _words(i: int, text: Any) -> list[str]:
    words = tokenise(text) if isinstance(text, str) else text
    if not isinstance(words, (list, tuple)) or not all(isinstance(one, str) for one in words):
        raise InputError(f"text {i} is {type(text).__name__}, expected a text or a list of words")
    if not words:
        raise InputError(f"text {i} has no word: remove it")
    return list(words)


def _encode_clips(pipeline: ClipPipeline, x: Sequence[Any]) -> Encoded:
    clips = [np.asarray(one) for one in x]
    for i, one in enumerate(clips):
        if one.dtype != np.uint8 or one.ndim != 4 or not len(one):
            raise InputError(
                f"clip {i} is {one.dtype} of shape {one.shape}, expected {FRAME_AXES} of uint8"
            )
        pipeline.transform(one[None])
    lengths = np.array([len(one) for one in clips], dtype=np.int64)
    values = np.zeros((len(clips), lengths.max(), *pipeline.shape), dtype=np.uint8)
    for i, one in enumerate(clips):
        values[i, : len(one)] = one
    return Encoded(values, lengths)


def _encode_sources(pipeline: SourcesPipeline, x: Any) -> Inputs:
    _check_names(pipeline, x)
    parts = pipeline.parts
    found = {name: _encode_source(name, parts[name], x[name]) for name in parts if name in x}
    count = len(next(iter(found.values())).lengths)
    for name, one in found.items():
        if len(one.lengths) != count:
            raise InputError(f"'{name}' has {len(one.lengths)} items, the first source {count}")
    clock = Encoded(np.zeros(0), _clock(next(iter(pipeline.parts)), x, found, count))
    for name, part in pipeline.parts.items():
        if name not in found:
            found[name] = Encoded(_nothing(part, count), np.zeros(count, dtype=np.int64))
    return {CLOCK_NAME: clock, **{name: found[name] for name in pipeline.parts}}


def _check_names(pipeline: SourcesPipeline, x: Any) -> None:
    """Raises InputError unless x has a source, and none that was not trained on."""
    known = ", ".join(pipeline.parts)
    if not isinstance(x, Mapping) or not set(x) - {CLOCK_NAME}:
        raise InputError(f"x must name sources: {{{known}}}")
    for name in x:
        if name not in (*pipeline.parts, CLOCK_NAME):
            raise InputError(f"'{name}' was not trained on (known: {known})")


def _clock(first: str, x: Mapping[str, Any], found: Inputs, count: int) -> NDArray[np.int64]:
    """Steps of each item: those of the first source, whose rate is that of the answers."""
    if first in found:
        return found[first].lengths
    if CLOCK_NAME not in x:
        raise InputError(
            f"'{first}', whose steps are the clock of the others, is missing: add '{CLOCK_NAME}', "
            "the steps that it would have, one number for each item"
        )
    steps = np.asarray(x[CLOCK_NAME])
    if steps.shape != (count,) or steps.dtype.kind not in "iu" or steps.min() < 1:
        raise InputError(f"'{CLOCK_NAME}' must be {count} whole numbers of at least 1")
    return steps.astype(np.int64)


def _encode_source(name: str, pipeline: Any, x: Any) -> Encoded:
    if isinstance(x, np.ndarray) and x.ndim == 2 and isinstance(pipeline, SeriesPipeline):
        if pipeline.has_time:
            raise InputError(
                f"'{name}' has shape {x.shape}, expected (items, time, channels); facts that do "
                "not change are (items, 1, columns)"
            )
        x = x[:, None]
    try:
        return encode(pipeline, x)[""]
    except InputError as error:
        raise InputError(f"'{name}': {error}") from None


def _nothing(pipeline: Any, count: int) -> NDArray[Any]:
    """One step of a source that is not there."""
    if isinstance(pipeline, ClipPipeline):
        return np.zeros((count, 1, *pipeline.shape), dtype=np.uint8)
    kind = np.int32 if isinstance(pipeline, TextPipeline) else np.float32
    return np.zeros((count, 1, pipeline.sizes()["channels"]), dtype=kind)


def feeds_of(inputs: Inputs, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """A batch of some items, each source cut to its longest."""
    feeds = {}
    for name, one in inputs.items():
        lengths = one.lengths[rows]
        end = max(int(lengths.max(initial=0)), 1)
        if one.values.ndim > 1:
            feeds[input_name(name, "x")] = one.values[rows, :end]
        feeds[input_name(name, "mask")] = np.arange(end) < lengths[:, None]
    return feeds


def input_name(source: str, kind: str) -> str:
    """What the graph calls x or the mask of a source."""
    return f"{source}_{kind}" if source else kind
