"""Recordings of several devices at once, resampled to a common grid."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import label_text, labels_of
from seqfuse.runtime.pipelines.series import series
from seqfuse.runtime.pipelines.sources import clocked
from seqfuse.runtime.read.arrays import missing
from seqfuse.runtime.read.numbers import as_float32
from seqfuse.runtime.recordings import Recordings

PARTS = (("id",), ("subject", "execution"))
"""Arrays that tell recordings apart; the first of several is the person."""
MAX_STEPS = 10
"""Steps for each sample of a recording: with more of them, nearly all would be made up."""


class Track:
    """The rows of one device.

    Args:
        arrays: `x` (rows, channels), `t_ms` (rows), and `subject` and `execution` or `id`
            (rows), without which all rows are one recording; perhaps `label` (rows).
        origin: where they were read; error messages begin with it.
        prefix: that the names of the arrays begin with.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], origin: str, prefix: str = ""):
        self.origin = origin
        self.arrays = arrays
        self.prefix = prefix
        self.x: NDArray[np.float32] = as_float32(self._numbers("x", 2), self._value_name)
        self.time: NDArray[np.int64] = self._times()
        self.labels = self._column("label") if self.has("label") else None
        self.rows: dict[str, slice] = {}
        """Rows of each recording, by name."""
        self.people: dict[str, Any] = {}
        """Who is seen in each recording."""
        self._cut()

    def _value_name(self, index: tuple[int, ...]) -> str:
        return f"{self.origin}: {self.prefix}x at row {index[0]}, channel {index[1]}"

    def has(self, name: str) -> bool:
        return self.prefix + name in self.arrays

    def _column(self, name: str) -> np.ndarray:
        if not self.has(name):
            raise missing(self.origin, self.prefix + name, list(self.arrays))
        array = self.arrays[self.prefix + name]
        if name != "x" and array.shape != (len(self.x),):
            raise InputError(
                f"{self.origin}: {self.prefix}{name} has shape {array.shape}, but "
                f"{self.prefix}x has {len(self.x)} rows"
            )
        return array

    def _numbers(self, name: str, axes: int) -> np.ndarray:
        array = self._column(name)
        if array.ndim != axes or array.dtype.kind not in "iuf" or not len(array):
            wanted = "(rows, channels)" if axes == 2 else "(rows)"
            raise InputError(
                f"{self.origin}: {self.prefix}{name} has shape {array.shape} of {array.dtype}, "
                f"expected numbers {wanted}"
            )
        return array

    def _times(self) -> NDArray[np.int64]:
        time = self._numbers("t_ms", 1)
        wrong = np.flatnonzero(~np.isfinite(time))
        if len(wrong):
            raise InputError(
                f"{self.origin}: {self.prefix}t_ms is {time[wrong[0]]} at row {wrong[0]}"
            )
        return time.astype(np.int64, copy=False)

    def _cut(self) -> None:
        names = next((names for names in PARTS if all(map(self.has, names))), ())
        columns = [self._column(name) for name in names]
        changes = [column[1:] != column[:-1] for column in columns]
        starts = np.flatnonzero(np.any(changes, axis=0)) + 1 if columns else np.array([], int)
        edges = [0, *starts.tolist(), len(self.x)]
        for first, end in pairwise(edges):
            parts = [_text(column[first]) for column in columns]
            name = "-".join(parts) or "0"
            if name in self.rows:
                raise InputError(
                    f"{self.origin}: at row {first} of {self.prefix}x recording {name} goes on "
                    "behind another one: put its rows together"
                )
            self.rows[name] = slice(first, end)
            self.people[name] = parts[0] if parts else "0"

    def check(self, name: str) -> None:
        """Raises InputError if a recording has infinite values, or time runs backwards in it."""
        rows = self.rows[name]
        back = np.flatnonzero(np.diff(self.time[rows]) < 0)
        if len(back):
            raise InputError(
                f"{self.origin}: {self.prefix}t_ms runs backwards at row "
                f"{rows.start + back[0] + 1} (recording {name})"
            )
        wrong = np.argwhere(np.isinf(self.x[rows]))
        if len(wrong):
            row, channel = wrong[0]
            raise InputError(
                f"{self.origin}: {self.prefix}x has an infinite value at row {rows.start + row}, "
                f"channel {channel}"
            )

    def check_steps(self, name: str, width: float) -> None:
        """Raises InputError if a recording is mostly a gap, or its times are no milliseconds."""
        time = self.time[self.rows[name]]
        if (time[-1] - time[0]) / width <= MAX_STEPS * len(time):
            return
        longest = int(np.diff(time).argmax()) + 1
        raise InputError(
            f"{self.origin}: {self.prefix}t_ms of recording {name} goes from {time[0]} to "
            f"{time[-1]} in {len(time)} rows, the longest gap before row "
            f"{self.rows[name].start + longest}: give milliseconds, and cut recordings at gaps"
        )

    def span(self, name: str) -> tuple[int, int]:
        time = self.time[self.rows[name]]
        return int(time[0]), int(time[-1])


