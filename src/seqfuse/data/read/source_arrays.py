"""The user's own sources: an .npz with an array for each of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from seqfuse.data.items import Source
from seqfuse.data.splits import hold_out
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.files import find
from seqfuse.runtime.read.arrays import array_names, missing
from seqfuse.runtime.read.labelled import read_sources
from seqfuse.runtime.recordings import Recordings


class SourceArrays(Source):
    """Reads `<source>_x` of each source, `y` and perhaps `groups` from an .npz.

    Args:
        train: file to train and validate on.
        test: file to test on; without one, `test_folds` parts of `train` give one part.
        sources: which to read, the clock first; `auto`: all of `train`, in the order of the file.
        test_folds: one part in so many of `train` is the test split, where `test` is absent.
        missing: sources left out in test and in files to predict; the clock is kept of the
            first one, which must be there.
        root: folder that relative names start from.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

    def __init__(
        self,
        train: str | None,
        test: str | None = None,
        sources: Sequence[str] | str = "auto",
        test_folds: int = 5,
        missing: Collection[str] = (),
        root: str = ".",
        label_type: str = "classes",
    ):
        if not train:
            raise InputError("data.train is empty: name your .npz (with <source>_x and y)")
        if test_folds < 2:
            raise InputError(f"data.test_folds={test_folds} must be at least 2")
        self.train, self.test, self.root, self.label_type = train, test, root, label_type
        self.sources = [] if sources == "auto" else list(sources)
        self.test_folds, self.missing = test_folds, sorted(missing)

    def __call__(self, split: str) -> Recordings:
        testing = split == "test"
        path = find(self.test if testing and self.test else self.train, self.root, KEYS)
        absent = self.missing if testing else []
        blocks = read_sources(path, self._sources(), absent, True, self.label_type)
        items = Recordings.joined(list(blocks))
        if self.test:
            return items
        if len(items) < self.test_folds:
            raise InputError(f"{items.origin}: {len(items)} items are too few for a test split")
        return items.take(hold_out(items, self.test_folds, 0, "stratified", 0)[testing])

    def reader(self, pipeline: Any) -> Mapping[str, Any]:
        sources = list(pipeline.parts)
        self._check_missing(sources)
        return {"kind": "sources", "sources": sources, "absent": self.missing}

    def _sources(self) -> list[str]:
        """Names, the clock first; those of the training file where none are given."""
        path = find(self.train, self.root, KEYS)
        names = array_names(path)
        sources = self.sources or [n.removesuffix("_x") for n in names if n.endswith("_x")]
        if not sources:
            raise missing(path, "<source>_x", names)
        self._check_missing(sources)
        return sources

    def _check_missing(self, sources: Sequence[str]) -> None:
        if unknown := sorted(set(self.missing) - set(sources)):
            raise InputError(
                f"data.missing=[{unknown[0]}]: there is no such source (there are: "
                f"{', '.join(sources)})"
            )
        if set(self.missing) == set(sources):
            raise InputError(f"data.missing leaves no source of: {', '.join(sources)}")


KEYS = "data.train and data.test"
