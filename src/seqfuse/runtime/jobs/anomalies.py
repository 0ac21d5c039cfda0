"""Anomalies in recordings: a score and a flag for each time step."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.batches import in_blocks
from seqfuse.runtime.engine import Engine
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.explanations import explained
from seqfuse.runtime.explanations.cases import Case, Input, Wanted
from seqfuse.runtime.explanations.scores import Errors, chosen
from seqfuse.runtime.files import path_in
from seqfuse.runtime.jobs.job import Job, joined
from seqfuse.runtime.pipelines.labels import SEPARATOR
from seqfuse.runtime.pipelines.packed import unpack
from seqfuse.runtime.read.arrays import is_frame
from seqfuse.runtime.read.monitored import (
    Recording,
    endings_of,
    leading,
    read_recordings,
    recording,
)
from seqfuse.runtime.read.numbers import as_numbers, check_finite
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.read.table.steps import carried_on
from seqfuse.runtime.scores.alarms import (
    Limit,
    at_quantile,
    days,
    drivers,
    intervals,
    within_budget,
)
from seqfuse.runtime.scores.likelihood import Likelihood, Residuals, Scores, merge
from seqfuse.runtime.scores.subspace import Subspace
from seqfuse.runtime.windows import Windows, sliding
from seqfuse.runtime.writer import Columns, Rows

SCORERS = {"Likelihood": Likelihood, "Subspace": Subspace}


class Scored(NamedTuple):
    """A recording and what its windows say."""

    recording: Recording
    scores: Scores
    """(t) from 0 to 1, NaN where no window looks."""
    disagreement: Scores | None
    """(t) how far the members of an ensemble are apart: the mean over windows and columns of the
    standard deviation of what they predict, as a fraction of that of the data."""
    contributions: Scores | None
    """(t c) of channels to the scores, where alarms are asked for."""


class Detector(Job):
    """Scores of recordings, whose leading part is taken to be normal and gives the scale.

    Rows for people: `recording`, `time`, `score` from 0 to 1, and `anomaly`, 1 from the threshold
    on; of an ensemble `disagreement`. Steps that no window looks at have no score. Alarms: rows of
    their own with `recording`, `start`, `end`, `peak`, `score` (at the peak) and `channels`, those
    that make up half of it. Flagged steps nearer than what a score looks at are one alarm.

    Args:
        metadata, engine, batch_size: as of a `Job`.
        threshold: the lowest score of an anomaly, in place of that of training.
        quantile: or the fraction of normal steps that are below it.
        budget: or how many alarms a day there are, at most, in a file.
        alarms: whether files are asked for alarms, too.
    """

    options = (*Limit._fields, "alarms")

    def __init__(
        self,
        metadata: Mapping[str, Any],
        engine: Engine,
        batch_size: int | str = "auto",
        threshold: float | None = None,
        quantile: float | None = None,
        budget: float | None = None,
        alarms: Any = False,
    ):
        super().__init__(metadata, engine, batch_size)
        self.endings = endings_of(metadata["file_format"])
        self.columns: list[str] = metadata["pipeline"]["state"]["columns"]
        self.limit = Limit.checked(threshold=threshold, quantile=quantile, budget=budget)
        self.finds_alarms = bool(alarms)
        self.scorer = metadata["scorer"]
        if isinstance(self.scorer, Mapping):  # not the object of a task
            options = dict(self.scorer)
            self.scorer = SCORERS[options.pop("kind")](**options)
        self.look_back, self.horizon = metadata["look_back"], metadata["horizon"]
        self.gap: int = self.scorer.span(self.horizon)
        """Flagged steps at most so far apart are in one alarm."""

    @property
    def threshold(self) -> float:
        """The lowest score of an anomaly, where no budget asks for another."""
        if self.limit.threshold is not None:
            return self.limit.threshold
        if self.limit.quantile is not None:
            if "thresholds" not in self.metadata:
                raise InputError("quantile= is not known of this folder: export it again")
            return at_quantile(self.metadata["thresholds"], self.limit.quantile)
        return self.metadata["threshold"]

    def predict(
        self,
        x: Any,
        num_train: int | None = None,
        name: str = "the recording",
        threshold: float | None = None,
        quantile: float | None = None,
        budget: float | None = None,
    ) -> tuple[Scores, NDArray[np.int64]] | Columns:
        """Scores (t) from 0 to 1, NaN where no window looks, and flags (t) from the threshold on.

        Args:
            x: (t c) in the user's units, in the order of `columns`; NaN is as the step before.
                Or a table, as in training without labels: a dict of columns, a frame, or the
                path of a file.
            num_train: leading steps that are taken to be normal; as in training, if not given.
            name: of the recording, where x is an array; a net may know it.
            threshold, quantile, budget: one of them, in place of that of the detector.

        Returns:
            both; of a table columns as in a file, a row for each step of each recording.
        """
        limit = {"threshold": threshold, "quantile": quantile, "budget": budget}
        job = self._with(self.finds_alarms, **limit)
        recordings = job._recordings(x, num_train, name)
        if not isinstance(recordings, Recording):
            return joined(job._rows(recordings, labelled=False))
        [(scored, threshold)] = job._scored([recordings])
        return scored.scores, _flags(scored.scores, threshold)

    def alarms(
        self,
        x: Any,
        num_train: int | None = None,
        name: str = "the recording",
        threshold: float | None = None,
        quantile: float | None = None,
        budget: float | None = None,
    ) -> Columns:
        """Alarms as columns, of what `predict` takes; of an array steps stand in place of times."""
        limit = {"threshold": threshold, "quantile": quantile, "budget": budget}
        job = self._with(True, **limit)
        recordings = job._recordings(x, num_train, name)
        rows = job._rows([recordings] if isinstance(recordings, Recording) else recordings, False)
        for _ in rows:
            pass
        return joined(iter(rows.alarms()))

    def explain(
        self,
        x: Any,
        method: str = "gradients",
        target: str | None = None,
        step: int | None = None,
        segment: int | None = None,
        num_train: int | None = None,
        name: str = "the recording",
    ) -> Columns:
        """Attributions, as of a `Job`: the fraction of each value looked back on in the error at
        the peak of each alarm; of a recording without one, at its highest score.

        Args:
            x, num_train, name: as in `predict`.
            target: the column whose error is explained; the mean over all, if not given.
            step: None, as errors are explained at the peak alone.
            method, segment: as of a `Job`.
        """
        recordings = self._recordings(x, num_train, name)
        every = [recordings] if isinstance(recordings, Recording) else recordings
        cases = self.cases_known(Wanted(target, step), every)
        return explained.columns(self.engine, cases, method, segment)

    def cases_of(self, path: Path, wanted: Wanted, file: str | None = None) -> Iterator[Case]:
        recordings = read_recordings(Path(path), self.metadata["file_format"])
        return self.cases_known(wanted, recordings, **({} if file is None else {"file": file}))

    def cases_known(
        self, wanted: Wanted, recordings: Sequence[Recording], **names: str
    ) -> Iterator[Case]:
        if self.metadata["overlap"]:
            raise InputError(explained.RECONSTRUCTED)
        wanted.check_whole("anomalies")
        every = np.arange(len(self.columns))
        targets = np.unique(chosen(wanted.target, self.columns, "target", every))
        size = self.batch_size if isinstance(self.batch_size, int) else explained.WINDOWS
        for scored, threshold in self._scored(recordings):
            scores = scored.scores
            alarms = intervals(scores, threshold, self.gap)
            peaks = np.array([alarm.peak for alarm in alarms] or [np.nanargmax(scores)])
            _, windows = self._windows(scored.recording)
            for part in in_blocks(len(peaks), size):
                yield self._case(scored.recording, windows, peaks[part], targets, names)

    def _case(
        self,
        recording: Recording,
        windows: Windows,
        peaks: NDArray[np.int64],
        targets: NDArray[np.int64],
        names: Mapping[str, str],
    ) -> Case:
        """Errors at peaks, each in the last window whose horizon holds it."""
        every = np.asarray(windows.starts)
        starts = every[np.searchsorted(every, peaks, side="right") - 1]
        feeds = {"x": windows.x(starts).astype(np.float32), "mask": windows.mask(starts)}
        x, count = feeds["x"], len(self.columns)
        prediction, weights, *_ = self.engine(feeds)
        truth, of_peak = windows.y(starts), np.zeros((len(peaks), self.horizon, count))
        of_peak[np.arange(len(peaks))[:, None], (peaks - starts)[:, None], targets] = 1
        of_peak /= of_peak.sum(axis=(1, 2), keepdims=True)
        baseline = x.copy()
        baseline[..., :count] = 0.0  # of scaled values, the mean; a code stays
        channels = np.minimum(np.arange(x.shape[2]), count - 1)
        present = np.repeat(feeds["mask"][:, :, None], count, axis=2)
        name = "error" if len(targets) > 1 else f"error of {self.columns[targets[0]]}"
        places = [start - self.look_back + np.arange(self.look_back) for start in starts]
        origins: dict[str, Any] = {
            **{name: [each] * len(peaks) for name, each in names.items()},
            "recording": [recording.name] * len(peaks),
            "peak": recording.time[peaks],
        }
        steps: list[Mapping[str, Any]] = [
            {"step": rows[rows >= 0] - rows[-1], "time": recording.time[rows[rows >= 0]]}
            for rows in places
        ]
        return Case(
            feeds,
            [Input("", "x", baseline, channels, self.columns, present)],
            prediction,
            weights,
            np.full(weights.shape[:2], 1 / weights.shape[1]),
            self.metadata["stride"],
            Errors(truth, of_peak, [name] * len(peaks), "scaled units"),
            origins,
            steps,
        )

    def _with(self, alarms: bool, **given: float | None) -> "Detector":
        """A copy of the detector with another limit, where one is given."""
        limit = Limit.checked(**given)
        limit = self.limit if limit == Limit() else limit
        return Detector(self.metadata, self.engine, self.batch_size, *limit, alarms=alarms)

    def _recordings(
        self, x: Any, num_train: int | None, name: str
    ) -> Recording | Sequence[Recording]:
        """The recording of an array, or those of a table."""
        path = path_in(x, self.endings)
        if path or isinstance(x, Mapping) or is_frame(x):
            recordings = read_recordings(path or as_cells(x), self.metadata["file_format"])
            if num_train is not None:
                recordings = [each._replace(num_train=num_train) for each in recordings]
            return recordings
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
        return recording(name, place, values, self.columns, normal)

    def rows(self, path: str | Path) -> Rows:
        """Rows for people of a file in the format of training; labels are left out."""
        return self._rows(read_recordings(Path(path), self.metadata["file_format"]), labelled=False)

    def known(self, recordings: Sequence[Recording]) -> Rows:
        """Rows for people of the training data, whole, with `label`."""
        return self._rows(recordings, labelled=True)

    def _rows(self, recordings: Sequence[Recording], labelled: bool) -> Rows:
        alarms: list[Columns] = []
        notes: list[str] = []

        def blocks() -> Iterator[Columns]:
            for scored, threshold in self._scored(recordings):
                if self.finds_alarms:
                    alarms.append(self._alarms(scored, threshold))
                if self.limit.budget is not None and not notes:
                    notes.append(f"threshold   {threshold:.4g} for budget={self.limit.budget:g}")
                yield self._columns(scored, threshold, labelled)

        total = sum(len(recording.values) for recording in recordings)
        return Rows(blocks(), total, lambda: notes, lambda: alarms)

    def _scored(self, recordings: Sequence[Recording]) -> Iterator[tuple[Scored, float]]:
        if self.limit.budget is None:
            yield from ((self._scores(recording), self.threshold) for recording in recordings)
            return
        allowed = int(self.limit.budget * days([each.time for each in recordings]) + 1e-9)
        every = [self._scores(recording) for recording in recordings]
        threshold = within_budget([each.scores for each in every], allowed, self.gap)
        yield from ((each, threshold) for each in every)

    def _columns(self, scored: Scored, threshold: float, labelled: bool) -> Columns:
        columns = {
            "recording": np.repeat(scored.recording.name, len(scored.scores)),
            "time": scored.recording.time,
            "score": scored.scores,
            "anomaly": _flags(scored.scores, threshold),
        }
        if scored.disagreement is not None:
            columns["disagreement"] = scored.disagreement
        if labelled:
            columns["label"] = scored.recording.labels.astype(np.int64)
        return columns

    def _alarms(self, scored: Scored, threshold: float) -> Columns:
        recording, contributions = scored.recording, scored.contributions
        alarms = intervals(scored.scores, threshold, self.gap)
        steps = np.array(alarms, dtype=np.int64).reshape(-1, 3)
        channels = [
            SEPARATOR.join(drivers(contributions, alarm, recording.num_train, recording.columns))
            for alarm in alarms
            if contributions is not None
        ]
        times = zip(("start", "end", "peak"), recording.time[steps].T, strict=True)
        return {
            "recording": np.repeat(recording.name, len(alarms)),
            **dict(times),
            "score": scored.scores[steps[:, 2]],
            "channels": np.array(channels, dtype=str),
        }

    def _filled(self, values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """(t c) with each missing value as the step before, or at the start as the one behind."""
        check_finite(values, self.columns, name)
        values = carried_on(carried_on(values)[::-1])[::-1]
        for c in np.flatnonzero(np.isnan(values).any(axis=0))[:1]:
            raise InputError(f"{name}: column '{self.columns[c]}' has no value at all: fill it")
        return values

    def _windows(self, recording: Recording) -> tuple[Recording, Windows]:
        """A recording with the columns of training, and all of its windows, scaled."""
        recording = recording.chosen(self.metadata["columns"])
        if recording.columns != self.columns:
            raise InputError(
                f"{recording.name} has the columns {', '.join(recording.columns)}, training had "
                f"{', '.join(self.columns)}: leave out or rename the others"
            )
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
        return recording, Windows(
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

    def _scores(self, recording: Recording) -> Scored:
        recording, windows = self._windows(recording)
        batches = [  # without attention weights
            (starts, predicted.prediction, predicted.disagreement)
            for starts, feeds in windows.feeds(self.batch_size)
            for predicted in [self.engine(feeds)]
        ]
        kept = self.scorer.reads_predictions or self.finds_alarms
        residuals = Residuals.joined([
            Residuals.of(starts, prediction, windows.y(starts), kept)
            for starts, prediction, _ in batches
        ])  # fmt: skip
        scores = self.scorer.of_windows(
            recording.values, recording.num_train, residuals, recording.name
        )
        contributions = None
        if self.finds_alarms:
            contributions = self.scorer.contributions(
                recording.values, windows.values, recording.num_train, residuals
            )
        if "members" not in self.metadata:
            return Scored(recording, scores, None, contributions)
        apart = np.concatenate([each.mean(axis=2) for *_, each in batches])  # type: ignore[union-attr]
        starts = np.concatenate([starts for starts, *_ in batches])
        disagreement = merge(apart.astype(np.float64), starts, len(recording.values))
        return Scored(recording, scores, disagreement, contributions)


def _flags(scores: Scores, threshold: float) -> NDArray[np.int64]:
    return (scores >= threshold).astype(np.int64)
