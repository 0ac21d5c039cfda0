"""Classes of items, or of each of their steps: a name and how probable it is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from seqfuse.data.blocks import ENDINGS, Blocks, SeriesFile
from seqfuse.data.module import DataModule
from seqfuse.data.read.arrays import Arrays
from seqfuse.nn.crf import decode, marginals
from seqfuse.predictions.batches import READ, Part
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import NO_LABEL


class Classes:
    """Columns `row` (or the user's `id`), `prediction`, and `p_<class>` for each class.

    Args:
        data: holds the fitted pipeline; its source may know how to read files (`file`).
        forward: predicts scores.
    """

    knobs = ()

    def __init__(self, data: DataModule, forward: Forward):
        self.data = data
        self.forward = forward
        self.pipeline: Any = data.splits.pipeline
        self.source: Any = getattr(data.splits, "dataset", None)
        self.endings: tuple[str, ...] = getattr(self.source, "endings", ENDINGS)

    def file(self, path: Path) -> Work:
        """Items of a file."""
        items = self._open(path)
        return Work(items.size, self._frames(self._parts(items), truth=False))

    def folder(self, paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
        """Items of files, several of which may share a batch; the column `file` comes first."""
        parts = (part for path in paths for part in self._parts(self._open(path), path.name))
        return self._frames(parts, truth=False)

    def _open(self, path: Path) -> Blocks:
        if hasattr(self.source, "file"):
            return self.source.file(path)
        layout = self.source.layout if isinstance(self.source, Arrays) else "btc"
        return SeriesFile(path, self.pipeline.in_channels, layout)

    def _parts(self, items: Blocks, file: str | None = None) -> Iterator[Part]:
        for block in items.blocks(READ):
            rows = np.arange(len(block.ids))
            try:
                tensors = block.items.tensors(self.pipeline, rows, labelled=False)
            except InputError as error:
                raise InputError(f"{block.items.origin}: {error}") from None
            named = {} if file is None else {"file": np.repeat(file, len(rows))}
            named["id" if items.has_ids else "row"] = block.ids
            yield Part(tensors.__getitems__(rows.tolist()), named, block.steps)

    def split(self, split: str) -> Work:
        """Items of a split, as the test step sees them, and their `label`."""
        return Work(len(self.data.tensors(split)), self._frames(self._of_split(split), truth=True))

    def _of_split(self, split: str) -> Iterator[Part]:
        splits: Any = self.data.splits
        raw = splits.rows(split)[0]
        name, ids = ids_of(raw)
        for batch in self.data.loader(split, READ):
            rows = batch.index.numpy()
            steps = {name: [one[i] for i in rows] for name, one in steps_of(raw).items()}
            yield Part(batch, {name: ids[rows]}, steps)

    def _frames(self, parts: Iterator[Part], truth: bool) -> Iterator[pd.DataFrame]:
        for part, prediction in self.forward.each(parts):
            yield self._frame(part, prediction, truth)

    def _frame(self, part: Part, prediction: Tensor, truth: bool) -> pd.DataFrame:
        probabilities = prediction.softmax(dim=-1).numpy()
        classes = np.array(self.pipeline.classes)
        columns = {**part.items, "prediction": classes[probabilities.argmax(axis=1)]}
        columns |= {"label": classes[part.batch.y.numpy()]} if truth else {}
        columns |= {f"p_{one}": probabilities[:, i] for i, one in enumerate(classes)}
        return pd.DataFrame(columns)


class Tags(Classes):
    """A row per step: `row` (or `id`), `step` from 1, what the user calls it, `prediction` and
    its `probability`."""

    def _frame(self, part: Part, prediction: Tensor, truth: bool) -> pd.DataFrame:
        batch, mask = part.batch, first(part.batch.mask)
        found = decode(prediction, mask)
        sure = marginals(prediction, mask).gather(2, found.unsqueeze(2)).squeeze(2)
        lengths = mask.sum(dim=1).tolist()
        classes = np.array(self.pipeline.classes)
        columns = {
            **{key: np.repeat(each, lengths) for key, each in part.items.items()},
            "step": np.concatenate([np.arange(1, n + 1) for n in lengths]),
            **{key: _joined(each, lengths) for key, each in part.steps.items()},
            "prediction": classes[found[mask].numpy()],
        }
        if truth:
            columns["label"] = np.where(
                batch.y[mask] == NO_LABEL, "", classes[batch.y[mask].numpy()]
            )
        return pd.DataFrame({**columns, "probability": sure[mask].numpy()})


def ids_of(raw: Any) -> tuple[str, np.ndarray]:
    """What the user calls the items, if the source knows, and the name of that column."""
    ids = getattr(raw, "ids", None)
    return ("row", np.arange(len(raw))) if ids is None else ("id", np.asarray(ids))


def steps_of(raw: Any) -> dict[str, Any]:
    """What the user calls the steps of items, by column, if the source knows."""
    return getattr(raw, "steps", {})


def first(mask: Any) -> torch.Tensor:
    """The mask of the source whose steps are predicted: the first one."""
    return next(iter(mask.values())) if isinstance(mask, dict) else mask


def _joined(each: Sequence[Any], lengths: list[int]) -> np.ndarray:
    return np.concatenate([np.asarray(one[:n]) for one, n in zip(each, lengths, strict=True)])
