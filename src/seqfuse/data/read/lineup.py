"""Tracks of several devices, put on one clock."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.blocks import Block
from seqfuse.data.labels import label_text
from seqfuse.data.read.sources import Sources
from seqfuse.data.read.tracks import Track
from seqfuse.data.series import Series
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.grid import average, nearest

UNIT = "recordings"


class Piece(NamedTuple):
    """A recording, over the time that all devices share."""

    name: str
    start: int
    """In ms."""
    steps: dict[str, int]
    """By source."""


class Lineup:
    """Recordings of several devices, of which each has all.

    Args:
        tracks: what was recorded, by source; labels are those of the first.
        widths: ms of a step of each source; the clock is that of the first.

    Raises:
        InputError: a device lacks a recording that another one has; names both.
    """

    has_ids = True

    def __init__(self, tracks: Mapping[str, Track], widths: Mapping[str, float]):
        self.tracks = dict(tracks)
        self.widths = dict(widths)
        self.clock = next(iter(widths))
        self.first = next(iter(self.tracks.values()))
        self.names = _common(self.tracks)
        self.size: int | None = len(self.names)

    @property
    def origin(self) -> str:
        """The files."""
        return ", ".join(dict.fromkeys(track.origin for track in self.tracks.values()))

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many recordings, in the order of the first device, without labels."""
        for first in range(0, len(self.names), size):
            names = self.names[first : first + size]
            items = self.sources(names)
            yield Block(items, np.array(names), items.steps)

    def sources(
        self,
        names: list[str],
        missing: Collection[str] = (),
        labels: list[str] | None = None,
        labelled: bool = False,
    ) -> Sources:
        """The recordings of these names.

        Args:
            names: of them.
            missing: sources that help to find the clock, and are left out.
            labels: the names of the labels 0, 1, ...; without them they are their own.
            labelled: whether labels are read.

        Raises:
            InputError: a value is broken, or devices share no time; names recording and row.
        """
        pieces = [self._piece(name) for name in names]
        parts = {
            source: self._part(source, pieces) for source in self.tracks if source not in missing
        }
        return Sources(
            parts,
            [self._truth(one, labels) if labelled else "" for one in pieces],
            np.array([one.steps[self.clock] for one in pieces], dtype=np.int64),
            [self.first.people[name] for name in names],
            self.origin,
            {"t_ms": [self._times(one) for one in pieces]},
            UNIT,
        )

    def _piece(self, name: str) -> Piece:
        for source, track in self.tracks.items():
            track.check(name)
            track.check_steps(name, self.widths[source])
        spans = {source: track.span(name) for source, track in self.tracks.items()}
        start, end = max(s for s, _ in spans.values()), min(e for _, e in spans.values())
        steps = {source: int((end - start) // width) for source, width in self.widths.items()}
        if min(steps.values()) < 1:
            told = ", ".join(f"'{source}' from {s} to {e}" for source, (s, e) in spans.items())
            raise InputError(f"{self.origin}: recording {name} has no step in common: t_ms {told}")
        return Piece(name, start, steps)

    def _part(self, source: str, pieces: list[Piece]) -> Series:
        track, series = self.tracks[source], []
        for one in pieces:
            rows, grid = track.rows[one.name], (self.widths[source], one.steps[source])
            series.append(average(track.x[rows], track.time[rows], one.start, *grid))
        return Series(series, [""] * len(series), origin=track.origin)

    def _truth(self, piece: Piece, names: list[str] | None) -> list[str]:
        track, grid = self.first, (self.widths[self.clock], piece.steps[self.clock])
        if track.labels is None:
            raise InputError(f"{track.origin} has no array '{track.prefix}label'")
        rows = track.rows[piece.name]
        at = rows.start + nearest(track.time[rows], piece.start, *grid)
        found = track.labels[at].tolist()
        if names is None:
            return [label_text(one) for one in found]
        for row, one in zip(at.tolist(), found, strict=True):
            if not isinstance(one, int) or not 0 <= one < len(names):
                raise InputError(
                    f"{track.origin}: row {row} has label {one}, but data.labels names 0 to "
                    f"{len(names) - 1}"
                )
        return [names[one] for one in found]

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
    return list(tracks[first].rows)
