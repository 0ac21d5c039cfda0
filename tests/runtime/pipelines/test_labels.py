"""Labels of items: classes, numbers and several labels, as they are written and back."""

from typing import Any

import numpy as np
import pytest

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import (
    Classes,
    Numbers,
    Several,
    kind_of,
    labels_of,
    names_in,
    strata,
)
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from seqfuse.runtime.recordings import Recordings

NAN = float("nan")
LINES = [2, 3, 5]


def items(labels: list[Any], label_type: str, **more: Any) -> Recordings:
    return series(np.zeros((len(labels), 4, 1)), labels, label_type=label_type, **more)


@pytest.mark.parametrize(
    "y",
    [
        np.array([1.5, -2.0, 1e-9]),
        np.array([[1.5], [-2.0], [1e-9]], dtype=object).tolist(),
        ["1.5", " -2 ", "1e-9"],
    ],
)
def test_numbers_in_any_form(y: Any) -> None:
    assert labels_of(y, "a", "numbers") == [(1.5,), (-2.0,), (1e-9,)]


@pytest.mark.parametrize("shape", [(0,), (0, 2)])
def test_no_items_have_no_numbers(shape: tuple[int, ...]) -> None:
    assert labels_of(np.zeros(shape), "a", "numbers") == []


def test_a_number_may_be_missing_where_there_are_others() -> None:
    rows = labels_of(np.array([[1.0, NAN], [NAN, 2.0]]), "a", "numbers")
    assert [tuple(map(str, row)) for row in rows] == [("1.0", "nan"), ("nan", "2.0")]
    assert str(labels_of([["1", ""], ["2", "3"]], "a", "numbers")[0]) == "(1.0, nan)"


@pytest.mark.parametrize(
    "y",
    [
        np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        [["a", "c"], [], ["b"]],
        ["c|a", "", " b "],
        ['["c", "a"]', "[]", '["b"]'],
    ],
)
def test_several_labels_in_any_form(y: Any) -> None:
    found = labels_of(y, "a", "several", names=["a", "b", "c"])
    assert found == [("a", "c"), (), ("b",)]


