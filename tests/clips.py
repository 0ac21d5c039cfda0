"""Small clips, encoded where they are needed."""

import csv
from pathlib import Path

import av
import numpy as np

SIDE = 32


def square(at: int, side: int = SIDE, grey: int = 60) -> np.ndarray:
    """A frame (height, width, colours) with a white square in it."""
    frame = np.full((side, side, 3), grey, dtype=np.uint8)
    frame[12:20, at : at + 8] = 255
    return frame


def frames(moving: bool, steps: int = 10, grey: int = 60, start: int = 0) -> list[np.ndarray]:
    """A square that moves to the right, or stays."""
    return [square(start + (2 * t if moving else 0), grey=grey) for t in range(steps)]


def write(path: Path, pictures: list[np.ndarray], rate: int = 10) -> Path:
    """A video; its ending chooses the format."""
    path.touch()  # as without a frame no file may be written
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        height, width, _ = pictures[0].shape if pictures else (SIDE, SIDE, 3)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 1_000_000
        for picture in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def folder(root: Path, per_class: int = 12, sources: int = 6) -> Path:
    """Clips of two classes, and a list of them with sources and splits."""
    rows = []
    for label in ("moves", "stays"):
        (root / "clips" / label).mkdir(parents=True)
        for i in range(per_class):
            name = f"{label}{i:02}"
            pictures = frames(label == "moves", 6 + i % 4, grey=40 + 10 * i, start=i % 3)
            write(root / "clips" / label / f"{name}.mp4", pictures)
            source = i % sources
            split = {sources - 1: "test", sources - 2: "val"}.get(source, "train")
            rows.append((name, label, f"s{source}", split))
    with (root / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("clip", "label", "source", "split"), *rows])
    return root