class Piece(NamedTuple):
    """A recording, over the time that all devices share."""

    name: str
    start: int
    """In ms."""
    steps: dict[str, int]
    """By source."""


class Devices:
    """Recordings of several devices, of which each has all; labels are those of the first.

    Steps of a source are so many ms wide; the clock is that of the first, which need have no track.
    """

    def __init__(self, tracks: Mapping[str, Track], widths: Mapping[str, float]):
        self.tracks, self.widths = dict(tracks), dict(widths)
        self.clock = next(iter(widths))
        self.first = next(iter(self.tracks.values()))
        self.names = _common(self.tracks)
        self.origin = ", ".join(dict.fromkeys(track.origin for track in self.tracks.values()))

    def recordings(
        self,
        names: Sequence[str],
        absent: Collection[str] = (),
        labels: Sequence[str] | None = None,
        labelled: bool = False,
    ) -> Recordings:
        """The recordings of these names, each step the mean of the samples within it.

        Sources that are `absent` help to find the clock, and are left out. `labels` names 0, 1,
        ...; where they are read, a step has that of the sample nearest to its middle.
        """
        pieces = [self._piece(name) for name in names]
        times = [self._times(piece) for piece in pieces]
        return clocked(
            np.array([len(time) for time in times], dtype=np.int64),
            {name: self._part(name, pieces) for name in self.tracks if name not in absent},
            names=list(names),
            labels=[self._truth(piece, labels) for piece in pieces] if labelled else None,
            groups=[self.first.people[name] for name in names],
            steps={"t_ms": np.concatenate(times)},
            origin=self.origin,
            unit="recordings",
        )

    def _piece(self, name: str) -> Piece:
        for source, track in self.tracks.items():
            track.check(name)
            track.check_steps(name, self.widths[source])
        spans = {source: track.span(name) for source, track in self.tracks.items()}
        start, end = max(s for s, _ in spans.values()), min(e for _, e in spans.values())
        steps = {source: int((end - start) // width) for source, width in self.widths.items()}
        if min(steps.values()) < 1:
            times = ", ".join(f"'{source}' from {s} to {e}" for source, (s, e) in spans.items())
            raise InputError(f"{self.origin}: recording {name} has no step in common: t_ms {times}")
        return Piece(name, start, steps)

    def _part(self, source: str, pieces: Sequence[Piece]) -> Recordings:
        track, means = self.tracks[source], []
        for piece in pieces:
            rows, grid = track.rows[piece.name], (self.widths[source], piece.steps[source])
            means.append(average(track.x[rows], track.time[rows], piece.start, *grid))
        return series(means, origin=track.origin)

    def _truth(self, piece: Piece, names: Sequence[str] | None) -> list[str]:
        track, grid = self.first, (self.widths[self.clock], piece.steps[self.clock])
        if track.labels is None:
            raise missing(track.origin, f"{track.prefix}label", list(track.arrays))
        rows = track.rows[piece.name]
        at = rows.start + nearest(track.time[rows], piece.start, *grid)
        labels = track.labels[at].tolist()
        if names is None:
            return [label_text(label) for label in labels]
        for row, label in zip(at.tolist(), labels, strict=True):
            if not isinstance(label, int) or not 0 <= label < len(names):
                raise InputError(
                    f"{track.origin}: row {row} has label {label}, but data.labels names 0 to "
                    f"{len(names) - 1}"
                )
        return [str(names[label]) for label in labels]

    def _times(self, piece: Piece) -> NDArray[np.int64]:
        """When each step of the clock begins."""
        steps = np.arange(piece.steps[self.clock])
        return np.round(piece.start + self.widths[self.clock] * steps).astype(np.int64)


def _common(tracks: Mapping[str, Track]) -> list[str]:
    """Names of the recordings, in the order of the first device."""
    first, *others = tracks
    for other in others:
        for has, lacks in ((first, other), (other, first)):
            for name, rows in tracks[has].rows.items():
                if name not in tracks[lacks].rows:
                    raise InputError(
                        f"{tracks[lacks].origin}: '{lacks}' has no recording {name}, which "
                        f"'{has}' has from row {rows.start} of {tracks[has].origin} on"
                    )
    return [*tracks[first].rows]


def join(items: Recordings) -> Recordings:
    """The channels of all sources beside each other, in their order."""
    for name, part in items.sources.items():
        if not np.array_equal(part.lengths, items.lengths):
            raise InputError(
                f"'{name}' has another rate than the others, and cannot be joined to them: make "
                "data.rate one number, or take data=har_fusion"
            )
    x = np.concatenate([part.values for part in items.sources.values()], axis=1)
    return replace(items, values=x, sources={})


def cut(
    items: Recordings,
    size: int,
    every: int,
    label_type: str = "classes",
    classes: Sequence[str] | None = None,
) -> Recordings:
    """Windows of `size` steps of recordings, every n-th; `<name>-<first step>` names each.

    The most frequent label is the window's; of `several` all labels of its steps are; `numbers` are
    the fractions of its steps that each class has, of these or of those that occur. Steps behind
    the last whole window are left out; a recording shorter than one is a window.
    """
    places = [
        (row, first)
        for row, steps in enumerate(items.lengths.tolist())
        for first in range(0, max(steps - size, 0) + 1, every)
    ]
    ends = [min(first + size, int(items.lengths[row])) for row, first in places]
    windows = [(items.offsets[row] + a, items.offsets[row] + b)
               for (row, a), b in zip(places, ends, strict=True)]  # fmt: skip
    labels, names, groups = items.labels, items.names, items.groups
    if labels is not None:
        if not items.per_step:
            raise InputError(f"{items.origin}: only series with a label per step can be cut")
        each = [labels[row][first : first + size] for row, first in places]
        if label_type == "numbers":
            classes = classes or sorted({name for names in each for name in names})
            shares = [[names.count(name) / len(names) for name in classes] for names in each]
            labels = labels_of(shares, items.origin, label_type)
        elif label_type == "several":
            labels = labels_of(each, items.origin, label_type)
        else:  # of labels as frequent as each other, the first one
            labels = [Counter(names).most_common(1)[0][0] for names in each]
    return Recordings.of(
        [items.values[a:b] for a, b in windows],
        labels=labels,
        names=names and [f"{names[row]}-{first}" for row, first in places],
        groups=groups and [groups[row] for row, _ in places],
        targets=(classes or ()) if label_type == "numbers" else (),
        origin=items.origin,
    )


def bins(time: NDArray[np.int64], start: float, width: float) -> NDArray[np.int64]:
    """(n) number of the step that each sample falls into; outside of the grid, too."""
    return np.floor((time - start) / width).astype(np.int64)


def average(
    x: NDArray[np.float32], time: NDArray[np.int64], start: float, width: float, steps: int
) -> NDArray[np.float32]:
    """(steps c) The mean of the samples (n c) within each step, whose times never decrease.

    A step without a sample, or with missing values (NaN) alone, gets what lies on the line between
    its neighbours; a channel without any value stays NaN. The start and the width of a step are in
    the unit of `time`.
    """
    step = bins(time, start, width)
    inside = (step >= 0) & (step < steps)
    values, step = x[inside], step[inside]
    channels = [_channel(values[:, c], step, steps) for c in range(x.shape[1])]
    return np.stack(channels, axis=1).astype(np.float32)


def _channel(values: NDArray[np.float32], step: NDArray[np.int64], steps: int) -> NDArray:
    real = ~np.isnan(values)
    count = np.bincount(step[real], minlength=steps)
    total = np.bincount(step[real], values[real], minlength=steps)
    full = np.flatnonzero(count)
    if not len(full):
        return np.full(steps, np.nan)
    return np.interp(np.arange(steps), full, total[full] / count[full])


def nearest(time: NDArray[np.int64], start: float, width: float, steps: int) -> NDArray[np.int64]:
    """(steps) row of the sample that lies nearest to the middle of each step."""
    middle = start + width * (np.arange(steps) + 0.5)
    place = np.searchsorted(time, middle)
    before, after = (place - 1).clip(min=0), place.clip(max=len(time) - 1)
    return np.where(abs(middle - time[before]) <= abs(time[after] - middle), before, after)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
