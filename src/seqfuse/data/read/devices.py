"""Recordings of several devices at once, with a label for each moment."""

from collections.abc import Collection, Sequence
from pathlib import Path

from seqfuse.data.people import People
from seqfuse.data.read.lineup import Lineup
from seqfuse.data.read.sources import Sources
from seqfuse.data.read.tracks import Track
from seqfuse.runtime.array_items import load_arrays
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.lines import lines_of

MARK = "{source}"


class Devices:
    """One .npz per device: rows with a time in ms, a label, a person and an execution.

    Each recording is put on an even clock, that of the first source, over the time that all
    devices share; a step is the mean of the samples within it, and has the label of the sample
    nearest to its middle. (See `Track` for the arrays.)

    Args:
        file: name of each device's file in `root`, with `{source}` for the device.
        sources: devices to read, and their order; labels are those of the first.
        rate: steps a second; one number for all sources, or one for each.
        people: who is in which split.
        labels: a file in `root` with the names of the labels 0, 1, ..., one per line; without
            one, labels are named by themselves.
        root: folder of the files.
        missing: sources left out in validation, in test and in files to predict.

    Raises:
        InputError: a knob is out of range.
    """

    endings = (".npz",)
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
    ):
        _check(file, sources, missing)
        self.files = {name: Path(root) / file.replace(MARK, name) for name in sources}
        rates = _per_source(rate, len(sources))
        self.widths = {name: 1000 / one for name, one in zip(sources, rates, strict=True)}
        self.people = people
        self.labels = Path(root) / labels if labels else None
        self.missing = set(missing)

    def __call__(self, split: str) -> Sources:
        """Reads the recordings of the people of a split.

        Raises:
            InputError: a file is missing or broken, or devices do not line up.
        """
        tracks = {name: _track(path) for name, path in self.files.items()}
        found = Lineup(tracks, self.widths)
        people = found.first.people
        chosen = self.people.of(split, people.values())
        names = [name for name in found.names if people[name] in chosen]
        missing = () if split == "train" else self.missing
        return found.sources(names, missing, self._names(), labelled=True)

    def file(self, path: Path) -> Lineup:
        """Recordings of a file: of one device as for training, or of all, `<source>_x` and so on.

        Raises:
            InputError: a source is missing, or devices do not line up.
        """
        if path.suffix != ".npz":
            raise InputError(f"{path}: the ending must be .npz")
        arrays, wanted = load_arrays(path), [n for n in self.files if n not in self.missing]
        plain = len(wanted) == 1 and "x" in arrays
        for name in [] if plain else wanted:
            if f"{name}_x" not in arrays:
                raise InputError(
                    f"{path} has no array '{name}_x' (it has: {', '.join(arrays)}); to do without "
                    f"this source, type data.missing=[{name}]"
                )
        tracks = {n: Track(arrays, str(path), "" if plain else f"{n}_") for n in wanted}
        return Lineup(tracks, self.widths)

    def _names(self) -> list[str] | None:
        if self.labels is None:
            return None
        if not self.labels.is_file():
            raise InputError(f"{self.labels} is not there: check data.labels")
        return [word for _, line in lines_of(self.labels) for word in line.split()]


def _track(path: Path) -> Track:
    if not path.is_file():
        raise InputError(f"{path} is not there: check data.root and data.file")
    return Track(load_arrays(path), str(path))


def _check(file: str, sources: Sequence[str], missing: Collection[str]) -> None:
    """Raises InputError where a knob names what is not there."""
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
    rates = [float(one) for one in rate] * (count if len(rate) == 1 else 1)
    if len(rates) != count or min(rates) <= 0:
        raise InputError(
            f"data.rate={list(rate)} must be numbers above 0: one for all sources, or one for "
            f"each of {count}"
        )
    return rates
