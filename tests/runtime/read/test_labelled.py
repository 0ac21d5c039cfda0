"""Series read block by block: the same as when they are read at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.read import labelled
from seqfuse.runtime.recordings import Recordings

X = np.random.default_rng(0).normal(size=(25, 7, 3)).astype(np.float32)


def read(path: Path, **options: Any) -> tuple[np.ndarray, Any]:
    """Values and names, as a net of three channels takes them."""
    pipeline = SeriesPipeline("none").fit(series(X, ["a", "b"] * 12 + ["a"]))
    blocks = list(labelled.read(path, {"kind": "series", **options}, size=4))
    assert [len(block) for block in blocks[:-1]] == [4] * (len(blocks) - 1)
    whole = Recordings.joined([pipeline.transform(block) for block in blocks])
    return whole.padded()[0], whole.names


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("kind", ["plain", "compressed", "npy", "fortran", "big-endian", "float64"])
def test_arrays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x.npz" if kind in ("plain", "compressed") else "x.npy")
    if path.suffix == ".npz":
        writer = np.savez if kind == "plain" else np.savez_compressed
        writer(path, x=X, y=np.arange(9))
    else:
        kinds = {"fortran": np.asfortranarray(X), "big-endian": X.astype(">f4")}
        np.save(path, kinds.get(kind, X.astype(np.float64) if kind == "float64" else X))
    x, ids = read(path)
    np.testing.assert_array_equal(x, X)
    assert ids is None


def test_layout(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npz", x=X.transpose(0, 2, 1))
    np.testing.assert_array_equal(read(path, layout="bct")[0], X)


@pytest.mark.parametrize("ids", [np.arange(25) * 7, np.array([f"no {i}" for i in range(25)])])
def test_ids(tmp_path: Path, ids: np.ndarray) -> None:
    assert read(save(tmp_path / "x.npz", x=X, id=ids))[1] == ids.tolist()
    if ids.dtype.kind == "U":
        assert read(save(tmp_path / "b.npz", x=X, id=np.char.encode(ids)))[1] == ids.tolist()


def test_text(tmp_path: Path) -> None:
    lines = [":".join(",".join(map(str, channel)) for channel in one.T) for one in X]
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n" + "\n".join(lines))
    x, ids = read(tmp_path / "x.ts")
    np.testing.assert_array_equal(x, X)
    assert ids is None


def test_text_with_other_channels_and_unknown_endings(tmp_path: Path) -> None:
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n1,2:3,4:5,6\n1,2:3,4\n")
    with pytest.raises(InputError, match=r"x.ts, line 4 has 2 channels, line 3 3"):
        read(tmp_path / "x.ts")
    (tmp_path / "x.txt").touch()
    with pytest.raises(InputError, match=r"x.txt: the ending must be one of: .npz, .npy, .ts"):
        read(tmp_path / "x.txt")


def test_numbers_and_several_labels_beside_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\na b,1.5\n"c\nd",-2\n')
    [items] = labelled.read_texts(path, "text", "label", "numbers")
    assert items.labels == [(1.5,), (-2.0,)]
    path.write_text("text,label\na b,x|y\nc,\n")
    [items] = labelled.read_texts(path, "text", "label", "several")
    assert items.labels == [("x", "y"), ()]
    path.write_text("text,label\na b,1\nc,up\n")
    with pytest.raises(InputError, match=r"a.csv, line 3.*'up'"):
        list(labelled.read_texts(path, "text", "label", "numbers"))
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": []}\n')
    [items] = labelled.read_texts(path, "text", "label", "several")
    assert items.labels == [("x", "y"), ()]
    path.write_text('{"text": "a", "label": [1, null]}\n{"text": "b", "label": [2, 3]}\n')
    [items] = labelled.read_texts(path, "text", "label", "numbers")
    assert str(items.labels) == "[(1.0, nan), (2.0, 3.0)]"


def test_columns_of_y_have_names(tmp_path: Path) -> None:
    y = np.tile([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1]], (5, 1))
    named = {"x": X, "y": y, "y_names": np.array(["up", "near"])}
    path = save(tmp_path / "x.npz", **named)
    items = Recordings.joined(list(labelled.read_arrays(path, "btc", True, "several", size=4)))
    assert list(items.labels or ())[:3] == [("near",), ("near", "up"), ()]
    items = Recordings.joined(list(labelled.read_arrays(path, "btc", True, "numbers", size=4)))
    assert list(items.labels or ())[:2] == [(0.0, 1.0), (1.0, 1.0)]
    assert list(items.targets) == ["up", "near"]
    save(path, **{**named, "y_names": np.array(["up"])})
    with pytest.raises(InputError, match="x.npz: y_names has 1 names"):
        list(labelled.read_arrays(path, "btc", True, "numbers"))


def test_a_list_is_no_class(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b", "label": ["x", "y"]}\n')
    with pytest.raises(InputError, match="line 1.*label.*task=multilabel"):
        list(labelled.read(path, {"kind": "texts", "text": "text", "label": "label"}))
