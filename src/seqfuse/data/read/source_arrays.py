"""The user's own sources: an .npz with an array for each of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqfuse.data.read.own_files import OwnFiles
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.arrays import array_names, missing
from seqfuse.runtime.read.labelled import read_sources
from seqfuse.runtime.recordings import Recordings


@dataclass(eq=False, repr=False)
class SourceArrays(OwnFiles):
    """Reads `<source>_x` of each source, `y` and perhaps `groups` from an .npz.

    Args:
        sources: which to read, the clock first; `auto`: all of `train`, in the order of the file.
        missing: sources left out in test and in files to predict; the clock is kept of the
            first one, which must be there.
        label_type: `classes`, `numbers` or `several` labels (see `labels_of`).
    """

    kind = ".npz (with <source>_x and y)"

    sources: Sequence[str] | str = "auto"
    missing: Collection[str] = ()
    label_type: str = "classes"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.missing = sorted(self.missing)

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
        sources = list(self.sources)
        if self.sources == "auto":
            sources = [n.removesuffix("_x") for n in names if n.endswith("_x")]
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
