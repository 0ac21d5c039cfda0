"""Numbers: what is one, and what a net can take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.data.read.arrays import Arrays
from seqfuse.data.read.source_arrays import SourceArrays
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.read.labelled import read_series, read_sources
from seqfuse.runtime.read.numbers import number, numbers_in

PIPELINE = SeriesPipeline().fit(series(np.arange(12.0).reshape(2, 3, 2), ["a", "b"]))


def with_value(value: Any, kind: Any = np.float64) -> np.ndarray:
    x = np.arange(24).reshape(4, 3, 2).astype(kind)
    x[2, 1, 0] = value
    return x


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5", 1.5),
        (" 7 ", 7),
        ("TRUE", 1),
        (False, 0),
        (np.uint64(2**63), 2.0**63),
        ("3e38", 3e38),
    ],
)
def test_these_are_numbers(cell: Any, value: float) -> None:
    assert number(cell) == value
    assert np.isnan([number(missing) for missing in (None, "-", ".", "#DIV/0!", "N/A")]).all()


@pytest.mark.parametrize(
    "cell", ["1_0", "٣", "0x1", "1,5", "--1", 1j, b"1", "9" * 30, 10**30, "1e39"]
)
def test_these_are_none(cell: Any) -> None:
    with pytest.raises(InputError, match="line 3"):
        numbers_in(["1", cell], lambda i: f"line {i + 2}")


def ways(folder: Path, x: np.ndarray) -> list[Callable[[], Any]]:
    """How an array of series is read: for training, for predictions, by a shipped folder."""
    path = folder / "in.npz"
    np.savez(path, x=x, a_x=x, y=np.arange(4))
    sources = folder / "s.npz"
    np.savez(sources, a_x=x, y=np.arange(4))
    return [
        lambda: Arrays(str(path), str(path))("train"),
        lambda: list(read_series(path, size=3)),
        lambda: SourceArrays(str(sources))("train"),
        lambda: list(read_sources(sources, ["a"])),
        lambda: PIPELINE.items(list(x)),
        lambda: series(x.tolist(), [""] * 4),
    ]


def test_what_32_bits_cannot_hold_is_named_on_all_sides(tmp_path: Path) -> None:
    for way in ways(tmp_path, with_value(1e308)):
        with pytest.raises(InputError, match=r"series 2, step 1, channel 0: 1e\+308 is beyond"):
            way()


def test_complex_numbers_are_refused_on_all_sides(tmp_path: Path) -> None:
    for way in ways(tmp_path, with_value(1j, np.complex128)):
        with pytest.raises(InputError, match="complex128|is no number|is not numeric"):
            way()


def test_integers_of_more_than_64_bits_are_refused() -> None:
    for x in ([[[1, 10**30]]], [np.array([[1, 10**30]], dtype=object)]):
        for way in (series, lambda x: series(x, [""]), PIPELINE.items):
            with pytest.raises(InputError, match="series 0, step 0, channel 1.*of 31 digits"):
                way(x)
