"""The user's own arrays: .npz with x and y, or a pair of .npy files."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqfuse.data.items import Source
from seqfuse.data.splits import hold_out
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find
from seqfuse.runtime.pipelines.labels import UNLABELLED
from seqfuse.runtime.read.arrays import LAYOUTS
from seqfuse.runtime.read.labelled import read_arrays
from seqfuse.runtime.recordings import Recordings


class Arrays(Source):
    """Reads x (three axes) and y (series) or (series, k) from files.

    An .npz holds `x` and `y`, and may hold `groups`, `lengths`, the steps of each series
    before its padding, and `y_names` of the columns of y. For .npy, `train.npy` has the
    series and `train_y.npy` beside it the labels.

    Args:
        train: file to train and validate on.
        test: file to test on; without one, `test_folds` parts of `train` give one part.
        layout: order of the axes of x: `btc` is (series, time, channels).
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
        root: folder that relative names start from.
        labelled: without it, labels are not read, and need not be there.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

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
        if not train:
            raise InputError("data.train is empty: name your .npz (with x and y) or .npy file")
        if layout not in LAYOUTS:
            raise InputError(f"data.layout={layout} must be one of: {', '.join(LAYOUTS)}")
        if test_folds < 2:
            raise InputError(f"data.test_folds={test_folds} must be at least 2")
        self.train, self.test, self.root = train, test, root
        self.layout, self.labelled, self.test_folds = layout, labelled, test_folds
        self.label_type = label_type

    def __call__(self, split: str) -> Recordings:
        if self.test:
            return self._read(self.test if split == "test" else self.train)
        items = self._read(self.train)
        return items.take(self._rows(items, split))

    def reader(self, pipeline: Any) -> Mapping[str, Any]:
        return {"kind": "series", "layout": self.layout}

    def _read(self, file: str) -> Recordings:
        path = find(file, self.root, "data.train and data.test")
        blocks = read_arrays(path, self.layout, self.labelled, self.label_type)
        items = Recordings.joined(list(blocks))
        return items if self.labelled else replace(items, labels=[UNLABELLED] * len(items))

    def _rows(self, items: Recordings, split: str) -> NDArray[np.int64]:
        if len(items) < self.test_folds:
            raise InputError(f"{items.origin}: {len(items)} series are too few for a test split")
        kind = "random" if items.per_step else "stratified"
        parts = hold_out(items, self.test_folds, 0, kind, 0, "data.test_folds")
        return parts[split == "test"]
