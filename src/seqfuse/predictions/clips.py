"""Anomaly scores of clips."""

import numpy as np
import pandas as pd

from seqfuse.data.blocks import Block
from seqfuse.plain.errors import InputError
from seqfuse.predictions.classes import Classes
from seqfuse.shapes import Batch
from seqfuse.tasks.clips import ClipAnomalyTask


class ClipScores(Classes):
    """Columns `id` and `score`: the higher, the less like the clips that were trained on."""

    def _frame(self, name: str, block: Block, batch: Batch, truth: bool) -> pd.DataFrame:
        task: ClipAnomalyTask = self.forward.task  # type: ignore[assignment]
        scores = task.scores(self.forward(batch), batch).numpy()
        if (wrong := np.flatnonzero(np.isnan(scores))).size:
            raise InputError(f"{block.ids[wrong[0]]} has one frame: its motion cannot be scored")
        columns = {name: block.ids, "score": scores}
        if truth:
            columns["label"] = np.array(self.pipeline.classes)[batch.y.numpy()]
        return pd.DataFrame(columns)
