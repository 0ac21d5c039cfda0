"""Scaling, missing values and class numbers."""

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from seqfuse.runtime import series
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.series import SeriesPipeline, pad

NAN = np.nan


def example() -> np.ndarray:
    x = np.random.default_rng(0).normal(5, 3, (20, 9, 2)).astype(np.float32)
    x[:, :, 1] *= 10
    x[3, 6:] = NAN
    x[5, 2, 0] = NAN
    return x


def test_pad_fills_with_nan() -> None:
    values, lengths = pad([[1, 2, 3], [4]])
    assert lengths.tolist() == [3, 1]
    np.testing.assert_array_equal(values[..., 0], [[1, 2, 3], [4, NAN, NAN]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no series"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "series 1 has 4 channels, series 0 has 3"),
        ([np.zeros((0, 3)), np.zeros((2, 3))], "series 0 has no time step"),
        ([["a", "b"]], "series 0, step 0: 'a' is no number"),
        ([np.zeros((1, 2, 3, 4))[0]], r"series 0 has shape \(2, 3, 4\)"),
    ],
)
def test_pad_names_the_series(rows: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pad(rows)


def test_channel_scaling_has_mean_0_and_deviation_1() -> None:
    x = example()
    scaled = SeriesPipeline("channel").fit(x, ["a", "b"] * 10).transform(x)
    real = ~np.isnan(x)
    for c in range(2):
        values = scaled[..., c][real[..., c]]
        assert values.mean() == pytest.approx(0, abs=1e-5)
        assert values.std() == pytest.approx(1, abs=1e-5)
    assert scaled[5, 2, 0] == 0


def test_series_scaling_needs_no_other_series() -> None:
    x = example()
    pipeline = SeriesPipeline("series").fit(x, ["a", "b"] * 10)
    scaled = pipeline.transform(x)
    np.testing.assert_allclose(pipeline.transform(x[3:4]), scaled[3:4], rtol=1e-6)
    np.testing.assert_allclose(scaled[3, :6].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[3, :6].std(axis=0), 1, atol=1e-6)


def test_no_scaling_fills_with_the_training_mean() -> None:
    x = example()
    scaled = SeriesPipeline("none").fit(x, ["a", "b"] * 10).transform(x)
    assert scaled[5, 2, 0] == pytest.approx(np.nanmean(x[..., 0]), rel=1e-6)
    assert scaled[0, 0, 0] == x[0, 0, 0]


def test_indicator_says_what_was_observed() -> None:
    x = example()
    pipeline = SeriesPipeline("channel", "indicator").fit(x, ["a", "b"] * 10)
    scaled = pipeline.transform(x)
    assert scaled.shape[-1] == pipeline.out_channels == 4
    np.testing.assert_array_equal(scaled[..., 2:], ~np.isnan(x))


def test_constant_channel_is_not_divided_by_nothing() -> None:
    x = example()
    x[..., 1] = 7
    assert np.all(SeriesPipeline().fit(x, ["a", "b"] * 10).transform(x)[..., 1] == 0)


def test_classes_sort_as_numbers() -> None:
    pipeline = SeriesPipeline().fit(example()[:4], ["10", "9", "x", "-1"])
    assert pipeline.classes == ["-1", "9", "10", "x"]
    assert pipeline.encode(["x", "9"]).tolist() == [3, 1]


def test_state_restores_everything() -> None:
    x = example()
    fitted = SeriesPipeline("channel", "indicator").fit(x, ["a", "b"] * 10)
    other = SeriesPipeline()
    other.load_state_dict(fitted.state_dict())
    np.testing.assert_array_equal(other.transform(x), fitted.transform(x))
    assert other.classes == ["a", "b"]


def test_bad_input_is_named() -> None:
    x = example()
    with pytest.raises(InputError, match="data.scaling=robust must be one of: channel"):
        SeriesPipeline("robust")
    with pytest.raises(InputError, match="only one class, 'a'"):
        SeriesPipeline().fit(x, ["a"] * 20)
    with pytest.raises(InputError, match="row 1 has label 'c', which training never saw"):
        SeriesPipeline().fit(x, ["a", "b"] * 10).encode(["a", "c"])
    with pytest.raises(InputError, match="3 channels, the training data 2"):
        SeriesPipeline().fit(x, ["a", "b"] * 10).transform(np.zeros((1, 4, 3), np.float32))
    x[..., 1] = NAN
    with pytest.raises(InputError, match="channel 1 holds only missing values"):
        SeriesPipeline().fit(x, ["a", "b"] * 10)


def test_plain_needs_numpy_and_the_standard_library_alone() -> None:
    """Tables are read by pandas and pyarrow where these are there, and asked for."""
    known = {"numpy", *sys.stdlib_module_names}
    for path in Path(series.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                root = str(name).split(".")[0]
                own = str(name).startswith("seqfuse.runtime")
                lazy = root in ("pandas", "pyarrow") and node not in tree.body
                assert own or lazy or root in known, (path, name)
