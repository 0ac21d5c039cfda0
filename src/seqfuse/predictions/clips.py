"""Anomaly scores of clips."""

import numpy as np
import pandas as pd
from torch import Tensor

from seqfuse.predictions.batches import Part
from seqfuse.predictions.classes import Classes
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.clips import ClipAnomalyTask


class ClipScores(Classes):
    """Columns `id` and `score`: the higher, the less like the clips that were trained on."""

    def _frame(self, part: Part, prediction: Tensor, truth: bool) -> pd.DataFrame:
        task: ClipAnomalyTask = self.forward.task  # type: ignore[assignment]
        scores = task.scores(prediction, part.batch).numpy()
        if (wrong := np.flatnonzero(np.isnan(scores))).size:
            *_, ids = part.items.values()
            raise InputError(f"{ids[wrong[0]]} has one frame: its motion cannot be scored")
        columns = {**part.items, "score": scores}
        if truth:
            columns["label"] = np.array(self.pipeline.classes)[part.batch.y.numpy()]
        return pd.DataFrame(columns)
