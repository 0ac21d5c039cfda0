"""Splits, loaders, and what of the data may be seen when."""

from collections import Counter

import numpy as np
import pytest
import torch

from seqfuse.data.loader import EpochShuffle
from seqfuse.data.module import DataModule
from seqfuse.data.splits import Folds, hold_out
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.labels import label_text
from seqfuse.runtime.pipelines.series import SeriesPipeline, series
from tests.data.small import Toy, module


def test_folds_part_the_training_split() -> None:
    seen = []
    for fold in range(5):
        data = module(fold=fold)
        train, val = (set(data.tensors(s).index.tolist()) for s in ("train", "val"))
        assert train | val == set(range(30))
        assert not train & val
        assert Counter(data.tensors("val").y.tolist()) == {0: 2, 1: 2, 2: 2}
        seen += val
    assert sorted(seen) == list(range(30))


@pytest.mark.parametrize("split", ["stratified", "grouped"])
def test_groups_are_kept_whole(split: str) -> None:
    data = module(Toy(groups=True), split=split)
    train, val = ({i // 3 for i in data.tensors(s).index.tolist()} for s in ("train", "val"))
    assert not train & val


def test_scaling_is_fitted_on_training_rows_alone() -> None:
    data = module()
    raw = data.splits.raw("train").take(data.tensors("train").index.numpy())
    np.testing.assert_allclose(
        data.splits.pipeline.standardisation.mean, np.nanmean(raw.values, axis=0), rtol=1e-6
    )


def test_the_test_split_is_opened_only_for_testing() -> None:
    toy = Toy()
    data = module(toy)
    list(data.train_dataloader()), list(data.val_dataloader())
    assert "test" not in toy.asked
    data.setup("test")
    assert "test" in toy.asked


def test_no_validation() -> None:
    data = module(num_folds=0)
    assert len(data.tensors("train")) == 30
    assert not data.splits.has_validation


def test_a_batch_is_sliced_and_cut_to_its_longest() -> None:
    data = module(num_folds=0)
    tensors = data.tensors("train")
    batch = tensors.__getitems__([0, 6])
    assert batch.x.shape == (2, 3, 2)
    assert batch.index.tolist() == [0, 6]
    batch = tensors.__getitems__([0, 5])
    assert batch.mask.sum(dim=1).tolist() == [3, 8]
    assert torch.all(batch.x[0, 3:] == 0)


def test_loader_gives_each_row_once_in_a_new_order_each_epoch() -> None:
    data = module(num_folds=0)
    orders = []
    for epoch in (0, 1, 0):
        loader = data.train_dataloader()
        loader.batch_sampler.sampler.set_epoch(epoch)
        orders.append([i for batch in loader for i in batch.index.tolist()])
    assert sorted(orders[0]) == list(range(30))
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_workers_change_nothing() -> None:
    one = [batch.index.tolist() for batch in module().train_dataloader()]
    two = [batch.index.tolist() for batch in module(num_workers=2).train_dataloader()]
    assert one == two


def test_order_depends_on_the_seed() -> None:
    assert list(EpochShuffle(50, 0)) != list(EpochShuffle(50, 1))
    assert list(EpochShuffle(50, 0)) == list(EpochShuffle(50, 0))


def test_auto_batch_size() -> None:
    assert module(batch_size="auto").batch_size == 24
    assert module(num_folds=0, batch_size="auto").batch_size == 30


def test_auto_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not module(num_folds="auto").splits.has_validation
    monkeypatch.setattr("seqfuse.data.splits.ENOUGH", 30)
    assert module(num_folds="auto").sizes()["num_folds"] == 20


def test_sizes() -> None:
    sizes = module(num_folds=0).sizes()
    assert sizes == {
        **{"channels": 2, "num_classes": 3, "classes": ["0", "1", "2"], "label_type": "classes"},
        **{
            "class_counts": [10, 10, 10],
            "batch_size": 8,
            "num_steps": 8,
            "num_folds": 0,
            "calibration": False,
            "num_batches": 4,
        },
    }


def test_other_batches_of_the_same_data() -> None:
    toy = Toy()
    data = module(toy, num_folds=0)
    asked = list(toy.asked)
    other = data.in_batches(5)
    other.setup("fit")
    assert toy.asked == asked
    assert (data.batch_size, len(data.train_dataloader())) == (8, 4)
    assert (other.batch_size, len(other.train_dataloader())) == (5, 6)
    assert other.tensors("train") is data.tensors("train")


def test_state_is_enough_to_transform() -> None:
    data = module()
    other = DataModule(Folds(Toy(), SeriesPipeline()))
    other.load_state_dict(data.state_dict())
    rows = range(len(data.tensors("test")))
    both = [one.tensors("test").__getitems__(rows) for one in (data, other)]
    torch.testing.assert_close(both[0].x, both[1].x)
    assert other.batch_size == 8


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"batch_size": 0}, "data.batch_size=0 must be auto or at least 1"),
        ({"batch_size": 25}, "data.batch_size=25 is more than the 24 training series of toy train"),
    ],
)
def test_ranges(knobs: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        module(**knobs)


def test_series_names_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="here: 2 series but 3 labels"):
        series(np.zeros((2, 3, 1)), [1, 2, 3], origin="here")
    x = np.zeros((2, 3, 1))
    x[1] = np.nan
    with pytest.raises(InputError, match="here: row 1 has no value at all"):
        series(x, [1, 2], origin="here")


def test_labels_that_differ_stay_apart() -> None:
    labels = ["007", "7", 2**53, 2**53 + 1, True, b"up", "1e3", "e3"]
    assert [label_text(one) for one in labels] == [
        *("007", "7", "9007199254740992", "9007199254740993", "True", "up", "1000", "e3")
    ]


@pytest.mark.parametrize("label", [1, 1.0, "1", "1.0", " 1 ", np.int64(1), np.float32(1)])
def test_one_label_has_one_text(label: object) -> None:
    assert label_text(label) == "1"


def test_groups_are_whole_where_no_class_has_a_row_for_each_fold() -> None:
    labels = [str(i // 2) for i in range(20)]
    items = series(np.zeros((20, 3, 1)), labels, [i // 4 for i in range(20)])
    whose = np.asarray(items.groups)
    for fold in range(5):
        train, val = hold_out(items, 5, fold, "stratified", 0)
        assert not {*whose[train]} & {*whose[val]}


def test_a_class_that_one_group_has_is_named_with_its_row_in_the_file() -> None:
    labels = ["a", "b"] * 9 + ["a", "c"]
    items = series(np.zeros((20, 3, 1)), labels, [i // 4 for i in range(20)])
    held_out = [hold_out(items, 5, fold, "grouped", 0)[1] for fold in range(5)]
    fold = next(fold for fold, rows in enumerate(held_out) if 19 in rows)
    splits = Folds(lambda split: items, SeriesPipeline(), fold=fold, split="grouped")
    with pytest.raises(InputError, match="row 19 has label 'c', which training never saw"):
        splits.fit()
