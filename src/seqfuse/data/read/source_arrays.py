"""The user's own sources: an .npz with an array for each of them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqfuse.data.read.own_files import OwnFiles
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.arrays import array_names, missing
from seqfuse.runtime.read.labelled import read_sources
from seqfuse.runtime.recordings import Recordings


class SourceArrays(OwnFiles):
    """Reads `<source>_x` of each source, `y` and perhaps `groups` from an .npz.

    Args:
        train, test, root, test_folds: as of `OwnFiles`.
        sources: which to read, the clock first; `auto`: all of `train`, in the order of the file.
        missing: sources left out in test and in files to predict; the clock is kept of the
            first one, which must be there.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

    kind = ".npz (with <source>_x and y)"

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
        super().__init__(train, test, None, root, test_folds)
        self.label_type = label_type
        self.sources = [] if sources == "auto" else list(sources)
        self.missing = sorted(missing)

    def read(self, path: Path, split: str) -> Recordings:
        absent = self.missing if split == "test" else []
        blocks = read_sources(path, self._sources(), absent, True, self.label_type)
        return Recordings.joined(list(blocks))

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        sources = list(pipeline.parts)
        self._check_missing(sources)
        return {"kind": "sources", "sources": sources, "absent": self.missing}

    def _sources(self) -> list[str]:
        """Names, the clock first; those of the training file where none are given."""
        path = self.path("train")
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
