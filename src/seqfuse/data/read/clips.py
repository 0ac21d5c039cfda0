"""Labelled clips: frames as they were decoded, and what a user wants predicted."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.blocks import Block
from seqfuse.data.read.cache import Decoder
from seqfuse.data.read.decode import ENDINGS, Frames
from seqfuse.data.series import SeriesTensors
from seqfuse.runtime.errors import InputError


class Clips:
    """Labelled clips of one split.

    Args:
        x: (n t c height width) frames, zero behind the last of a clip.
        lengths: (n) frames of each clip.
        y: (n) labels.
        ids: (n) names of the clips.
        groups: (n) recordings that they were cut from; one never stands on both sides of a
            validation split.
        origin: where they were read; error messages begin with it.
    """

    unit = "clips"

    def __init__(
        self,
        x: Frames,
        lengths: NDArray[np.int64],
        y: Sequence[str],
        ids: Sequence[str],
        groups: Sequence[str] | None = None,
        origin: str = "the clips",
    ):
        self.x, self.lengths = x, lengths
        self.y, self.ids = list(y), list(ids)
        self.groups = None if groups is None else list(groups)
        self.origin = origin

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> "Clips":
        """The clips at these rows."""
        groups = None if self.groups is None else [self.groups[i] for i in rows]
        y, ids = ([names[i] for i in rows] for names in (self.y, self.ids))
        return Clips(self.x[rows], self.lengths[rows], y, ids, groups, self.origin)

    def tensors(self, pipeline: Any, index: np.ndarray, labelled: bool = True) -> SeriesTensors:
        """As a net takes them.

        Args:
            pipeline: a fitted `ClipPipeline`.
            index: (n) rows in the split that the clips came from.
            labelled: without it, there is nothing to be predicted in y.

        Raises:
            InputError: training never saw a label, or frames of this size.
        """
        y = self._encoded(pipeline) if labelled else np.zeros(len(self), dtype=np.int64)
        return SeriesTensors(pipeline.transform(self.x), self.lengths, y, index)

    def _encoded(self, pipeline: Any) -> NDArray[np.int64]:
        try:
            return pipeline.encode(self.y)
        except InputError:
            row = next(i for i, label in enumerate(self.y) if label not in pipeline.classes)
        raise InputError(
            f"{self.ids[row]} has label '{self.y[row]}', which training never saw (known: "
            f"{', '.join(pipeline.classes[:12])}): remove it or train on it"
        )

    def fingerprint(self) -> str:
        """SHA-256 of frames and labels, first 16 digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).data)
        digest.update("\n".join(self.y).encode())
        return digest.hexdigest()[:16]


class ClipFile:
    """One clip to predict; none, where bad ones are skipped and it is.

    Args:
        path: of the clip.
        decoder: reads it.

    Raises:
        InputError: no such format.
    """

    has_ids = True
    size = None

    def __init__(self, path: Path, decoder: Decoder):
        if path.suffix.lower() not in ENDINGS:
            raise InputError(f"{path}: the ending must be one of: {', '.join(ENDINGS)}")
        self.path, self.decoder = path, decoder

    def blocks(self, size: int) -> Iterator[Block]:
        """The one clip.

        Raises:
            InputError: it cannot be read.
        """
        x, lengths, rows = self.decoder([self.path])
        if len(rows):
            name = self.path.name
            yield Block(Clips(x, lengths, [""], [name], origin=str(self.path)), np.array([name]))