@pytest.mark.parametrize(
    ("label_type", "y", "words"),
    [
        ("many", ["a"], ["data.label_type=many", "classes, numbers, several"]),
        ("classes", np.zeros((3, 2)), ["a.csv", "(3, 2)", "task=regression", "task=multilabel"]),
        ("numbers", ["1", "2", "up"], ["a.csv, line 5", "'up'", "task=classification"]),
        ("numbers", ["1", "?", "2"], ["a.csv, line 3", "NaN"]),
        ("numbers", np.array([[1, 2], [NAN, NAN], [3, 4.0]]), ["a.csv, line 3", "NaN"]),
        ("numbers", np.array([1, np.inf, 2]), ["a.csv, line 3", "infinite"]),
        ("numbers", [[1, 2], [1, 2], [1]], ["a.csv, line 5", "1 numbers", "2"]),
        ("numbers", np.zeros((3, 2, 2)), ["a.csv", "(3, 2, 2)"]),
        ("numbers", np.zeros((3, 0)), ["a.csv"]),
        ("several", np.array([[0, 1], [2, 0], [0, 1]]), ["a.csv, line 3", "2", "column 0"]),
        ("several", np.array([0, 1, 1]), ["a.csv", "(3,)", "task=classification"]),
        ("several", ["a", "b", "[c"], ["a.csv, line 5", "[c"]),
    ],
)
def test_mistakes_name_their_place(label_type: str, y: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        labels_of(y, "a.csv", label_type, LINES)
    assert all(word in str(error.value) for word in words)


def test_scaling_is_undone_exactly_where_it_was_fitted() -> None:
    y = np.array([[1e6, 0.5], [3e6, NAN], [2e6, -0.5]])
    given = items(y.tolist(), "numbers", targets=["big", "small"])
    labels = Numbers().fit(given)
    np.testing.assert_allclose(labels.standardisation.mean, [2e6, 0.0])
    np.testing.assert_allclose(labels.standardisation.std, [np.std([1e6, 2e6, 3e6]), 0.5])
    scaled = labels.encode(given)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(labels.undo(scaled[..., None])[..., 0], y, rtol=1e-7)
    other = Numbers()
    other.load_state_dict(labels.state_dict())
    np.testing.assert_array_equal(other.encode(given), scaled)
    assert other.sizes() == labels.sizes()
    assert labels.sizes()["target_names"] == ["big", "small"]
    constant = Numbers().fit(items([[5.0], [5.0]], "numbers"))
    assert constant.encode(items([[5.0], [7.0]], "numbers")).tolist() == [[0.0], [2.0]]


def test_what_cannot_be_learnt_is_named() -> None:
    with pytest.raises(InputError, match="'small' has no value"):
        Numbers().fit(items([[1.0, NAN], [2.0, NAN]], "numbers", targets=["big", "small"]))
    with pytest.raises(InputError, match="no item has a label"):
        Several().fit(items([[], []], "several"))
    with pytest.raises(InputError, match="2 numbers .* in training 1"):
        Numbers().fit(items([1.0, 2.0], "numbers")).encode(items([[1.0, 2.0]], "numbers"))
    labels = Several().fit(items(["a|b", "b"], "several"))
    with pytest.raises(InputError, match="row 1 has label 'c', which training never saw"):
        labels.encode(items(["a", "b|c"], "several"))
    with pytest.raises(InputError, match="line 9 has label 'c'"):
        labels.encode(items(["a", "b|c"], "several", lines=[7, 9]))


def test_several_labels_are_zeros_and_ones() -> None:
    given = items(["10|9", "", "9"], "several")
    labels = Several().fit(given)
    assert labels.classes == ["9", "10"]  # by value
    assert labels.encode(given).tolist() == [[1, 1], [0, 0], [1, 0]]
    assert labels.counts(labels.encode(given)) == {"class_counts": [2, 1]}


@pytest.mark.parametrize(
    ("label_type", "labels", "kind", "job"),
    [
        ("classes", ["b", "a", "b"], Classes, "classes"),
        ("classes", [list("aaab")] * 2, Classes, "tags"),
        ("numbers", [1.0, 2.0], Numbers, "numbers"),
        ("several", ["", "a|b"], Several, "labels"),
    ],
)
def test_the_pipeline_learns_whatever_there_is(
    label_type: str, labels: list[Any], kind: type, job: str
) -> None:
    given = items(labels, label_type)
    assert kind_of(given.labels or ()) is kind
    pipeline, other = SeriesPipeline().fit(given), SeriesPipeline()
    other.load_state_dict(pipeline.state_dict())
    assert type(other.labels) is kind
    assert other.labels.job == job
    assert other.sizes() == pipeline.sizes()
    np.testing.assert_array_equal(other.labels.encode(given), pipeline.labels.encode(given))


def test_folds_hold_classes_and_sets_of_labels_evenly() -> None:
    assert strata(["a", "b"]) == ["a", "b"]
    assert strata([("a", "b"), ()]) == ["a|b", ""]
    assert strata([(1.0,), (2.0,)]) == ["", ""]
    assert names_in([(1.0,), (2.0,)]) == [(), ()]
    assert names_in(["a"]) == [["a"]]
    assert names_in([("a", "b")]) == [("a", "b")]


def test_numbers_of_other_names_or_order_are_refused() -> None:
    y = np.array([[1.0, 2.0], [3.0, 4.0]])
    numbers = Numbers().fit(items(y, "numbers", targets=["p", "q"]))
    with pytest.raises(InputError, match="q, p.*p, q"):
        numbers.encode(items(y, "numbers", targets=["q", "p"]))


def test_ragged_numbers_and_deep_lists_get_one_line() -> None:
    ragged = items([(1.0, 2.0), (3.0, 4.0)], "numbers")
    object.__setattr__(ragged, "labels", [(1.0, 2.0), (3.0,)])
    with pytest.raises(InputError, match=r"\[1, 2\] numbers"):
        Numbers().fit(ragged)
    with pytest.raises(InputError, match="list of labels"):
        labels_of(["[" * 100_000], "a", "several")
