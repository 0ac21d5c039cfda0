"""Decoded frames, kept on the disk: a clip is decoded once."""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.progress import bar
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.decode import Frames, decode
from seqfuse.runtime.shown import say

VERSION = 1
"""Of what `decode` returns: to be raised when that changes, so that nothing older is read."""
WORTH_A_BAR = 50  # clips
NAMED = 5  # bad clips that a message names
DIGEST = 32  # bytes of a SHA-256


class Decoder:
    """Frames of many clips, through a cache.

    An entry is found by the clip's path, size and time of change, and by the knobs here. It
    carries a digest of itself: one that is broken, or cut short, is decoded again. Entries
    that cannot be written are left out.

    Args:
        num_frames: evenly sampled from each clip; of a shorter one, all that it has.
        size: height and width in pixels that frames are scaled to.
        cache: folder of decoded clips; null decodes them in every run.
        skip_bad: goes on without clips that cannot be read, and says which.
        progress: draws a bar when there are many to decode.
    """

    def __init__(
        self,
        num_frames: int = 16,
        size: int = 64,
        cache: str | None = None,
        skip_bad: bool = False,
        progress: bool = False,
    ):
        for name, value in (("num_frames", num_frames), ("size", size)):
            if value < 1:
                raise InputError(f"data.{name}={value} must be at least 1")
        self.num_frames, self.size = num_frames, size
        self.cache = Path(cache).expanduser() if cache else None
        self.skip_bad, self.progress = skip_bad, progress

    def __call__(self, paths: Sequence[Path]) -> tuple[list[Frames], NDArray[np.int64]]:
        """Frames (t c height width) of clips, and the numbers of the clips that they are of."""
        clips: list[Frames] = []
        rows, bad = [], []
        missing = sum(not self._has(path) for path in paths)
        shown = self.progress and missing >= WORTH_A_BAR
        with bar("decode", len(paths), "clip", shown) as progress:
            for row, path in enumerate(paths):
                try:
                    clips.append(self.clip(path))
                    rows.append(row)
                except InputError as error:
                    if not self.skip_bad:
                        raise
                    bad.append(str(error))
                progress.update()
        if bad:
            rest = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            named = "; ".join(bad[:NAMED]) + rest
            say(f"skipped     {len(bad)} of {len(paths)} clips: {named}")
        return clips, np.array(rows, dtype=np.int64)

    def clip(self, path: Path) -> Frames:
        """Frames (t c height width) of one clip."""
        entry = self._entry(path)
        kept = _read(entry) if entry else None
        if kept is not None and kept.shape[1:] == (3, self.size, self.size):
            return kept
        frames = decode(path, self.num_frames, self.size)
        if entry:
            _write(entry, frames)
        return frames

    def _has(self, path: Path) -> bool:
        entry = self._entry(path)
        return entry is not None and entry.exists()

    def _entry(self, path: Path) -> Path | None:
        if self.cache is None or not path.is_file():
            return None
        state = path.stat()
        key = [VERSION, str(path.resolve()), state.st_size, state.st_mtime_ns]
        text = json.dumps([*key, self.num_frames, self.size])
        return self.cache / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.frames"


def _read(entry: Path) -> Frames | None:
    """What an entry holds; None where it is not there, or not whole."""
    with contextlib.suppress(OSError, ValueError):
        content = entry.read_bytes()
        digest, body = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(body).digest() == digest:
            shape = np.frombuffer(body[:32], dtype="<i8")
            return np.frombuffer(body[32:], dtype=np.uint8).reshape(shape)
    return None


def _write(entry: Path, frames: Frames) -> None:
    body = np.array(frames.shape, dtype="<i8").tobytes() + frames.tobytes()
    beside = entry.with_suffix(f".{os.getpid()}")  # runs side by side may decode the same clip
    with contextlib.suppress(OSError):  # a cache is no need
        entry.parent.mkdir(parents=True, exist_ok=True)
        files.write(beside, hashlib.sha256(body).digest() + body)
        os.replace(beside, entry)
