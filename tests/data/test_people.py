"""Nobody stands on two sides, and the folds are the same whatever the seed."""

import pytest

from seqfuse.data.people import People
from seqfuse.runtime.errors import InputError

NAMES = [str(i) for i in range(1, 24)]


def test_named_people() -> None:
    people = People([19, 20, 21, 22, 23], [16, 17, 18])
    assert people.of("train", NAMES) == {str(i) for i in range(1, 16)}
    assert people.of("val", NAMES) == {"16", "17", "18"}


def test_each_person_is_tested_in_one_fold_and_validated_in_the_one_before() -> None:
    tested: list[str] = []
    for fold in range(5):
        people = People(fold=fold)
        test, val, train = (people.of(split, NAMES) for split in ("test", "val", "train"))
        assert not test & val | test & train | val & train
        assert test | val | train == set(NAMES)
        assert val == People(fold=(fold + 1) % 5).of("test", NAMES)
        tested += test
    assert sorted(tested) == sorted(NAMES)
    assert People(fold=0).of("test", NAMES) == {"1", "6", "11", "16", "21"}


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"test": [1]}, "nobody of 23 people is left for split val"),
        ({"num_folds": 2}, "data.test_folds=2 must be at least 3"),
    ],
)
def test_mistakes(knobs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        People(**knobs).of("val", NAMES)
