"""Frames of clips: which, how large, and what a bad file says."""

from pathlib import Path

import av
import numpy as np
import pytest
from matplotlib.image import imsave

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.decode import CLIP_ENDINGS, decode, sampled
from tests.clips import frames, write


def greys(levels: list[int]) -> list[np.ndarray]:
    return [np.full((32, 48, 3), level, dtype=np.uint8) for level in levels]


@pytest.mark.parametrize("ending", [".mp4", ".avi", ".mkv"])
def test_frames_are_evenly_sampled(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a{ending}", greys(list(range(20, 220, 10))))
    found = decode(path, 4, 16)
    assert found.shape == (4, 3, 16, 16)
    assert found.dtype == np.uint8
    # Of 20 frames, numbers 2, 7, 12 and 17.
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), [40, 90, 140, 190], atol=4)


def test_a_gif_is_a_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "rgb8"
        for picture in greys([20, 120, 220]):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="rgb8")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert path.name.endswith(CLIP_ENDINGS)
    found = decode(path, 4, 16)
    assert found.shape == (3, 3, 16, 16)
    assert (np.diff(found.mean(axis=(1, 2, 3))) > 60).all()


def test_the_middles_of_equal_parts() -> None:
    assert sampled(4, 20).tolist() == [2, 7, 12, 17]
    assert sampled(16, 3).tolist() == [0, 1, 2]
    assert sampled(1, 9).tolist() == [4]


def test_a_short_clip_gives_all_it_has(tmp_path: Path) -> None:
    assert decode(write(tmp_path / "a.mp4", frames(True, 5)), 16, 24).shape == (5, 3, 24, 24)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), dtype=np.uint8)
    red[..., 0] = 255
    found = decode(write(tmp_path / "a.mp4", [red] * 3), 3, 16).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(found, [255, 0, 0], atol=12)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_strip_is_cut_into_squares(tmp_path: Path, ending: str) -> None:
    strip = np.concatenate([np.full((20, 20, 3), level, np.uint8) for level in (10, 90, 200)], 1)
    imsave(tmp_path / f"a{ending}", strip)
    found = decode(tmp_path / f"a{ending}", 16, 8)
    assert found.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), [10, 90, 200], atol=4)


def test_bad_files_say_so_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", frames(True)).read_bytes()
    contents = {"cut.mp4": whole[: len(whole) // 2], "empty.mp4": b"", "words.avi": b"no video"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} cannot be read [(]"):
            decode(tmp_path / name, 4, 8)
    imsave(tmp_path / "odd.png", np.zeros((20, 50, 3), np.uint8))
    with pytest.raises(InputError, match="odd.png .* cannot be 50 x 20 pixels"):
        decode(tmp_path / "odd.png", 4, 8)


def test_a_clip_without_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "none.avi", [])
    with pytest.raises(InputError, match="none.avi"):
        decode(path, 4, 8)
