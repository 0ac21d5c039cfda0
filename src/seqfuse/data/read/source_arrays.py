"""The user's own sources: an .npz with an array for each of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from seqfuse.data.blocks import Block
from seqfuse.data.labels import texts_of
from seqfuse.data.read.sources import Sources
from seqfuse.data.series import Series
from seqfuse.data.splits import hold_out
from seqfuse.runtime.array_items import cut, load_arrays
from seqfuse.runtime.errors import InputError

SUFFIX = "_x"


class SourceArrays:
    """Reads `<source>_x` of each source, `y` and perhaps `groups` from an .npz.

    A source is (items, time, channels), where NaN at the end is padding, or what lies behind
    the steps that `<source>_lengths` gives for each item; or (items, columns) of facts that do
    not change; each at a rate of its own, all over the same time.

    Args:
        train: file to train and validate on.
        test: file to test on; without one, `test_folds` parts of `train` give one part.
        sources: which to read, the clock first; `auto`: all of `train`, in the order of the file.
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
        missing: sources left out in test and in files to predict; the clock is kept of the
            first one, which must be there.
        root: folder that relative names start from.

    Raises:
        InputError: a knob is out of range.
    """

    endings = (".npz",)

    def __init__(
        self,
        train: str | None,
        test: str | None = None,
        sources: Sequence[str] | str = "auto",
        test_folds: int = 5,
        missing: Collection[str] = (),
        root: str = ".",
    ):
        if not train:
            raise InputError("data.train is empty: name your .npz (with <source>_x and y)")
        if test_folds < 2:
            raise InputError(f"data.test_folds={test_folds} must be at least 2")
        self.train, self.test = train, test
        self.sources = [] if sources == "auto" else list(sources)
        self.test_folds = test_folds
        self.missing = set(missing)
        self.root = Path(root)

    def __call__(self, split: str) -> Sources:
        """Reads `train` or `test`.

        Raises:
            InputError: a file is missing or broken, or its arrays do not line up.
        """
        own = split == "test" and self.test
        path = self._find(str(self.test) if own else self.train)
        arrays = load_arrays(path)
        if "y" not in arrays:
            raise InputError(f"{path} has no array 'y' (it has: {', '.join(arrays)})")
        if not self.sources:
            self.sources = _names(arrays if not own else load_arrays(self._find(str(self.train))))
        self._check_missing(self.sources or _names(arrays), self.missing)
        y = texts_of(arrays["y"], str(path))
        groups = [str(one) for one in arrays["groups"]] if "groups" in arrays else None
        items = self._items(arrays, path, y, groups, self.missing if split == "test" else set())
        if self.test:
            return items
        return items.take(self._rows(items)[split == "test"])

    def _rows(self, items: Sources) -> tuple[np.ndarray, np.ndarray]:
        if len(items) < self.test_folds:
            raise InputError(f"{items.origin}: {len(items)} items are too few for a test split")
        return hold_out(items, self.test_folds, 0, "stratified", 0)

    def file(self, path: Path) -> "SourcesFile":
        """Items of a file, without labels; it may hold an array `id`.

        Raises:
            InputError: a source is missing, or arrays do not line up.
        """
        arrays = load_arrays(path)
        count = len(next((arrays[one] for one in arrays if one.endswith(SUFFIX)), ()))
        items = self._items(arrays, path, [""] * count, None, self.missing)
        return SourcesFile(items, arrays.get("id"))

    def _items(
        self,
        arrays: Mapping[str, np.ndarray],
        path: Path,
        y: list,
        groups: list[str] | None,
        missing: set[str],
    ) -> Sources:
        names = self.sources or _names(arrays)
        if not names:
            raise InputError(f"{path} has no array '<source>_x' (it has: {', '.join(arrays)})")
        self._check_missing(names, missing)
        clock = _series(arrays, names[0], path, clock=True)
        others = {one: _series(arrays, one, path) for one in names[1:] if one not in missing}
        parts = others if names[0] in missing else {names[0]: clock, **others}
        return Sources(parts, y, clock.lengths, groups, str(path))

    @staticmethod
    def _check_missing(names: Sequence[str], missing: set[str]) -> None:
        if odd := sorted(missing - set(names)):
            raise InputError(
                f"data.missing=[{odd[0]}]: there is no such source (there are: {', '.join(names)})"
            )
        if missing and missing == set(names):
            raise InputError(f"data.missing leaves no source of: {', '.join(names)}")

    def _find(self, file: str) -> Path:
        for path in (Path(file), self.root / file):
            if path.is_file():
                return path
        raise InputError(f"{file} is not there, nor in {self.root}: check data.train and data.test")


class SourcesFile:
    """Items of one file.

    Args:
        items: without labels.
        ids: the user's own, if there are any.
    """

    def __init__(self, items: Sources, ids: np.ndarray | None):
        if ids is not None and len(ids) != len(items):
            raise InputError(f"{items.origin}: id has {len(ids)} rows, expected {len(items)}")
        self.items = items
        self.has_ids = ids is not None
        self.ids = np.arange(len(items)) if ids is None else ids
        self.size: int | None = len(items)

    def blocks(self, size: int) -> Iterator[Block]:
        """Blocks of so many items, in the order of the file."""
        for first in range(0, len(self.items), size):
            rows = np.arange(first, min(first + size, len(self.items)))
            yield Block(self.items.take(rows), self.ids[rows])


def _names(arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [one.removesuffix(SUFFIX) for one in arrays if one.endswith(SUFFIX)]


def _series(arrays: Mapping[str, np.ndarray], name: str, path: Path, clock: bool = False) -> Series:
    if name + SUFFIX not in arrays:
        fix = f"to do without this source, type data.missing=[{name}]"
        raise InputError(
            f"{path} has no array '{name}{SUFFIX}' (it has: {', '.join(arrays)}); "
            + ("its steps are the clock, so it must be there, with any values" if clock else fix)
        )
    x = arrays[name + SUFFIX]
    if x.ndim not in (2, 3) or x.dtype.kind not in "iuf" or not x.size:
        raise InputError(
            f"{path}: {name}{SUFFIX} has shape {x.shape} of {x.dtype}, expected numbers (items, "
            "time, channels), or (items, columns) without time"
        )
    series = cut(x, arrays.get(f"{name}_lengths"), f"{path}: {name}_lengths")
    series = x[:, None] if x.ndim == 2 else series
    return Series(series, [""] * len(x), origin=f"{path}, {name}{SUFFIX}")
