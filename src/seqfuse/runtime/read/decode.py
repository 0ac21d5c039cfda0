"""Frames of a clip: evenly sampled, scaled down, as whole numbers; kept in a cache or not."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError

VIDEOS = (
    *(".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg"),
    *(".gif", ".wmv", ".flv", ".3gp"),
)
STRIPS = (".jpg", ".jpeg", ".png")
"""Square frames side by side in one picture."""
CLIP_ENDINGS = (*VIDEOS, *STRIPS)
Frames = NDArray[np.uint8]
VERSION = 1
"""Version of what `decode` returns: raise it when that changes, and no older entry is read."""
DIGEST = 32
"""Bytes of a SHA-256."""


def cached(path: Path, num_frames: int, size: int, cache: str | Path | None) -> Frames:
    """`decode` through a folder of decoded clips; without one, every time anew.

    An entry is found by the clip's path, size and time of change, and by the numbers here. It
    carries a digest of itself: one that is broken, or cut short, is decoded again. Entries that
    cannot be written are left out.
    """
    entry = entry_of(path, num_frames, size, cache)
    kept = _read(entry) if entry else None
    if kept is not None and kept.shape[1:] == (3, size, size):
        return kept
    frames = decode(path, num_frames, size)
    if entry:
        _write(entry, frames)
    return frames


def entry_of(path: Path, num_frames: int, size: int, cache: str | Path | None) -> Path | None:
    """Where a cache keeps a clip, whether it is there or not; None without a cache or a clip."""
    if not cache or not path.is_file():
        return None
    state = path.stat()
    key = [VERSION, str(path.resolve()), state.st_size, state.st_mtime_ns, num_frames, size]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    return Path(cache).expanduser() / f"{name}.frames"


def _read(entry: Path) -> Frames | None:
    """Frames of an entry; None where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError):
        content = entry.read_bytes()
        digest, body = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(body).digest() == digest:
            shape = np.frombuffer(body[:32], dtype="<i8")
            return np.frombuffer(body[32:], dtype=np.uint8).reshape(shape)
    return None


def _write(entry: Path, frames: Frames) -> None:
    body = np.array(frames.shape, dtype="<i8").tobytes() + frames.tobytes()
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        files.write_shared(entry, hashlib.sha256(body).digest() + body)


def decode(path: Path, num_frames: int, size: int) -> Frames:
    """Frames (t c height width) in RGB, evenly sampled from the whole clip.

    A clip that has fewer than `num_frames` gives all that it has; height and width are `size`
    pixels, whatever the proportions.
    """
    try:
        import av.error  # only where clips are decoded
    except ImportError as error:
        raise InputError(f"{path}: a clip is decoded by PyAV ({error}): pip install av") from None
    frames = _strip if path.suffix.lower() in STRIPS else _video
    try:
        pictures = list(frames(path, num_frames, size))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        system = error.strerror if isinstance(error, (av.error.FFmpegError, OSError)) else None
        reason = system or " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({reason}): mend or remove it") from None
    if not pictures:
        raise InputError(f"{path} has no frame: remove it")
    return np.stack(pictures)


def sampled(num_frames: int, total: int) -> NDArray[np.int64]:
    """Numbers of frames: the middle of each of `num_frames` equal parts of `total`."""
    count = min(num_frames, total)
    return ((np.arange(count) + 0.5) * total / count).astype(np.int64)


def _open(path: Path) -> Any:
    """A clip, which may name no other address: a list of parts of a stream could."""
    import av

    return av.open(str(path), options={"protocol_whitelist": "file"})


def _video(path: Path, num_frames: int, size: int) -> Iterator[Frames]:
    total = _count(path)
    wanted = set(sampled(num_frames, total).tolist())
    seen = 0
    with _open(path) as container:
        for seen, frame in enumerate(container.decode(video=0), 1):
            if seen - 1 in wanted:
                yield _scaled(frame, size)
    if wanted and seen <= max(wanted):
        raise ValueError(f"it breaks off after frame {seen} of {total}")


def _count(path: Path) -> int:
    """Frames in the file, which its head need not tell truly; nothing is decoded."""
    with _open(path) as container:
        if not container.streams.video:
            raise ValueError("there is no video in it")
        return sum(packet.size > 0 for packet in container.demux(video=0))


def _strip(path: Path, num_frames: int, size: int) -> Iterator[Frames]:
    import av

    with _open(path) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)
    height, width, _ = picture.shape
    if width % height:
        raise ValueError(f"a strip of square frames cannot be {width} x {height} pixels")
    for i in sampled(num_frames, width // height):
        square = np.ascontiguousarray(picture[:, i * height : (i + 1) * height])
        yield _scaled(av.VideoFrame.from_ndarray(square, format="rgb24"), size)


def _scaled(frame: Any, size: int) -> Frames:
    # Area: each pixel is the mean of those it stands for.
    scaled = frame.reformat(width=size, height=size, format="rgb24", interpolation="AREA")
    return scaled.to_ndarray().astype(np.uint8).transpose(2, 0, 1)
