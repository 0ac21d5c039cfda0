"""Frames of many clips, kept on the disk: a clip is decoded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.progress import bar
from seqfuse.runtime.errors import InputError, check_minimum
from seqfuse.runtime.read.decode import Frames, cached, entry_of
from seqfuse.runtime.shown import say

WORTH_A_BAR = 50  # clips
NAMED = 5  # bad clips that a message names


@dataclass(eq=False, repr=False)
class Decoder:
    """Frames of many clips, through a cache.

    Args:
        num_frames: evenly sampled from each clip; of a shorter one, all that it has.
        size: height and width in pixels that frames are scaled to.
        cache: folder of decoded clips; null decodes them in every run.
        skip_bad: goes on without clips that cannot be read, and says which.
        progress: draws a bar when there are many to decode.
    """

    num_frames: int = 16
    size: int = 64
    cache: str | None = None
    skip_bad: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        check_minimum(1, num_frames=self.num_frames, size=self.size)

    def __call__(self, paths: Sequence[Path]) -> tuple[list[Frames], NDArray[np.int64]]:
        """Frames (t c height width) of clips, and the numbers of the clips that they are of."""
        clips: list[Frames] = []
        rows, bad = [], []
        missing = sum(not self._has(path) for path in paths)
        shown = self.progress and missing >= WORTH_A_BAR
        with bar("decode", len(paths), "clip", shown) as progress:
            for row, path in enumerate(paths):
                try:
                    clips.append(cached(path, self.num_frames, self.size, self.cache))
                    rows.append(row)
                except InputError as error:
                    if not self.skip_bad:
                        fix = "data.skip_bad=true goes on without such clips"
                        raise InputError(f"{error}; {fix}") from None
                    bad.append(str(error))
                progress.update()
        if bad:
            rest = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            named = "; ".join(bad[:NAMED]) + rest
            say(f"skipped     {len(bad)} of {len(paths)} clips: {named}")
        return clips, np.array(rows, dtype=np.int64)

    def _has(self, path: Path) -> bool:
        entry = entry_of(path, self.num_frames, self.size, self.cache)
        return entry is not None and entry.exists()
