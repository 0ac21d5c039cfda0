"""The user's own files: one to train on, perhaps one to test and one to validate on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from seqfuse.data.items import Source
from seqfuse.data.splits import hold_out
from seqfuse.runtime.errors import InputError, check_minimum
from seqfuse.runtime.files import find
from seqfuse.runtime.recordings import Recordings


@dataclass(eq=False, repr=False)
class OwnFiles(Source):
    """Files of labelled items.

    Without a file to test on, one part in `test_folds` of the training file is the test split:
    the same whatever the seed, of each class evenly, and with groups kept whole.

    Args:
        train: file to train (and validate) on.
        test: file to test on.
        val: file to validate on; without one, folds of `train` do.
        root: folder that relative names start from.
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
    """

    kind: ClassVar[str]
    """Name of the file in the message that none is named."""
    folders = False
    """Whether a folder, or a pattern, is read, too."""

    train: str | None
    test: str | None = None
    val: str | None = None
    root: str = field(default=".", kw_only=True)
    test_folds: int = field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        if not self.train:
            raise InputError(f"data.train is empty: name your {self.kind}")
        check_minimum(2, test_folds=self.test_folds)
        self.files = {"train": str(self.train), "val": self.val, "test": self.test}
        self.has_validation = self.val is not None

    def read(self, path: Path, split: str) -> Recordings:
        raise NotImplementedError

    def path(self, split: str) -> Path:
        named = split if self.files[split] else "train"
        file, some = str(self.files[named]), self.folders
        return find(file, self.root, f"data.{named}", folders=some, patterns=some)

    def __call__(self, split: str) -> Recordings:
        items = self.read(self.path(split), split)
        if self.files["test"] or split == "val":
            return items
        if len(items) < self.test_folds:
            raise InputError(
                f"{items.origin}: {len(items)} {items.unit} are too few for a test split "
                f"(data.test_folds={self.test_folds}): add some, or name a file in data.test"
            )
        whole = "random" if items.groups is None else "grouped"
        kind = whole if items.per_step else "stratified"
        train, test = hold_out(items, self.test_folds, 0, kind, 0, "data.test_folds")
        if not len(test):
            raise InputError(
                f"{items.origin}: no two {items.unit} share a label, so that none can be held out "
                "to test: add some of each class; numbers are learnt by task=regression"
            )
        self.num_test = len(test)
        self._num_twins = 0
        if not items.sources:
            contents = [_content(item) for item in items]
            trained = {contents[row] for row in train}
            self._num_twins = sum(contents[row] in trained for row in test)
        return items.take(test if split == "test" else train)

    def notes(self, items: Recordings) -> Iterator[str]:
        if self.num_test is None:
            return
        yield (
            f"one part in {self.test_folds} is held out to test, the same whatever the seed "
            "(data.test_folds); a file of its own: data.test=<file>"
        )
        if self._num_twins:
            yield (
                f"{self._num_twins:,} of the {self.num_test:,} {items.unit} held out to test are "
                "in the training part, too: drop doubles, or the test says too much"
            )


def _content(item: NDArray[Any]) -> Any:
    """A key that equal items share: bytes of numbers, a tuple of words."""
    return tuple(item.tolist()) if item.dtype == object else item.tobytes()
