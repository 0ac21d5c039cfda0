"""Windows over recordings with labelled anomalies: trained on their beginnings, tested whole."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqfuse.data.interfaces import LARGEST_BATCH
from seqfuse.data.read.recordings import LabelledTable, RecordingSource
from seqfuse.data.windows import WindowTensors
from seqfuse.runtime.errors import InputError, check_minimum
from seqfuse.runtime.pipelines.packed import pack
from seqfuse.runtime.pipelines.scaling import RecordingPipeline
from seqfuse.runtime.read.monitored import Recording
from seqfuse.runtime.shown import counted
from seqfuse.runtime.windows import Windows, sliding


@dataclass(eq=False, repr=False)
class Monitored:
    """Splits of recordings: training and validation lie in the part that may be trained on.

    Every recording is scaled by its own training rows. Testing goes over all of it, as a
    score needs a past: the forecasts' own loss and errors are those of all steps, while
    measures of anomalies look at what comes after the training part.

    Args:
        pipeline: fitted on the training rows alone.
        columns: channels to read; `all` of each recording, which must then agree.
        look_back: steps a forecast sees.
        horizon: steps to forecast.
        stride: steps from one window to the next.
        validation: fraction of the training part, its end, that is for validation.
        reconstruct: whether the horizon is the look-back itself.
    """

    unit = "windows"
    has_validation = True
    has_calibration = True
    calibrates_apart = False
    largest_batch = LARGEST_BATCH
    num_test = None
    """Not counted: testing goes over all rows."""

    source: RecordingSource
    pipeline: RecordingPipeline
    columns: str | Sequence[str] = "all"
    look_back: int = 96
    horizon: int = 8
    stride: int = 1
    validation: float = 0.2
    reconstruct: bool = False

    def __post_init__(self) -> None:
        check_minimum(1, look_back=self.look_back, horizon=self.horizon, stride=self.stride)
        if self.stride > self.horizon:
            raise InputError(
                f"data.stride={self.stride} must be at most data.horizon={self.horizon}"
            )
        if not self.columns:
            raise InputError("data.columns=[] leaves nothing to watch: name columns, or type all")
        if not 0 < self.validation < 1:
            raise InputError(f"data.validation={self.validation} must be above 0 and below 1")
        if self.reconstruct and self.look_back != self.horizon:
            raise InputError(
                f"a reconstruction gives back what it sees: type data.horizon={self.look_back}, "
                "as long as data.look_back"
            )
        self.overlap = self.horizon if self.reconstruct else 0
        self.fingerprints: dict[str, str] = {}
        self._recordings: list[Recording] = []
        self._tensors: dict[str, WindowTensors] = {}

    @property
    def origin(self) -> str:
        source = self.source
        return source.source.file if isinstance(source, LabelledTable) else type(source).__name__

    @property
    def num_steps(self) -> int:
        return self.look_back

    def recordings(self) -> list[Recording]:
        if not self._recordings:
            columns = self.columns if isinstance(self.columns, str) else list(self.columns)
            self._recordings = [recording.chosen(columns) for recording in self.source()]
            self._check_columns()
            widths = {recording.values.shape[1] for recording in self._recordings}
            if len(widths) > 1:
                raise InputError(
                    f"{self.origin}: recordings have {sorted(widths)} channels: choose some that "
                    "all have, such as data.columns=[value]"
                )
            digest = hashlib.sha256()
            for recording in self._recordings:
                digest.update(
                    np.ascontiguousarray(recording.values).tobytes() + recording.labels.tobytes()
                )
            self.fingerprints["recordings"] = digest.hexdigest()[:16]
        return self._recordings

    def metadata(self) -> dict[str, Any]:
        return {
            "job": "anomalies",
            "pipeline": pack(self.pipeline),
            "file_format": self.source.file_format,
            "train": self.source.train,
            "columns": self.columns,
            "look_back": self.look_back,
            "horizon": self.horizon,
            "overlap": self.overlap,
            "window_stride": self.stride,
            "validation": self.validation,
        }

    def rows(self, split: str) -> tuple[list[Recording]]:
        """All recordings, whole, as scores need a past."""
        if split != "test":
            raise InputError(f"split={split}: scores need whole recordings: type split=test")
        return (self.recordings(),)

    def _check_columns(self) -> None:
        columns = self.pipeline.columns
        for recording in self._recordings:
            if columns and recording.columns != columns:
                raise InputError(
                    f"{recording.name} has the columns {', '.join(recording.columns)}, "
                    f"training had {', '.join(columns)}: leave out or rename the others"
                )

    def fit(self) -> None:
        """Reads the recordings and fits a scale to the training rows of each."""
        self.pipeline.train_on([recording.name for recording in self.recordings()])
        for recording in self.recordings():
            self.pipeline.fit(
                recording.name, recording.values[: self.cut(recording)], recording.columns
            )
        self.tensors("train")

    def cut(self, recording: Recording) -> int:
        """Row at which the training part of a recording ends and its validation part begins."""
        return int(recording.num_train * (1 - self.validation))

    def tensors(self, split: str) -> WindowTensors:
        """Windows whose horizon lies in `train`, in `val`, in both or anywhere.

        Args:
            split: `train`, `val`, `calibration` for both, `test` for anywhere.
        """
        if split not in self._tensors:
            recordings = self.recordings()
            offsets = np.cumsum([0, *(len(recording.values) for recording in recordings)])
            spans = []
            for recording, first in zip(recordings, offsets.tolist(), strict=False):
                cut, n = first + self.cut(recording), first + recording.num_train
                ends = {"train": (first, cut), "val": (cut, n), "calibration": (first, n)}
                spans.append(ends.get(split, (first, first + len(recording.values))))
            sizes = (self.look_back, self.horizon)
            ahead = self.look_back - self.overlap
            starts = sliding(spans, offsets[:-1].tolist(), ahead, self.horizon, self.stride)
            if not len(starts):
                rows = max(end - first for first, end in spans)
                room = 0 if self.overlap else (rows - self.horizon) // 2
                smaller = f"data.look_back={room}" if room > 0 else "smaller ones"
                raise InputError(
                    f"{self.origin}: the {split} split, of at most {rows} rows of a recording, is "
                    f"too short for data.look_back={self.look_back} and "
                    f"data.horizon={self.horizon}: type {smaller}"
                )
            scaled = [
                self.pipeline.transform(recording.name, recording.values)
                for recording in recordings
            ]
            values = np.concatenate(scaled)
            codes = np.stack([self.pipeline.code(recording.name) for recording in recordings])
            more = {"overlap": self.overlap, "codes": codes, "offsets": offsets}
            windows = Windows(values, values, starts, *sizes, values.shape[1], **more)
            self._tensors[split] = WindowTensors(windows)
        return self._tensors[split]

    def sizes(self) -> dict[str, Any]:
        first = self.recordings()[0]
        channels = first.values.shape[1]
        width = channels + len(self.pipeline.code(first.name))
        return {"channels": width, "num_targets": channels, "num_known": 0}

    def describe(self) -> str:
        recordings = self.recordings()
        aim = "put together again" if self.overlap else f"to {self.horizon}"
        windows = sum(len(recording.windows) for recording in recordings)
        return (
            f"{self.look_back} steps {aim}, {counted(recordings[0].values.shape[1], 'channel')}, "
            f"{counted(len(recordings), 'recording')}, {counted(windows, 'labelled window')}"
        )

    def notes(self) -> Iterator[str]:
        if not any(recording.labels.any() for recording in self.recordings()):
            yield (
                "no step is labelled as anomalous (data.label): the test says how many are flagged "
                "(test/false_alarms), and seqfuse-predict alarms=alarms.csv which"
            )
