"""Array files whose parts do not line up get one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.labelled import read_arrays, read_sources
from seqfuse.runtime.recordings import Recordings

X = np.arange(24.0).reshape(4, 3, 2)


def items(folder: Path, sources: bool = False, **arrays: Any) -> Recordings:
    np.savez(folder / "in.npz", **arrays)
    path = folder / "in.npz"
    blocks = read_sources(path, ["phone", "watch"]) if sources else read_arrays(path)
    return Recordings.joined(list(blocks))


def test_items_are_cut_and_named(tmp_path: Path) -> None:
    found = items(tmp_path, x=X, lengths=np.array([1, 2, 3, 1]))
    assert (found.lengths.tolist(), found.names) == ([1, 2, 3, 1], None)
    names = np.char.encode(np.array(list("äbcd")), "utf-8")
    assert items(tmp_path, x=X, id=names).names == list("äbcd")


def test_two_axes_are_series_of_one_channel(tmp_path: Path) -> None:
    flat = items(tmp_path, x=X[..., 0], lengths=np.array([1, 2, 3, 1]))
    deep = items(tmp_path, x=X[..., :1], lengths=np.array([1, 2, 3, 1]))
    np.testing.assert_array_equal(flat.values, deep.values)
    assert flat.offsets.tolist() == deep.offsets.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"id": np.arange(3)}, r"in.npz: id is int64 of shape .3,., expected 4 numbers or words"),
        ({"id": 7}, r"id is int64 of shape \(\), expected 4 numbers"),
        ({"id": np.array([b"\xff"] * 4)}, "id is not UTF-8"),
        ({"lengths": np.arange(1, 4)}, r"lengths is int64 of shape \(3,\), expected a whole numb"),
        ({"lengths": np.ones(4)}, "lengths is float64 of shape"),
        ({"lengths": np.array([1, 2, 4, 1])}, "lengths says 4 for item 2, expected 1 to 3 steps"),
        ({"lengths": np.array([1, 2, -1, 1])}, "lengths says -1 for item 2"),
        ({"x": 3.0}, r"x has shape \(\) of float64, expected numbers with three axes"),
    ],
)
def test_what_does_not_line_up_is_named(tmp_path: Path, arrays: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        items(tmp_path, **{"x": X} | arrays)
    assert "\n" not in str(error.value)


def test_sources_are_cut_each_by_its_lengths(tmp_path: Path) -> None:
    given = {"phone_x": X, "watch_x": X, "watch_lengths": np.array([1, 2, 3, 1])}
    found = items(tmp_path, True, **given, y=np.zeros(4), id=np.arange(4))
    np.testing.assert_array_equal(found.sources["phone"].padded()[0], X)
    assert found.sources["watch"].lengths.tolist() == [1, 2, 3, 1]
    assert found.names == [0, 1, 2, 3]


@pytest.mark.parametrize("key", ["lengths", "phone_t_ms", "subject", "x", "watch_lengths"])
def test_what_is_no_source_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match=f"array '{key}' is not for a pred.*of phone, watch, and"):
        items(tmp_path, True, **{"phone_x": X, key: np.arange(4)})
