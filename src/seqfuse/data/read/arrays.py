"""The user's own arrays: .npz with x and y, a pair of .npy files, or Parquet."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqfuse.data.read.own_files import OwnFiles
from seqfuse.runtime.errors import check_option
from seqfuse.runtime.files import check_ending
from seqfuse.runtime.pipelines.labels import UNLABELLED
from seqfuse.runtime.read.arrays import ARRAY_ENDINGS, LAYOUTS
from seqfuse.runtime.read.labelled import read_arrays
from seqfuse.runtime.read.lists import read_rows
from seqfuse.runtime.read.table.parquet import ENDING, is_parquet
from seqfuse.runtime.recordings import Recordings


class Arrays(OwnFiles):
    """Reads x (three axes) and y (series) or (series, k) from files.

    An .npz holds `x` and `y`, and may hold `groups`, `lengths`, the steps of each series
    before its padding, and `y_names` of the columns of y. For .npy, `train.npy` has the
    series and `train_y.npy` beside it the labels. Parquet has a list in each row, or a step (see
    `runtime.read.lists`); a folder or a pattern, too.

    Args:
        train: file to train and validate on.
        test: file to test on; without one, `test_folds` parts of `train` give one part.
        layout: order of the axes of x: `btc` is (series, time, channels).
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
        root: folder that relative names start from.
        labelled: without it, labels are not read, and need not be there.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

    kind = ".npz (with x and y), .npy or .parquet file"
    folders = True

    def __init__(
        self,
        train: str | None,
        test: str | None = None,
        layout: str = "btc",
        test_folds: int = 5,
        root: str = ".",
        labelled: bool = True,
        label_type: str = "classes",
    ):
        check_option(LAYOUTS, layout=layout)
        super().__init__(train, test, None, root, test_folds)
        self.layout, self.labelled, self.label_type = layout, labelled, label_type

    def read(self, path: Path, split: str) -> Recordings:
        if is_parquet(path):
            blocks = read_rows(path, self.labelled, self.label_type)
        else:
            check_ending(path, (*ARRAY_ENDINGS, ENDING))
            blocks = read_arrays(path, self.layout, self.labelled, self.label_type)
        items = Recordings.joined(list(blocks))
        return items if self.labelled else replace(items, labels=[UNLABELLED] * len(items))

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "series", "layout": self.layout}

    def notes(self, items: Recordings) -> Iterator[str]:
        yield from super().notes(items)
        steps, channels = int(items.lengths.max()), items.values.shape[1]
        if channels > steps:
            other = "bct" if self.layout == "btc" else "btc"
            yield (
                f"{steps} steps of {channels} channels are unusual: x is read as "
                f"{LAYOUTS[self.layout]}; if it is {LAYOUTS[other]}, {channels} steps of {steps} "
                f"channels, type data.layout={other}"
            )
