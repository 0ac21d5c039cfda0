"""Recordings of several devices at once, with a label for each moment."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfuse.data.items import Source
from seqfuse.data.people import People
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import lines_of
from seqfuse.runtime.read import devices
from seqfuse.runtime.read.arrays import load_arrays
from seqfuse.runtime.read.devices import Track
from seqfuse.runtime.recordings import Recordings

MARK = "{source}"


class Devices(Source):
    """One .npz per device: rows with a time in ms, a label, a person and an execution.

    Each recording is resampled to a common grid, that of the first source, over the time that all
    devices share; a step is the mean of the samples within it, and has the label of the sample
    nearest to its middle. (See `Track` for the arrays.)

    Args:
        file: name of each device's file in `root`, with `{source}` for the device.
        sources: devices to read, and their order; labels are those of the first.
        rate: steps a second; one number for all sources, or one for each.
        people: who is in which split.
        labels: a file in `root` with the names of the labels 0, 1, ..., one per line; without
            one, labels are named by themselves.
        missing: sources left out in validation, in test and in files to predict.
        joined: puts the channels of all sources, of one rate, beside each other.
        windows: steps of a window and from one to the next, that recordings are cut into.
        label_type: a window has the most frequent label of its steps (`classes`), all of them
            (`several`), or the fraction of its steps that each label has (`numbers`).
    """

    has_validation = True

    def __init__(
        self,
        file: str,
        sources: Sequence[str],
        rate: Sequence[float],
        people: People,
        labels: str | None = None,
        root: str = ".",
        missing: Collection[str] = (),
        joined: bool = False,
        windows: Sequence[int] | None = None,
        label_type: str = "classes",
    ):
        _check(file, sources, missing)
        self.files = {name: Path(root) / file.replace(MARK, name) for name in sources}
        rates = _per_source(rate, len(sources))
        self.widths = {name: 1000 / hertz for name, hertz in zip(sources, rates, strict=True)}
        self.people, self.label_type = people, label_type
        self.labels = Path(root) / labels if labels else None
        self.missing, self.joined, self.windows = sorted(missing), joined, windows
        if windows is not None and min(windows) < 1:
            size, every = windows
            raise InputError(f"data.size={size} and data.every={every} must be at least 1")

    def __call__(self, split: str) -> Recordings:
        tracks = {name: _track(path) for name, path in self.files.items()}
        every = devices.Devices(tracks, self.widths)
        people = every.first.people
        chosen = self.people.of(split, people.values())
        names = [name for name in every.names if people[name] in chosen]
        absent = () if split == "train" else self.missing
        items = every.recordings(names, absent, self._names(), labelled=True)
        items = devices.join(items) if self.joined else items
        if self.windows is None:
            return items
        size, every = self.windows
        return devices.cut(items, size, every, self.label_type, self._names())

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        windows = None if self.windows is None else list(self.windows)
        options = {"absent": self.missing, "joined": self.joined, "windows": windows}
        return {"kind": "devices", "widths": self.widths, **options}

    def _names(self) -> list[str] | None:
        if self.labels is None:
            return None
        if not self.labels.is_file():
            raise InputError(f"{self.labels} is not there: check data.labels")
        names = [word for _, line in lines_of(self.labels) for word in line.split()]
        if not names:
            raise InputError(f"{self.labels} names no label: write one on each line")
        return names


def _track(path: Path) -> Track:
    if not path.is_file():
        raise InputError(f"{path} is not there: check data.root and data.file")
    return Track(load_arrays(path), str(path))


def _check(file: str, sources: Sequence[str], missing: Collection[str]) -> None:
    """Raises InputError where an option names a source that is not there."""
    if not sources or len(set(sources)) < len(sources):
        raise InputError(f"data.sources={list(sources)} must name sources, each once")
    if MARK not in file and len(sources) > 1:
        raise InputError(f"data.file={file} must have {MARK} in it, for the name of each source")
    strangers = set(missing) - set(sources)
    if strangers:
        raise InputError(f"data.missing names '{min(strangers)}', which is not in data.sources")
    if set(missing) == set(sources):
        raise InputError(f"data.missing={list(missing)} leaves no source to look at")


def _per_source(rate: Sequence[float], count: int) -> list[float]:
    rates = [float(each) for each in rate] * (count if len(rate) == 1 else 1)
    if len(rates) != count or min(rates) <= 0:
        raise InputError(
            f"data.rate={list(rate)} must be numbers above 0: one for all sources, or one for "
            f"each of {count}"
        )
    return rates
