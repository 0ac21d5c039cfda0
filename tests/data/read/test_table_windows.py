"""Windows of a table with a number each: nothing crosses the border between splits."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqfuse.data.read.files import TableFile
from seqfuse.data.read.table_windows import TableWindows
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.pipelines.series import SeriesPipeline
from seqfuse.runtime.read import labelled
from seqfuse.runtime.read.clock import Clock
from seqfuse.runtime.read.table.reader import TableReader


def source(folder: Path, empty: range = range(0), **changes: int) -> TableWindows:
    """100 hours: `a` is the number of the hour, `b` ten times as much."""
    stamps = np.datetime64("2024-01-01T00", "h") + np.arange(100)
    rows = [f"{t},{'' if i in empty else i},{10 * i}" for i, t in enumerate(stamps)]
    (folder / "a.csv").write_text("date,a,b\n" + "\n".join(rows) + "\n")
    sizes = {"look_back": 6, "horizon": 4, "every": 1, **changes}
    reader = TableReader(targets=["a"], covariates=["b"], gaps="fill")
    return TableWindows(reader, TableFile("a.csv", str(folder)), split=[60, 20, 20], **sizes)


def test_labels_stay_in_their_split(tmp_path: Path) -> None:
    windows, last = source(tmp_path), -1.0
    for split, end in (("train", 60), ("val", 80), ("test", 100)):
        items = windows(split)
        labels = np.array(items.labels)[:, 0]
        first = np.array([item[0, 0] for item in items])
        np.testing.assert_array_equal(labels, first + 6 + 1.5)  # the mean of the four rows behind
        assert labels.min() - 1.5 > last  # the first row of a label, and the last one before
        last = labels.max() + 1.5
        assert last == end - 1
        assert items.item(0).tolist()[0] == [first[0], 10 * first[0]]
    assert items.targets == ["a"]


def test_missing_values_are_left_out_of_the_mean(tmp_path: Path) -> None:
    items = source(tmp_path, empty=range(20, 26))("train")
    firsts = [item[0, 1] / 10 + 6 for item in items]
    by_start = dict(zip(firsts, np.array(items.labels)[:, 0], strict=True))
    assert by_start[18] == 18.5
    assert by_start[23] == 26.0
    assert 20 not in by_start
    assert 22 not in by_start


def test_files_are_cut_into_the_same_windows(tmp_path: Path) -> None:
    windows = source(tmp_path, every=8)

    class Pipeline:
        clock = Clock(3600)
        tabular = None

        class labels:
            targets = ("a",)

    [items] = labelled.read(tmp_path / "a.csv", windows.file_format(Pipeline()))
    assert items.labels is None
    assert items.names is not None
    assert items.names[-1] == "2024-01-05 03:00:00"
    assert items.item(len(items) - 1)[:, 0].tolist() == [94, 95, 96, 97, 98, 99]
    assert items.item(len(items) - 2)[-1, 0] == 91


def test_a_value_goes_on_through_a_gap_longer_than_a_look_back(tmp_path: Path) -> None:
    items = source(tmp_path, empty=range(20, 32), look_back=4, horizon=10)("train")
    assert all(len(item) == 4 and not np.isnan(item).any() for item in items)
    inside = next(item for item in items if item[0, 1] == 240)
    assert inside[:, 0].tolist() == [19] * 4


def test_windows_of_several_series_say_whose_they_are(tmp_path: Path) -> None:
    rows = [f"2024-01-01T{i:02},{i},{shop}" for shop in ("east", "west") for i in range(20)]
    (tmp_path / "a.csv").write_text("date,a,shop\n" + "\n".join(rows) + "\n")
    reader = TableReader(targets=["a"], group="shop")
    table = TableFile("a.csv", str(tmp_path))
    items = TableWindows(reader, table, 3, 2, 1, [0.6, 0.2, 0.2])("train")
    assert items.names is not None
    assert items.names[0] == "east 2024-01-01 02:00:00"
    assert items.names[-1].startswith("west ")
    assert items.clock == Clock(3600)


def test_words_holidays_and_what_is_static_are_read_again(tmp_path: Path) -> None:
    stamps = np.datetime64("2024-01-01", "D") + np.arange(40)
    lines = ["date,shop,a,wind,town,code"]
    for shop, town in (("east", "Ulm"), ("west", "Köln")):
        for i, day in enumerate(stamps):
            lines.append(f"{day},{shop},{i},{'NS'[i % 2] if i < 35 else 'W'},{town},{i % 3}")
    (tmp_path / "a.csv").write_text("\n".join([*lines, ""]))
    more: dict[str, Any] = {"static": ["town"], "known": ["code"], "categories": ["code"]}

    def source_of(days: Sequence[str]) -> TableWindows:
        reader = TableReader("date", "shop", ["a"], ["wind"], holidays=days, **more)
        return TableWindows(reader, TableFile("a.csv", str(tmp_path)), 5, 2, 1, [30, 5, 5])

    windows = source_of(["2024-01-06"])
    items = windows("train")
    words = ["wind=N", "wind=S", "town=Köln", "town=Ulm"]
    assert items.columns == ["a", *words, "holiday", "code=0", "code=1", "code=2"]
    assert items.item(1)[:, 5].tolist() == [0, 0, 0, 0, 1]
    assert items.item(0)[:, 4].tolist() == [1] * 5
    assert windows("test").columns == items.columns
    pipeline = SeriesPipeline().fit(items)
    other = replace(items, columns=[name.replace("wind=N", "wind=E") for name in items.columns])
    with pytest.raises(InputError, match="the columns of the channels are a, wind=E, "):
        pipeline.transform(other)

    file_format = json.loads(json.dumps(source_of(["2024-02-01"]).file_format(pipeline)))
    new = "\n".join([lines[0], *(f"2024-01-0{i},new,{i},E,Bonn,2" for i in range(2, 7)), ""])
    (tmp_path / "new.csv").write_text(new)
    [items] = labelled.read(tmp_path / "new.csv", file_format)
    assert items.item(0)[-1].tolist() == [6, 0, 0, 0, 0, 1, 0, 0, 1]


def test_a_file_with_another_clock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text(
        "date,a,b\n" + "".join(f"2024-01-{i:02},{i},{i}\n" for i in range(1, 30))
    )
    table = {"targets": ["a"], "covariates": ["b"]}
    with pytest.raises(InputError, match="days.csv"):
        list(labelled.read_windows(tmp_path / "days.csv", table, 6, 1, clock=[3600]))


@pytest.mark.parametrize(
    "split", [[0.6, 0.1, 0.1, 0.2], ["2024-01-02", "2024-01-03", "2024-01-04"]]
)
def test_a_split_has_three_parts(split: list) -> None:
    with pytest.raises(InputError, match="data.split"):
        TableWindows(TableReader(), TableFile("a.csv"), 3, 2, 1, split)


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data.every=0"):
        source(tmp_path, every=0)
    with pytest.raises(InputError, match="the val split is too short .*data.look_back=6"):
        source(tmp_path, horizon=30)("val")
