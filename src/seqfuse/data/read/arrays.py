"""The user's own arrays: .npz with x and y, or a pair of .npy files."""

from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from seqfuse.data.series import Series
from seqfuse.runtime.array_items import LAYOUTS, by_time, check_axes, cut, load_arrays
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.labels import UNLABELLED


class Arrays:
    """Reads x (three axes) and y (one label per series) from files.

    An .npz holds `x` and `y`, and may hold `groups`, and `lengths`, the steps of each series
    before its padding. For .npy, `train.npy` has the series and `train_y.npy` beside it the
    labels.

    Args:
        train: file to train and validate on.
        test: file to test on; without one, `test_folds` parts of `train` give one part.
        layout: order of the axes of x: `btc` is (series, time, channels).
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
        root: folder that relative names start from.
        labelled: without it, labels are not read, and need not be there.

    Raises:
        InputError: a knob is out of range.
    """

    def __init__(
        self,
        train: str | None,
        test: str | None = None,
        layout: str = "btc",
        test_folds: int = 5,
        root: str = ".",
        labelled: bool = True,
    ):
        if not train:
            raise InputError("data.train is empty: name your .npz (with x and y) or .npy file")
        if layout not in LAYOUTS:
            raise InputError(f"data.layout={layout} must be one of: {', '.join(LAYOUTS)}")
        if test_folds < 2:
            raise InputError(f"data.test_folds={test_folds} must be at least 2")
        self.files = {"train": train, "test": test}
        self.layout, self.labelled = layout, labelled
        self.test_folds = test_folds
        self.root = Path(root)

    def __call__(self, split: str) -> Series:
        """Reads `train` or `test`.

        Raises:
            InputError: the file is missing, broken, or its arrays do not fit.
        """
        if file := self.files[split]:
            data = self._read(self._find(file))
            if split == "test" or self.files["test"]:
                return data
        else:
            data = self._read(self._find(str(self.files["train"])))
        return data.take(self._rows(data, split))

    def _rows(self, data: Series, split: str) -> np.ndarray:
        if len(data) < self.test_folds:
            raise InputError(f"{data.origin}: {len(data)} series are too few for a test split")
        kind = StratifiedKFold if data.groups is None else StratifiedGroupKFold
        folds = kind(self.test_folds, shuffle=True, random_state=0)
        try:
            train, test = next(iter(folds.split(data.x[:, 0, 0], data.y, data.groups)))
        except ValueError as error:
            raise InputError(f"{data.origin}: cannot cut a test split ({error})") from None
        return np.sort(train if split == "train" else test)

    def _find(self, file: str) -> Path:
        for path in (Path(file), self.root / file):
            if path.is_file():
                return path
        raise InputError(f"{file} is not there, nor in {self.root}: check data.train and data.test")

    def _read(self, path: Path) -> Series:
        arrays = _with_labels(path) if self.labelled else load_arrays(path)
        for key in ("x", "y") if self.labelled else ("x",):
            fix = "; without labels, type task=contrastive data.labelled=false" * (key == "y")
            if key not in arrays:
                raise InputError(f"{path} has no array '{key}' (it has: {', '.join(arrays)}){fix}")
        x = arrays["x"]
        check_axes(x.shape, x.dtype, path)
        x = by_time(x, self.layout)
        series = cut(x, arrays.get("lengths"), f"{path}: lengths")
        y = arrays["y"] if self.labelled else [UNLABELLED] * len(x)
        try:
            found = Series(series, y, arrays.get("groups"), str(path))
            if self.labelled and UNLABELLED in found.y:
                raise InputError(f"{path}: row {found.y.index(UNLABELLED)} has no label (empty)")
            return found
        except InputError as error:
            raise InputError(
                f"{error} (data.layout={self.layout} reads x as {_reading(x)})"
            ) from None


def _with_labels(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz, or of an .npy and of its labels beside it."""
    arrays = load_arrays(path)
    if path.suffix == ".npy":
        labels = path.with_name(f"{path.stem}_y.npy")
        if not labels.is_file():
            raise InputError(f"{path} needs its labels beside it, in {labels.name}")
        arrays["y"] = load_arrays(labels)["x"]
    return arrays


def _reading(x: np.ndarray) -> str:
    series, steps, channels = x.shape
    return f"{series} series of {steps} steps and {channels} channels"
