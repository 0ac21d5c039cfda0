"""Scaling, missing values and class numbers."""

import ast
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse import runtime
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.runtime.pipelines.series import series as read

NAN = np.nan


def example() -> np.ndarray:
    x = np.random.default_rng(0).normal(5, 3, (20, 9, 2)).astype(np.float32)
    x[:, :, 1] *= 10
    x[3, 6:] = NAN
    x[5, 2, 0] = NAN
    return x


def fitted(*options: str, x: np.ndarray | None = None, labels: tuple = ("a", "b")) -> Any:
    x = example() if x is None else x
    return SeriesPipeline(*options).fit(read(x, [labels[i % len(labels)] for i in range(len(x))]))


def scaled(pipeline: SeriesPipeline, x: np.ndarray) -> np.ndarray:
    return pipeline.transform(read(x)).padded(NAN)[0]


def test_series_of_any_lengths_lie_end_to_end() -> None:
    found = read([[1, 2, 3], [4]])
    assert found.lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(found.padded(NAN)[0][..., 0], [[1, 2, 3], [4, NAN, NAN]])
    assert read(example()).lengths.tolist() == [9, 9, 9, 6, *[9] * 16]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no series"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "series 1 has 4 channels, series 0 has 3"),
        ([np.zeros((0, 3)), np.zeros((2, 3))], "series 0 has no time step"),
        ([["a", "b"]], "series 0, step 0: 'a' is no number"),
        (np.array([[["a"]]]), "x holds <U1, expected numbers"),
        ([np.zeros((1, 2, 3, 4))[0]], r"series 0 has shape \(2, 3, 4\)"),
    ],
)
def test_what_is_no_series_is_named(rows: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(rows)


def test_channel_scaling_has_mean_0_and_deviation_1() -> None:
    x = example()
    found = scaled(fitted("channel"), x)
    real = ~np.isnan(x)
    for c in range(2):
        values = found[..., c][real[..., c]]
        assert values.mean() == pytest.approx(0, abs=1e-5)
        assert values.std() == pytest.approx(1, abs=1e-5)
    assert found[5, 2, 0] == 0


def test_series_scaling_needs_no_other_series() -> None:
    x = example()
    pipeline = fitted("series")
    found = scaled(pipeline, x)
    np.testing.assert_allclose(scaled(pipeline, x[3:4]), found[3:4, :6], rtol=1e-6)
    np.testing.assert_allclose(found[3, :6].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found[3, :6].std(axis=0), 1, atol=1e-6)


def test_no_scaling_fills_with_the_training_mean() -> None:
    x = example()
    found = scaled(fitted("none"), x)
    assert found[5, 2, 0] == pytest.approx(np.nanmean(x[..., 0]), rel=1e-6)
    assert found[0, 0, 0] == x[0, 0, 0]


def test_indicator_says_what_was_observed() -> None:
    x = example()
    pipeline = fitted("channel", "indicator")
    found = scaled(pipeline, x)
    assert found.shape[-1] == pipeline.out_channels == 4
    np.testing.assert_array_equal(np.nan_to_num(found[..., 2:]), ~np.isnan(x))


def test_constant_channel_is_not_divided_by_nothing() -> None:
    x = example()
    x[..., 1] = 7
    assert np.all(fitted(x=x).transform(read(x)).values[..., 1] == 0)


def test_classes_sort_as_numbers() -> None:
    pipeline = fitted(x=example()[:4], labels=("10", "9", "x", "-1"))
    assert pipeline.labels.classes == ["-1", "9", "10", "x"]
    assert pipeline.labels.encode(read(example()[:2], ["x", "9"])).tolist() == [3, 1]


def test_state_restores_everything() -> None:
    x = example()
    pipeline, other = fitted("channel", "indicator"), SeriesPipeline()
    other.load_state_dict(pipeline.state_dict())
    np.testing.assert_array_equal(scaled(other, x), scaled(pipeline, x))
    assert other.labels.classes == ["a", "b"]


def test_plain_needs_numpy_and_the_standard_library_alone() -> None:
    """Tables are read by pandas and pyarrow, clips by av, addresses by fsspec (over HTTP by
    aiohttp), days off by holidays, where these are there, and asked for."""
    known = {"numpy", *sys.stdlib_module_names}
    for path in Path(runtime.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                root = str(name).split(".")[0]
                own = str(name).startswith("seqfuse.runtime")
                asked = ("av", "pandas", "pyarrow")
                asked += ("aiohttp", "fsspec") if path.name == "addresses.py" else ()
                asked += ("holidays",) if path.name == "holidays.py" else ()
                lazy = root in asked and node not in tree.body
                assert own or lazy or root in known, (path, name)
