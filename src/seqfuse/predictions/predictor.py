"""A trained model as two calls: `seqfuse.load(ckpt).predict(x)`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from seqfuse.config import build
from seqfuse.data.module import DataModule
from seqfuse.data.read.arrays import Arrays
from seqfuse.data.series import Series, SeriesTensors
from seqfuse.data.windows import Windows
from seqfuse.nn.net import Net
from seqfuse.predictions import jobs
from seqfuse.predictions.forecasts import Forecasts
from seqfuse.predictions.forward import Forward
from seqfuse.runtime.array_items import LAYOUTS, by_time
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.series import SeriesPipeline
from seqfuse.tasks.base import Task
from seqfuse.tasks.contrastive import NO_HEAD, ContrastiveTask


class Predictor:
    """A net with the scaling and the class names it was trained with.

    Args:
        net: in eval mode.
        pipeline: fitted.
        batch_size: series that are predicted at once.
        layout: axes of series, as in training: `btc` is (series, time, channels).
    """

    def __init__(
        self, net: Net, pipeline: SeriesPipeline, batch_size: int = 256, layout: str = "btc"
    ):
        self.net = net
        self.pipeline = pipeline
        self.layout = layout
        self.batch_size = batch_size

    @property
    def classes(self) -> list[str]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.pipeline.classes

    def predict(self, x: Sequence[ArrayLike] | NDArray) -> NDArray[np.str_]:
        """The most probable class of each series.

        Args:
            x: raw values, as in training: (n t c), or n series of (t c) and any lengths; where
                training had data.layout=bct, (n c t), or n series of (c t).

        Raises:
            InputError: wrong axes or channels; names both readings.
        """
        return np.array(self.classes)[self.predict_proba(x).argmax(axis=1)]

    def predict_proba(self, x: Sequence[ArrayLike] | NDArray) -> NDArray[np.float32]:
        """(n k) probabilities; arguments and errors as for `predict`."""
        return self._run(x)[0]

    def attention(self, x: Sequence[ArrayLike] | NDArray) -> list[NDArray[np.float32]]:
        """Where the net looked: (q t) weights for each series, 0 to 1, repeated where it pooled."""
        return self._run(x)[1]

    @torch.inference_mode()
    def _run(self, x: Sequence[ArrayLike] | NDArray) -> tuple[NDArray, list[NDArray]]:
        data = self._tensors(x)
        probabilities, weights = [], []
        for rows in np.array_split(np.arange(len(data)), -(-len(data) // self.batch_size)):
            batch = data.__getitems__(rows.tolist())
            output = self.net(batch.x, batch.mask)
            probabilities.append(output.prediction.softmax(dim=-1).numpy())
            steps = np.repeat(output.weights.numpy(), self.net.stride, axis=2)
            weights += [w[:, :n] for w, n in zip(steps, data.lengths[rows].tolist(), strict=True)]
        return np.concatenate(probabilities), weights

    def _tensors(self, x: Sequence[ArrayLike] | NDArray) -> SeriesTensors:
        series = Series(by_time(x, self.layout), [""] * len(x), origin="x")
        n, steps, channels = series.x.shape
        if channels != self.pipeline.in_channels:
            (other,) = set(LAYOUTS) - {self.layout}
            shape = (n, steps, channels) if self.layout == "btc" else (n, channels, steps)
            raise InputError(
                f"x has shape {shape}, read as {LAYOUTS[self.layout]}: {channels} channels where "
                f"{self.pipeline.in_channels} were trained on with data.layout={self.layout}; if "
                f"its axes are {LAYOUTS[other]}, with {steps} channels, give x.transpose(0, 2, 1)"
            )
        return series.tensors(self.pipeline, np.arange(len(series)), labelled=False)


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


def load(ckpt: str | Path, trust: Sequence[str] = ()) -> Predictor | Forecaster | FilePredictor:
    """Reads a checkpoint and returns what predicts with it, on the CPU.

    Args:
        ckpt: path of a checkpoint.
        trust: top-level packages of your own that its config may name.

    Raises:
        InputError: the checkpoint cannot be read or trusted.
    """
    task, data, _ = build.load(ckpt, trust)
    if isinstance(task, ContrastiveTask):
        raise InputError(f"{ckpt}: {NO_HEAD}")
    if isinstance(data.splits, Windows):
        return Forecaster(task, data)
    pipeline = data.splits.pipeline
    if not isinstance(pipeline, SeriesPipeline) or pipeline.per_step:
        return FilePredictor(task, data)
    dataset: Any = data.splits.dataset  # type: ignore[attr-defined]
    layout = dataset.layout if isinstance(dataset, Arrays) else "btc"
    return Predictor(task.net, pipeline, layout=layout)  # type: ignore[arg-type]
