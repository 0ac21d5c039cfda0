"""Recordings of several devices: on one clock, split by person, one line per mistake."""

from pathlib import Path

import numpy as np
import pytest

from seqfuse.data.people import People
from seqfuse.data.read.devices import Devices
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.labelled import read
from seqfuse.runtime.recordings import Recordings
from tests.devices import both, phone, watch, write


def devices(root: Path, **knobs) -> Devices:
    given = {"file": "{source}.npz", "sources": ["phone", "watch"], "rate": [10.0, 20.0], **knobs}
    people = People([7, 8], [6])
    return Devices(people=people, labels="labels.txt", root=str(root), **given)


def test_all_sources_span_the_time_they_share(tmp_path: Path) -> None:
    found = devices(write(tmp_path))("test")
    assert found.lengths.tolist() == [36, 36, 37, 37]  # 3,700 and 3,800 ms, less 30 at the start
    assert found.sources["watch"].lengths.tolist() == [72, 72, 74, 74]
    assert found.steps["t_ms"][:3].tolist() == [701_030, 701_130, 701_230]
    assert found.groups == ["7", "7", "8", "8"]
    rows = phone()
    inside = (rows["t_ms"] >= 701_030) & (rows["t_ms"] < 701_130)
    np.testing.assert_allclose(
        found.sources["phone"].values[0], rows["x"][inside].mean(axis=0), rtol=1e-5
    )
    near = [np.abs(rows["t_ms"] - 701_080 - 100 * k).argmin() for k in range(36)]
    assert found.labels[0] == [("REST", "MOVE")[i] for i in rows["label"][near]]


def test_nobody_is_on_two_sides(tmp_path: Path) -> None:
    source = devices(write(tmp_path))
    groups = {split: set(source(split).groups or []) for split in ("train", "val", "test")}
    assert groups == {"train": set("12345"), "val": {"6"}, "test": {"7", "8"}}


def test_a_missing_source_leaves_labels_and_clock_as_they_were(tmp_path: Path) -> None:
    folder = write(tmp_path)
    whole, without = devices(folder)("test"), devices(folder, missing=["phone"])("test")
    assert list(without.sources) == ["watch"]
    assert without.labels == whole.labels
    assert without.lengths.tolist() == whole.lengths.tolist()
    assert list(devices(folder, missing=["phone"])("train").sources) == ["phone", "watch"]


def test_channels_beside_each_other_need_one_rate(tmp_path: Path) -> None:
    folder = write(tmp_path)
    series = devices(folder, rate=[10.0], joined=True)("val")
    assert series.values.shape[1] == 5
    assert len(series.labels[0]) == series.lengths[0]
    assert len(series.steps["t_ms"]) == len(series.values)
    with pytest.raises(InputError, match="'watch' has another rate"):
        devices(folder, joined=True)("val")


def blocks(source: Devices, path: Path, size: int = 16) -> list[Recordings]:
    return list(read(path, source.file_format(None), size=size))


def test_a_file_of_both_or_of_one(tmp_path: Path) -> None:
    folder, path = write(tmp_path), tmp_path / "own.npz"
    np.savez(path, **both())
    found = blocks(devices(folder), path, 5)
    assert [len(block) for block in found] == [5, 5, 5, 1]
    assert found[0].names[:2] == ["1-1", "1-2"]
    [one] = blocks(devices(folder, sources=["watch"], rate=[20.0]), folder / "watch.npz")
    assert len(one) == 16
    [left] = blocks(devices(folder, missing=["phone"]), folder / "watch.npz")
    assert list(left.sources) == ["watch"]
    assert left.lengths[0] == 30  # by the phone's rate, over the watch's own time


def broken(kind: str) -> dict[str, dict[str, np.ndarray]]:
    one, two = phone(), watch()
    rows = two["subject"] != 5
    changes = {
        "lacks": {"watch": {name: array[rows] for name, array in two.items()}},
        "apart": {"watch": {**two, "t_ms": two["t_ms"] + 1_000_000}},
        "backwards": {"phone": {**one, "t_ms": one["t_ms"] - 90 * (np.arange(len(one["x"])) == 7)}},
        "scattered": {"phone": {**one, "subject": np.where(np.arange(len(one["x"])) < 3, 2, 1)}},
        "unit": {"phone": {**one, "t_ms": one["t_ms"] * 1000}},
        "no time": {
            "phone": {**one, "t_ms": one["t_ms"] + np.array([0.0, np.nan] * 9999)[: len(one["x"])]}
        },
    }
    return changes[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lacks", "watch.npz: 'watch' has no recording 5-1, which 'phone' has from row 520"),
        ("apart", "recording 1-1 has no step in common: t_ms 'phone' from 101000 to 104050"),
        ("backwards", "phone.npz: t_ms runs backwards at row 7 .recording 1-1"),
        ("scattered", "phone.npz: at row .* of x recording 1-"),
        (
            "unit",
            r"phone.npz: t_ms of recording 1-1 goes from .* the longest gap before row .*milli",
        ),
        ("no time", "phone.npz: t_ms is nan at row 1"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, kind: str, message: str) -> None:
    folder = write(tmp_path, **broken(kind))
    with pytest.raises(InputError, match=message):
        devices(folder)("train")


def test_one_source_at_least_is_not_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves no source to look at"):
        devices(tmp_path, missing=["phone", "watch"])("train")


def test_a_file_without_a_source_says_how_to_do_without(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **both(phone=phone()))
    with pytest.raises(InputError, match=r"no array 'watch_x' .*type data.missing=\[watch\]"):
        blocks(devices(tmp_path), tmp_path / "own.npz")
