"""A clip is decoded once; what the cache holds is never trusted."""

import os
from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.read.clips.decoder import Decoder
from seqfuse.data.read.clips.folder import ClipFolder
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read import decode, labelled
from tests.clips import frames, write


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{i}.mp4", frames(i == 1, 5 + i)) for i in range(3)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that were decoded."""
    names = []
    original = decode.decode

    def counted(path: Path, *knobs: int) -> np.ndarray:
        names.append(path.name)
        return original(path, *knobs)

    monkeypatch.setattr(decode, "decode", counted)
    return names


def test_clips_are_decoded_once(clips: list[Path], decoded: list[str], tmp_path: Path) -> None:
    decoder = Decoder(6, 16, str(tmp_path / "cache"))
    found, rows = decoder(clips)
    assert [one.shape for one in found] == [(n, 3, 16, 16) for n in (5, 6, 6)]
    assert rows.tolist() == [0, 1, 2]
    again = Decoder(6, 16, str(tmp_path / "cache"))(clips)[0]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert decoded == ["0.mp4", "1.mp4", "2.mp4"]


def test_predicted_clips_are_those_of_the_cache(
    clips: list[Path], decoded: list[str], tmp_path: Path
) -> None:
    decoder = Decoder(6, 16, str(tmp_path / "cache"))
    found, _ = decoder(clips[:2])
    file_format = ClipFolder("clips", decoder).file_format(None)
    for path, wanted in zip(clips, found, strict=False):
        [block] = labelled.read(path, file_format)
        np.testing.assert_array_equal(block.values, wanted)
    assert len(decoded) == 2
    for _ in range(2):
        list(labelled.read(clips[2], file_format))
    assert decoded == ["0.mp4", "1.mp4", "2.mp4"]


def test_another_size_number_version_or_clip_is_decoded_anew(
    clips: list[Path], decoded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "cache")
    Decoder(6, 16, folder)(clips[:1])
    Decoder(5, 16, folder)(clips[:1])
    Decoder(6, 8, folder)(clips[:1])
    monkeypatch.setattr(decode, "VERSION", 2)
    Decoder(6, 16, folder)(clips[:1])
    os.utime(clips[0], (0, 0))
    Decoder(6, 16, folder)(clips[:1])
    assert len(decoded) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_broken_entry_is_decoded_again(
    clips: list[Path], decoded: list[str], tmp_path: Path, damage: str
) -> None:
    decoder = Decoder(6, 16, str(tmp_path / "cache"))
    x = decoder(clips[:1])[0]
    [entry] = (tmp_path / "cache").iterdir()
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes({"cut": content[:-9], "flipped": content, "empty": b""}[damage])
    np.testing.assert_array_equal(decoder(clips[:1])[0], x)
    np.testing.assert_array_equal(decoder(clips[:1])[0], x)
    assert len(decoded) == 2


def test_a_cache_that_cannot_be_written_is_no_obstacle(clips: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    x = Decoder(6, 16, str(tmp_path / "file" / "cache"))(clips)[0]
    for one, other in zip(x, Decoder(6, 16)(clips)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bad_clip_stops_or_is_skipped(clips: list[Path], tmp_path: Path, capsys) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    paths = [clips[0], tmp_path / "bad.mp4", clips[1]]
    with pytest.raises(InputError, match="bad.mp4 cannot be read"):
        Decoder(6, 16)(paths)
    x, rows = Decoder(6, 16, skip_bad=True)(paths)
    assert len(x) == 2
    assert rows.tolist() == [0, 2]
    assert "skipped     1 of 3 clips: " in (out := capsys.readouterr().out)
    assert "bad.mp4" in out
