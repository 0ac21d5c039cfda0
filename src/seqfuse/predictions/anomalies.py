"""Anomalies in recordings: a score and a flag for each time step."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seqfuse.data.module import DataModule
from seqfuse.data.monitored import Monitored
from seqfuse.data.read.recordings import Recording
from seqfuse.predictions.batches import Part, in_parts
from seqfuse.predictions.forward import Forward
from seqfuse.predictions.work import Work, one_by_one
from seqfuse.runtime.errors import InputError
from seqfuse.tasks.anomaly import AnomalyTask, Errors


class Anomalies:
    """Columns `recording`, `time`, `score` from 0 to 1, and `anomaly`, 1 from the threshold on.

    The leading part of each recording, as long as in training, is taken to be normal: it
    gives the scale. Steps that no window looks at have no score.

    Args:
        data: holds the fitted pipeline.
        forward: predicts what is normal.
    """

    knobs = ()

    def __init__(self, data: DataModule, forward: Forward):
        self.data = data
        self.splits: Monitored = data.splits  # type: ignore[assignment]
        self.forward = forward
        self.task: AnomalyTask = forward.task  # type: ignore[assignment]
        self.endings: tuple[str, ...] = getattr(self.splits.source, "endings", (".csv",))

    def file(self, path: Path) -> Work:
        """What a file in the format of the training data holds."""
        if not path.name.lower().endswith(self.endings):
            raise InputError(f"{path}: the ending must be one of: {', '.join(self.endings)}")
        return self._work(self.splits.source.file(path), truth=False)  # type: ignore[attr-defined]

    def folder(self, paths: Sequence[Path]) -> Iterator[pd.DataFrame]:
        """The recordings of files; the column `file` comes first."""
        return one_by_one(self.file, paths)

    def split(self, split: str) -> Work:
        """The recordings of the training data, whole, with `label`."""
        if split != "test":
            raise InputError(f"split={split}: scores need whole recordings: type split=test")
        return self._work(self.splits.recordings(), truth=True)

    def _work(self, recordings: Sequence[Recording], truth: bool) -> Work:
        total = sum(len(one.values) for one in recordings)
        return Work(total, self._frames(recordings, truth))

    def _frames(self, recordings: Sequence[Recording], truth: bool) -> Iterator[pd.DataFrame]:
        for one in recordings:
            scores = self._scores(one)
            flags = (scores >= self.task.threshold).astype(int)
            frame = {"recording": one.name, "time": one.time, "score": scores, "anomaly": flags}
            yield pd.DataFrame(frame | ({"label": one.labels.astype(int)} if truth else {}))

    def _scores(self, one: Recording) -> np.ndarray:
        splits = self.splits.of([one])
        errors = Errors(self.task.scorer.reads_predictions)
        windows, least = splits.tensors("test"), int(splits.tensors("test").index[0])
        if least + splits.horizon > one.num_train:
            raise InputError(
                f"{one.name}: its leading part, taken to be normal, has {one.num_train} rows of "
                f"{len(one.values)}, too few for a window: add earlier rows"
            )
        for part, prediction in self.forward.each(map(Part, in_parts(windows))):
            errors.add(prediction, part.batch)
        return errors.score(splits.recordings(), self.task.scorer)[0].scores
