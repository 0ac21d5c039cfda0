"""What is said of classes and of accuracies."""

import numpy as np
import pytest

from seqfuse.config import summary
from seqfuse.data.module import DataModule
from seqfuse.data.splits import Folds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline, series


def made(counts: dict[str, int], test: str) -> DataModule:
    def dataset(split: str):
        labels = [name for name, n in counts.items() for _ in range(n)]
        labels = labels if split == "train" else list(test)
        return series(np.random.default_rng(0).normal(size=(len(labels), 4, 1)), labels)

    data = DataModule(Folds(dataset, SeriesPipeline(), num_folds=0))
    data.setup("fit")
    return data


def test_wilson_as_published() -> None:
    assert summary.interval(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = summary.interval(1.0, 150)
    assert 0.97 < low < high == 1.0
    with pytest.raises(InputError, match="0 items"):
        summary.interval(0.5, 0)


def test_rows_of_each_class() -> None:
    text = summary.of_classes(made({"a": 7, "b": 3, "c": 1}, "a"))
    for part in ("a: 7, b: 3, c: 1", "data.num_folds=5", "fewer than 5", "b (3), c (1)"):
        assert part in text
    assert "6 rows of each of 2" in summary.of_classes(made({"a": 6, "b": 6}, "a"))


def test_many_classes_are_a_range() -> None:
    text = summary.of_classes(made({f"c{i:04}": 1 + (i == 0) for i in range(1000)}, "a"))
    assert "1 to 2 rows of each of 1000" in text
    assert "990 more" in text
    assert len(text) < 400


def test_an_accuracy_beside_the_largest_class() -> None:
    data = made({"a": 7, "b": 6}, "aaab")
    line, warning = summary.of_accuracy(1.0, data, "test")
    assert "0.510 to 1.000" in line
    assert "4 series" in line
    assert "always a" in line
    assert "0.750" in line
    assert not warning
    for accuracy in (0.75, 0.5):
        _, warning = summary.of_accuracy(accuracy, data, "test")
        assert "no better than always saying a (0.750)" in warning
        assert "find_lr=true" in warning


def test_a_fraction_of_single_precision_is_no_better_than_itself() -> None:
    data = made({"a": 7, "b": 6}, "aaabb")
    assert float(np.float32(0.6)) > 0.6
    _, warning = summary.of_accuracy(float(np.float32(0.6)), data, "test")
    assert warning
