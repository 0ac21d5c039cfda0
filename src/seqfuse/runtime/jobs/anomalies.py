"""Anomalies in recordings: a score and a flag for each time step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import check_batch_size
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import path_in
from seqfuse.runtime.jobs.forecasts import in_folder, joined
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read.arrays import is_frame
from seqfuse.runtime.read.cells import as_cells
from seqfuse.runtime.read.monitored import (
    Recording,
    endings_of,
    leading,
    read_recordings,
    recording,
)
from seqfuse.runtime.read.numbers import as_numbers, check_finite
from seqfuse.runtime.read.stamps import carried_on
from seqfuse.runtime.scores.likelihood import Likelihood, Residuals, Scores, merge
from seqfuse.runtime.scores.subspace import Subspace
from seqfuse.runtime.windows import Windows, sliding
from seqfuse.runtime.writer import Columns, Rows

SCORERS = {"Likelihood": Likelihood, "Subspace": Subspace}


class Detector:
    """Scores of recordings, whose leading part is taken to be normal and gives the scale.

    Rows for people: `recording`, `time`, `score` from 0 to 1, and `anomaly`, 1 from the threshold
    on; of an ensemble `disagreement`. Steps that no window looks at have no score.

    Args:
        metadata: what a fitted data module and a task say of themselves.
        engine: predicts.
        batch_size: windows at a time; `auto` as many as suit the memory.
    """

    options: tuple[str, ...] = ()

    def __init__(self, metadata: Mapping[str, Any], engine: Engine, batch_size: int | str = "auto"):
        self.metadata, self.engine, self.batch_size = metadata, engine, batch_size
        check_batch_size(batch_size)
        self.endings = endings_of(metadata["reader"])
        self.columns: list[str] = metadata["pipeline"]["state"]["columns"]
        self.threshold: float = metadata["threshold"]
        """The minimum score of an anomaly."""
        self.scorer = metadata["scorer"]
        if isinstance(self.scorer, Mapping):  # not the object of a task
            options = dict(self.scorer)
            self.scorer = SCORERS[options.pop("kind")](**options)
        self.look_back, self.horizon = metadata["look_back"], metadata["horizon"]

    def predict(
        self, x: Any, num_train: int | None = None, name: str = "the recording"
    ) -> tuple[Scores, NDArray[np.int64]] | Columns:
        """Scores (t) from 0 to 1, NaN where no window looks, and flags (t) from the threshold on.

        Args:
            x: (t c) in the user's units, in the order of `columns`; NaN is as the step before.
                Or a table, as in training without labels: a dict of columns, a frame, or the
                path of a file.
            num_train: leading steps that are taken to be normal; as in training, if not given.
            name: of the recording, where x is an array; a net may know it.

        Returns:
            both; of a table columns as in a file, a row for each step of each recording.
        """
        path = path_in(x, self.endings)
        if path or isinstance(x, Mapping) or is_frame(x):
            recordings = read_recordings(path or as_cells(x), self.metadata["reader"])
            if num_train is not None:
                recordings = [one._replace(num_train=num_train) for one in recordings]
            return joined(self._rows(recordings, labelled=False))
        values = as_numbers(x, name, f"numbers (time, {len(self.columns)} columns)", (2,))
        if values.shape[1] != len(self.columns):
            raise InputError(
                f"{name} has {values.shape[1]} columns, training had {', '.join(self.columns)}"
            )
        rule = self.metadata["train"]
        if num_train is None and rule is None:
            raise InputError(
                f"{name}: nobody knows how many leading steps are normal: say it in Python: "
                "model = run.load(); model.predict(x, num_train=...)"
            )
        normal = leading(len(values), rule) if num_train is None else num_train
        values = self._filled(values.astype(np.float64), name)
        place = np.arange(len(values))
        scores, _ = self._scores(recording(name, place, values, self.columns, normal))
        return scores, self._flags(scores)

    def rows(self, path: str | Path) -> Rows:
        """Rows for people of a file in the format of training; labels are left out."""
        return self._rows(read_recordings(Path(path), self.metadata["reader"]), labelled=False)

    def table(self, path: str | Path) -> Columns:
        """All rows of a file at once."""
        return joined(self.rows(path))

    def folder(self, paths: Sequence[Path]) -> Rows:
        """The same of files; the column `file` comes first."""
        return in_folder(self.rows, paths)

    def known(self, recordings: Sequence[Recording]) -> Rows:
        """The same of the training data, whole, with `label`."""
        return self._rows(recordings, labelled=True)

    def _rows(self, recordings: Sequence[Recording], labelled: bool) -> Rows:
        blocks = (
            self._columns(recording)
            | ({"label": recording.labels.astype(np.int64)} if labelled else {})
            for recording in recordings
        )
        return Rows(blocks, sum(len(recording.values) for recording in recordings))

    def _columns(self, recording: Recording) -> Columns:
        recording = recording.chosen(self.metadata["columns"])
        if recording.columns != self.columns:
            raise InputError(
                f"{recording.name} has the columns {', '.join(recording.columns)}, training had "
                f"{', '.join(self.columns)}: leave out or rename the others"
            )
        scores, apart = self._scores(recording)
        names = np.repeat(recording.name, len(scores))
        return {
            "recording": names,
            "time": recording.time,
            "score": scores,
            "anomaly": self._flags(scores),
        } | ({} if apart is None else {"disagreement": apart})

    def _flags(self, scores: Scores) -> NDArray[np.int64]:
        return (scores >= self.threshold).astype(np.int64)

    def _filled(self, values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """(t c) with each missing value as the step before, or at the start as the one behind."""
        check_finite(values, self.columns, name)
        values = carried_on(carried_on(values)[::-1])[::-1]
        for c in np.flatnonzero(np.isnan(values).any(axis=0))[:1]:
            raise InputError(f"{name}: column '{self.columns[c]}' has no value at all: fill it")
        return values

    def _scores(self, recording: Recording) -> tuple[Scores, Scores | None]:
        """(t) scores, and of an ensemble how far its members are apart: the mean over windows and
        columns of the standard deviation of what they predict, as a share of that of the data."""
        steps, overlap = len(recording.values), self.metadata["overlap"]
        ahead = max(0, self.look_back - overlap)
        cut = int(recording.num_train * (1 - self.metadata["validation"]))
        if cut < 1 or ahead + self.horizon > min(recording.num_train, steps):
            raise InputError(
                f"{recording.name}: its leading part, taken to be normal, has "
                f"{recording.num_train} rows of {steps}, too few for a window: add earlier rows"
            )
        pipeline = unpack(self.metadata["pipeline"])
        pipeline.fit(recording.name, recording.values[:cut], self.columns)
        values = pipeline.transform(recording.name, recording.values)
        windows = Windows(
            values,
            values,
            sliding([(0, steps)], [0], ahead, self.horizon, self.metadata["window_stride"]),
            self.look_back,
            self.horizon,
            len(self.columns),
            overlap=overlap,
            codes=pipeline.code(recording.name)[None],
            offsets=np.array([0, steps]),
        )
        batches = [  # without attention weights
            (starts, self.engine(feeds)[::2]) for starts, feeds in windows.feeds(self.batch_size)
        ]
        residuals = Residuals.joined([
            Residuals.of(starts, outputs[0], windows.y(starts), self.scorer.reads_predictions)
            for starts, outputs in batches
        ])  # fmt: skip
        scores = self.scorer.of_windows(
            recording.values, recording.num_train, residuals, recording.name
        )
        if "members" not in self.metadata:
            return scores, None
        apart = np.concatenate([outputs[1].mean(axis=2) for _, outputs in batches])
        starts = np.concatenate([starts for starts, _ in batches])
        return scores, merge(apart.astype(np.float64), starts, steps)
