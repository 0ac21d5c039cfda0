"""A trained model as two calls: `seqfuse.load(ckpt).predict(x)`."""

from pathlib import Path

import pandas as pd

from seqfuse.data.module import DataModule
from seqfuse.data.windows import Windows
from seqfuse.predictions import jobs
from seqfuse.predictions.forecasts import Forecasts
from seqfuse.predictions.forward import Forward
from seqfuse.tasks.base import Task


class Forecaster:
    """A forecasting task with the table it was trained on in mind: its columns, units and step.

    Args:
        task: in eval mode.
        data: with a fitted pipeline.
    """

    def __init__(self, task: Task, data: DataModule):
        self.data = data
        self.forward = Forward(task)

    def predict(self, frame: pd.DataFrame, every: int | None = None) -> pd.DataFrame:
        """Forecasts from the end of each series, a row for each step (see `Forecasts`).

        Args:
            frame: a table like the training one; rows after the last target hold what is
                known ahead.
            every: forecasts from every n-th row, counted from the last.

        Raises:
            InputError: something is missing or wrong; names row (the header's being 1) and column.
        """
        work = Forecasts(self.data, self.forward, every).frame(frame)
        return pd.concat(work.frames, ignore_index=True)


class FilePredictor:
    """What `seqfuse-predict` writes, as a table: texts, tags, clips, anomalies, large files.

    Args:
        task: in eval mode.
        data: with a fitted pipeline.
    """

    def __init__(self, task: Task, data: DataModule):
        self.data = data
        self.forward = Forward(task)

    def predict(self, path: str | Path, every: int | None = None) -> pd.DataFrame:
        """The rows that `seqfuse-predict` would write for a file.

        Args:
            path: of the file.
            every: forecasts from every n-th row, counted from the last.

        Raises:
            InputError: something is missing or wrong; names file, row and column.
        """
        job = jobs.choose(self.data, self.forward, {"every": every})
        return pd.concat(job.file(Path(path)).frames, ignore_index=True)


def of_table(task: Task, data: DataModule) -> Forecaster | FilePredictor:
    """What predicts tables and recordings."""
    return Forecaster(task, data) if isinstance(data.splits, Windows) else FilePredictor(task, data)
