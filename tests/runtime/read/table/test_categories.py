"""Columns of words and columns with one value for each series."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqfuse.data.read.files import TableFile
from seqfuse.data.windows import TimeSplits
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.scaling import TablePipeline
from seqfuse.runtime.read.table.cells import as_cells
from seqfuse.runtime.read.table.reader import TableReader
from seqfuse.runtime.read.table.table import Table
from seqfuse.runtime.read.table.words import MAX_CATEGORIES

SHOP = {"targets": ["price"], "group": "shop"}


def frame(rows: int = 20, **columns: Any) -> pd.DataFrame:
    """Three shops, day by day."""
    days = pd.date_range("2024-01-01", periods=rows).to_list()
    shops = np.repeat(["a", "b", "c"], rows)
    base = {"date": days * 3, "shop": shops, "price": np.arange(3.0 * rows)}
    return pd.DataFrame(base | columns)


def read(given: pd.DataFrame, **options: Any) -> Table:
    reader = TableReader(**{**SHOP, **options})
    return reader.read(as_cells(given), training=lambda table: [(0, int(table.offsets[1]))])


def test_numbers_are_words_where_they_are_categories() -> None:
    codes = [3, 11, 3, 7] * 15
    table = read(frame(code=codes), covariates=["code"], categories=["code"])
    assert table.columns == ["price", "code=11", "code=3", "code=7"]
    assert table.values[:4, 1:].tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert read(frame(code=codes), covariates=["code"]).columns == ["price", "code"]


def test_words_of_other_rows_are_zero_in_all_columns() -> None:
    words = [1, 2] * 10 + [9] * 40
    table = read(frame(code=words), covariates=["code"], categories=["code"])
    assert table.columns == ["price", "code=1", "code=2"]
    assert not table.values[20:, 1:].any()


def test_a_word_is_the_same_in_every_kind_of_table(tmp_path: Path) -> None:
    """Whole numbers become floats where one of them is missing."""
    codes = pd.Series([1, 2, 30] * 20).where(np.arange(60) != 4)
    given = frame(code=codes)
    given.to_csv(tmp_path / "a.csv", index=False)
    given.astype({"code": "Int64"}).to_csv(tmp_path / "b.csv", index=False)
    given.to_parquet(tmp_path / "c.parquet")
    reader = TableReader(**SHOP, covariates=["code"], categories=["code"], gaps="fill")
    first = reader.read(as_cells(given), training=lambda table: [(0, 20)])
    assert first.columns[1:] == ["code=1", "code=2", "code=30"]
    for name in ("a.csv", "b.csv", "c.parquet"):
        again = reader.read(tmp_path / name)
        np.testing.assert_array_equal(again.values, first.values)
    # What is missing is as the step before.
    assert first.values[3:6, 1:].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_the_most_frequent_words_get_a_column_each() -> None:
    rows = 400
    words = np.tile(np.arange(100), 12)
    words[::3] = 7
    table = read(frame(rows, code=words), covariates=["code"], categories=["code"])
    assert len(table.columns) == 1 + MAX_CATEGORIES
    assert "code=7" in table.columns
    with pytest.raises(InputError, match=r"'code' has 100 different words.*data.categories"):
        read(frame(rows, code=[f"n{w}" for w in words]), covariates=["code"])


def test_a_static_column_has_its_value_at_every_step() -> None:
    given = frame(town=["Rome"] * 20 + ["Bari"] * 20 + ["Rome"] * 20, size=[1.5] * 60)
    given.loc[given.index % 20 > 3, ["town", "size"]] = None
    given = given.drop(index=[25])
    reader = TableReader(**SHOP, static=["size", "town", "shop"], gaps="fill")
    table = reader.read(as_cells(given), training=lambda table: [(0, 40)])
    names = ["size", "town=Bari", "town=Rome", "shop=a", "shop=b"]
    assert table.columns == ["price", *names]
    assert (table.num_targets, table.num_known) == (1, 0)
    wanted = [[1.5, 0, 1, 1, 0], [1.5, 1, 0, 0, 1], [1.5, 0, 1, 0, 0]]
    np.testing.assert_array_equal(table.values[:, 1:], np.repeat(wanted, 20, axis=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"static": ["town"]}, r"row 9, column 'town': 'Bari' differs from 'Rome' in row 2"),
        ({"static": ["size"]}, r"row 31, column 'size': '2.0' differs from '1.0' in row 22"),
        ({"static": ["none"]}, r"no column 'none' for data.static"),
        ({"static": ["town"], "group": None}, r"data.static=\['town'\].*data.group="),
        ({"categories": ["town"]}, r"data.categories names 'town'.*data.static"),
        ({"static": ["town"], "known": ["town"]}, r"'town=Bari' is named twice.*.static"),
        ({"covariates": ["late"], "categories": ["late"]}, r"'late' has no value in the training"),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, Any], message: str) -> None:
    town = np.where(np.arange(60) == 7, "Bari", "Rome")
    size = np.where(np.arange(60) == 29, 2.0, 1.0)
    if "known" in options:
        town = np.repeat(["Bari", "Rome", "Bari"], 20)
    late = pd.Series(["x"] * 60).where(np.arange(60) >= 20)
    with pytest.raises(InputError, match=message) as caught:
        read(frame(town=town, size=size, late=late), **options)
    assert "\n" not in str(caught.value)


def test_the_calendar_has_a_column_for_each_day() -> None:
    table = read(frame(), known=["weekday", "month"], categories=["weekday"])
    assert table.columns[1:8] == [f"weekday={day}" for day in range(7)]
    assert table.num_known == 9
    np.testing.assert_array_equal(table.values[:7, 1:8], np.eye(7))  # from a Monday on


def splits(path: Path, given: pd.DataFrame, **options: Any) -> TimeSplits:
    given.to_csv(path, index=False)
    sizes = {"look_back": 5, "horizon": 2, "split": [12, 4, 4]}
    found = TimeSplits(
        TableReader(**SHOP, **options), TablePipeline(), TableFile(str(path)), **sizes
    )
    found.fit()
    return found


def test_static_values_of_other_series_change_nothing(tmp_path: Path) -> None:
    towns = np.repeat(["Rome", "Bari", "Pisa"], 20)
    options = {"static": ["town"], "categories": ["town"]}
    first = splits(tmp_path / "a.csv", frame(town=towns), **options)
    towns = np.repeat(["Bari", "Rome", "Pisa"], 20)
    second = splits(tmp_path / "b.csv", frame(town=towns), **options)
    pairs = [data.tensors("test").__getitems__(range(9)) for data in (first, second)]
    third = pairs[0].index >= 40
    assert third.any()
    torch.testing.assert_close(pairs[0].x[third], pairs[1].x[third])
    swapped = pairs[0].x[~third], pairs[1].x[~third]
    assert not torch.equal(*swapped)
    torch.testing.assert_close(swapped[0][..., 0], swapped[1][..., 0], atol=0, rtol=0)


def test_names_of_series_and_their_order_change_no_window(tmp_path: Path) -> None:
    given = frame(town=np.repeat(["Rome", "Bari", "Pisa"], 20))
    first = splits(tmp_path / "a.csv", given, static=["town"])
    renamed = given.assign(shop=given["shop"].map({"a": "z", "b": "y", "c": "x"}))
    second = splits(tmp_path / "b.csv", renamed, static=["town"])
    one, other = (data.tensors("train").__getitems__(range(18)).x for data in (first, second))
    np.testing.assert_allclose(sorted(one.tolist()), sorted(other.tolist()), atol=1e-6)


def test_a_new_series_of_a_new_town_is_read_without_either(tmp_path: Path) -> None:
    data = splits(tmp_path / "a.csv", frame(town=np.repeat(["Rome", "Bari", "Rome"], 20)),
                  static=["town", "shop"], categories=["town"])  # fmt: skip
    new = frame(town=["Oslo"] * 60).assign(shop="new")[:20]
    reader: Any = data.reader
    table = reader.ahead(as_cells(new), data.pipeline, 2)
    assert table.columns == data.pipeline.columns
    assert not table.values[:20, 1:].any()


def test_what_comes_behind_the_targets_needs_no_static_cell(tmp_path: Path) -> None:
    data = splits(tmp_path / "a.csv", frame(town=np.repeat(["Rome", "Bari", "Rome"], 20),
                  offer=np.arange(60) % 2), static=["town"], known=["offer"],
                  categories=["offer"])  # fmt: skip
    new = frame(town=np.repeat(["Rome", "Bari", "Rome"], 20), offer=np.arange(60) % 2)
    new.loc[new.index % 20 >= 18, ["price", "town"]] = np.nan
    reader: Any = data.reader
    table = reader.ahead(as_cells(new), data.pipeline, 2)
    assert table.ends(5).tolist() == [18, 38, 58]
    offer = table.columns.index("offer=0")
    assert table.values[18:20, offer].tolist() == [1, 0]
    with pytest.raises(InputError, match="'offer' is to be known ahead"):
        reader.ahead(as_cells(new.drop(index=[19])), data.pipeline, 2)
