"""Classes of items, or of each of their steps: a name and how probable it is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from seqfuse.data.blocks import ENDINGS, Block, Blocks, SeriesFile
from seqfuse.data.module import DataModule
from seqfuse.nn.chain import decode, marginals
from seqfuse.plain.errors import InputError
from seqfuse.plain.labels import NO_LABEL
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work
from seqfuse.shapes import Batch


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
        """Items of a file, a batch at a time."""
        if hasattr(self.source, "file"):
            items: Blocks = self.source.file(path)
        else:
            layout = getattr(self.source, "layout", "btc")
            items = SeriesFile(path, self.pipeline.in_channels, layout)
        return Work(items.size, self._of_file(items))

    def _of_file(self, items: Blocks) -> Iterator[pd.DataFrame]:
        name = "id" if items.has_ids else "row"
        for block in items.blocks(int(self.data.batch_size)):
            rows = np.arange(len(block.ids))
            try:
                tensors = block.items.tensors(self.pipeline, rows, labelled=False)
            except InputError as error:
                raise InputError(f"{block.items.origin}: {error}") from None
            yield self._frame(name, block, tensors.__getitems__(rows.tolist()), truth=False)

    def split(self, split: str) -> Work:
        """Items of a split, as the test step sees them, and their `label`."""
        return Work(len(self.data.tensors(split)), self._of_split(split))

    def _of_split(self, split: str) -> Iterator[pd.DataFrame]:
        splits: Any = self.data.splits
        raw = splits.rows(split)[0]
        name, ids = ids_of(raw)
        for batch in self.data.loader(split):
            rows = batch.index.numpy()
            steps = {name: [one[i] for i in rows] for name, one in steps_of(raw).items()}
            yield self._frame(name, Block(raw, ids[rows], steps), batch, truth=True)

    def _frame(self, name: str, block: Block, batch: Batch, truth: bool) -> pd.DataFrame:
        probabilities = self.forward(batch).softmax(dim=-1).numpy()
        classes = np.array(self.pipeline.classes)
        columns = {name: block.ids, "prediction": classes[probabilities.argmax(axis=1)]}
        columns |= {"label": classes[batch.y.numpy()]} if truth else {}
        columns |= {f"p_{one}": probabilities[:, i] for i, one in enumerate(classes)}
        return pd.DataFrame(columns)


class Tags(Classes):
    """A row per step: `row` (or `id`), `step` from 1, what the user calls it, `prediction` and
    its `probability`."""

    def _frame(self, name: str, block: Block, batch: Batch, truth: bool) -> pd.DataFrame:
        scores, mask = self.forward(batch), first(batch.mask)
        found = decode(scores, mask)
        sure = marginals(scores, mask).gather(2, found.unsqueeze(2)).squeeze(2)
        lengths = mask.sum(dim=1).tolist()
        classes = np.array(self.pipeline.classes)
        columns = {
            name: np.repeat(block.ids, lengths),
            "step": np.concatenate([np.arange(1, n + 1) for n in lengths]),
            **{key: _joined(each, lengths) for key, each in block.steps.items()},
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
