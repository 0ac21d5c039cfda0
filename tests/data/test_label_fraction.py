"""A fraction of the labels: stratified, nested, at least one of each class."""

from collections import Counter

import numpy as np
import pytest

from seqfuse.data.label_fraction import draw
from seqfuse.data.read.synthetic import Synthetic
from seqfuse.data.splits import Folds
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline

LABELS = ["a"] * 200 + ["b"] * 100 + ["c"] * 3


@pytest.mark.parametrize(
    ("fraction", "wanted"),
    [
        (0.01, {"a": 2, "b": 1, "c": 1}),
        (0.05, {"a": 10, "b": 5, "c": 1}),
        (0.5, {"a": 100, "b": 50, "c": 2}),
        (1.0, {"a": 200, "b": 100, "c": 3}),
    ],
)
def test_each_class_gives_its_share(fraction: float, wanted: dict[str, int]) -> None:
    rows = draw(LABELS, fraction, seed=0)
    assert Counter(LABELS[row] for row in rows) == wanted
    assert np.array_equal(rows, np.unique(rows))


def test_seeds_draw_others_and_more_holds_less() -> None:
    assert not np.array_equal(draw(LABELS, 0.05, 0), draw(LABELS, 0.05, 1))
    assert np.array_equal(draw(LABELS, 0.05, 0), draw(LABELS, 0.05, 0))
    assert set(draw(LABELS, 0.05, 0)) < set(draw(LABELS, 0.1, 0))


def test_of_labels_per_step_no_class_is_missing() -> None:
    labels = [["a", "b"]] * 40 + [["c", "a"]] * 2
    for seed in range(5):
        rows = draw(labels, 0.1, seed)
        assert {one for row in rows for one in labels[row]} == {"a", "b", "c"}
        assert 4 <= len(rows) <= 5


def folds(fraction: float) -> Folds:
    splits = Folds(Synthetic(100, 5, 2, 0), SeriesPipeline(), num_folds=5, label_fraction=fraction)
    splits.fit()
    return splits


def test_only_training_items_lose_their_labels() -> None:
    all_of_them, some = folds(1.0), folds(0.1)
    assert len(all_of_them.tensors("train")) == 80
    assert len(some.tensors("train")) == 8
    assert len(some.tensors("val")) == len(all_of_them.tensors("val")) == 20
    assert set(some.tensors("train").index.tolist()) < set(
        all_of_them.tensors("train").index.tolist()
    )
    assert some.pipeline.state_dict() == all_of_them.pipeline.state_dict()
    assert sum(some.sizes()["class_counts"]) == 8


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="data.label_fraction=0 must be above 0 and at most 1"):
        folds(0)
