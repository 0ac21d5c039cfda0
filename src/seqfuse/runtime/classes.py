"""Classes of items, or of each of their steps, from an exported folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.array_items import ID
from seqfuse.runtime.chain import best_tags, softmax, tag_probabilities
from seqfuse.runtime.encode import Inputs, encode, feeds_of
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.items import Columns, Items, in_blocks, items_of
from seqfuse.runtime.pipelines import unpack


class Found(NamedTuple):
    """What the graph says of a batch."""

    rows: NDArray[np.int64]
    prediction: NDArray[Any]
    weights: NDArray[Any]
    mask: NDArray[np.bool_]
    """(b t) real steps of the first source."""
    feeds: dict[str, NDArray[Any]]


class Classifier:
    """Classes of series, texts, clips or of several sources.

    Args:
        metadata: what a fitted data module says of itself.
        engine: predicts.
        batch_size: items at a time.
    """

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int = 64):
        self.metadata, self.engine, self.batch_size = metadata, engine, batch_size
        self.pipeline = unpack(metadata["pipeline"])
        self.classes: list[str] = getattr(self.pipeline, "classes", [])
        """Names, in the order of the columns of `predict_proba`."""
        self.layout: str = metadata["layout"]
        """Axes of series, as in training: `btc` is (series, time, channels)."""

    def predict(self, x: Any) -> Any:
        """(n) the most probable class of each item.

        Args:
            x: raw values, as in training: series (n t c) or a list of (t c) of any lengths, or
                (n c t) and (c t) where training had data.layout=bct (`layout` says which);
                texts, or lists of words; clips (n t c height width) of uint8 or a list of
                them; of several sources a dict of such.

        Raises:
            InputError: whatever does not fit; names the item.
        """
        return np.array(self.classes)[self.predict_proba(x).argmax(axis=1)]

    def predict_proba(self, x: Any) -> NDArray[Any]:
        """(n k) probabilities; arguments and errors as for `predict`."""
        return np.concatenate([softmax(one.prediction) for one in self._run(x)])

    def attention(self, x: Any) -> list[NDArray[Any]]:
        """Where the net looked: (q t) for each item, repeated where it pooled."""
        stride, found = self.metadata["stride"], []
        for one in self._run(x):
            wide = np.repeat(one.weights, stride, axis=2)
            found += [w[:, :n] for w, n in zip(wide, one.mask.sum(axis=1), strict=True)]
        return found

    def table(self, path: str | Path) -> Iterator[Columns]:
        """Rows for people: row (or id), prediction, and p_<class> of each class.

        Raises:
            InputError: whatever is wrong with the file; names it.
        """
        items = items_of(Path(path), self.pipeline, self.metadata)
        try:
            inputs = encode(self.pipeline, items.x)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        for one in self._batches(inputs):
            yield self._columns(one, items)

    def _columns(self, one: Found, items: Items) -> Columns:
        probabilities = softmax(one.prediction)
        best = np.array(self.classes)[probabilities.argmax(axis=1)]
        shares = {f"p_{name}": probabilities[:, i] for i, name in enumerate(self.classes)}
        return {**_named(one.rows, items), "prediction": best, **shares}

    def _run(self, x: Any) -> Iterator[Found]:
        return self._batches(encode(self.pipeline, x, self.layout))

    def _batches(self, inputs: Inputs) -> Iterator[Found]:
        first = next(iter(inputs.values()))
        for rows in in_blocks(len(first.lengths), self.batch_size):
            feeds = feeds_of(inputs, rows)
            mask = next(one for name, one in feeds.items() if name.endswith("mask"))
            yield Found(rows, *self.engine(feeds), mask, feeds)


class Tagger(Classifier):
    """A class for each step."""

    def predict(self, x: Any) -> list[list[str]]:
        """The best tags of each item; arguments and errors as for a `Classifier`."""
        found = []
        for one in self._run(x):
            tags = np.array(self.classes)[best_tags(one.prediction, one.mask)]
            found += [row[real].tolist() for row, real in zip(tags, one.mask, strict=True)]
        return found

    def predict_proba(self, x: Any) -> Any:
        """Of each item (t k) the probability of each tag at each step."""
        found = []
        for one in self._run(x):
            sure = tag_probabilities(one.prediction, one.mask)
            found += [row[real] for row, real in zip(sure, one.mask, strict=True)]
        return found

    def _columns(self, one: Found, items: Items) -> Columns:
        best, mask = best_tags(one.prediction, one.mask), one.mask
        sure = tag_probabilities(one.prediction, mask)
        sure = np.take_along_axis(sure, best[:, :, None], axis=2)[:, :, 0]
        lengths = mask.sum(axis=1)
        names = {key: np.repeat(each, lengths) for key, each in _named(one.rows, items).items()}
        steps = np.concatenate([np.arange(1, n + 1) for n in lengths])
        ends = list(zip(one.rows, lengths, strict=True))  # a long sentence was cut
        own = {key: [s for i, n in ends for s in each[i][:n]] for key, each in items.steps.items()}
        tags = np.array(self.classes)[best[mask]]
        return {**names, "step": steps, **own, "prediction": tags, "probability": sure[mask]}


class ClipScorer(Classifier):
    """How little a clip is like those that were trained on."""

    def predict(self, x: Any) -> NDArray[Any]:
        """(n) scores; arguments and errors as for a `Classifier`."""
        return np.concatenate([self._scores(one) for one in self._run(x)])

    def _scores(self, one: Found) -> NDArray[Any]:
        middle = one.prediction[..., one.prediction.shape[-1] // 2]
        grid = round(middle.shape[2] ** 0.5)
        target = np.full_like(middle, np.nan)
        cells = motion_cells(one.feeds["x"], one.mask, grid)
        target[:, : cells.shape[1]] = cells
        return np.nanmean(np.square(middle - target).reshape(len(middle), -1), axis=1)

    def _columns(self, one: Found, items: Items) -> Columns:
        return {**_named(one.rows, items), "score": self._scores(one)}


def motion_cells(x: NDArray[np.uint8], mask: NDArray[np.bool_], grid: int) -> NDArray[Any]:
    """(b t k) change of brightness since the frame before, in percent, in grid x grid cells.

    NaN for the first frame and behind the last one.
    """
    grey = (x / np.float32(255)).mean(axis=2, dtype=np.float32)
    change = np.abs(grey[:, 1:] - grey[:, :-1]) * 100
    rows, columns = (_edges(size, grid) for size in change.shape[2:])
    cells = [change[:, :, a:b, c:d].mean(axis=(2, 3)) for a, b in rows for c, d in columns]
    found = np.full((*mask.shape, grid * grid), np.nan, dtype=np.float32)
    found[:, 1:] = np.stack(cells, axis=2)
    found[~mask] = np.nan
    return found


def _edges(size: int, parts: int) -> list[tuple[int, int]]:
    """First and end of each part; where they do not fit, neighbours overlap."""
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def _named(rows: NDArray[np.int64], items: Items) -> Columns:
    if items.ids is None:
        return {"row": rows}
    return {ID: [items.ids[i] for i in rows]}
