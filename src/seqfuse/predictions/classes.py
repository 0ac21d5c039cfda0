"""Classes of series: a name and probabilities for each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.data.blocks import ENDINGS, Block, SeriesFile
from seqfuse.data.module import DataModule
from seqfuse.data.series import SeriesTensors
from seqfuse.plain.series import SeriesPipeline
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work
from seqfuse.shapes import Batch


class Classes:
    """Columns `row` (or the user's `id`), `prediction`, and `p_<class>` for each class.

    Args:
        data: holds the fitted pipeline.
        forward: predicts scores.
    """

    endings = ENDINGS
    knobs = ()

    def __init__(self, data: DataModule, forward: Forward):
        self.data = data
        self.forward = forward
        self.pipeline: SeriesPipeline = data.splits.pipeline
        self.layout = getattr(getattr(data.splits, "dataset", None), "layout", "btc")

    def file(self, path: Path) -> Work:
        """Series of a file, a batch at a time."""
        series = SeriesFile(path, self.pipeline.in_channels, self.layout)
        return Work(series.size, self._of_file(series))

    def _of_file(self, series: SeriesFile) -> Iterator[pd.DataFrame]:
        name = "id" if series.has_ids else "row"
        for block in series.blocks(int(self.data.batch_size)):
            yield self._frame(name, block.ids, self._batch(block))

    def _batch(self, block: Block) -> Batch:
        x, numbers = self.pipeline.transform(block.series.x), np.arange(len(block.ids))
        return SeriesTensors(x, block.series.lengths, numbers, numbers).__getitems__(numbers)  # type: ignore[arg-type]

    def split(self, split: str) -> Work:
        """Series of a split, as the test step sees them, and their `label`."""
        return Work(len(self.data.tensors(split)), self._of_split(split))

    def _of_split(self, split: str) -> Iterator[pd.DataFrame]:
        classes = np.array(self.pipeline.classes)
        for batch in self.data.loader(split):
            frame = self._frame("row", batch.index.numpy(), batch)
            frame.insert(2, "label", classes[batch.y.numpy()])
            yield frame

    def _frame(self, name: str, rows: np.ndarray, batch: Batch) -> pd.DataFrame:
        probabilities = self.forward(batch).softmax(dim=-1).numpy()
        classes = self.pipeline.classes
        best = np.array(classes)[probabilities.argmax(axis=1)]
        columns = {f"p_{one}": probabilities[:, i] for i, one in enumerate(classes)}
        return pd.DataFrame({name: rows, "prediction": best, **columns})
