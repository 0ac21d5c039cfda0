"""A folder of clips: a folder for each class in it, and perhaps a list of what is what."""

import functools
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from seqfuse.data.read.cache import Decoder
from seqfuse.data.read.clip_list import Entry, listed
from seqfuse.data.read.clips import ClipFile, Clips
from seqfuse.data.read.decode import ENDINGS
from seqfuse.runtime.errors import InputError


class ClipFolder:
    """Clips in `<folder>/<class>/`.

    A list is a CSV file with the columns `clip` (its name, with or without the ending) and
    `label`, and perhaps `source` (the recording it was cut from) and `split` (train, val or
    test). Clips that it does not name are left out. A source never stands in two splits.

    Args:
        folder: of the classes.
        decoder: reads clips.
        table: the list; without one, every clip belongs to the class of its folder.
        test_folds: one part in so many is the test split, where no list says so.
        root: folder that relative names start from.
        normal: the one class that is trained on; without it, all of them.

    Raises:
        InputError: a knob is out of range.
    """

    endings = ENDINGS

    def __init__(
        self,
        folder: str | None,
        decoder: Decoder,
        table: str | None = None,
        test_folds: int = 5,
        root: str = ".",
        normal: str | None = None,
    ):
        if not folder:
            raise InputError("data.folder is empty: name a folder that has one for each class")
        if test_folds < 2:
            raise InputError(f"data.test_folds={test_folds} must be at least 2")
        self.folder, self.table, self.root = folder, table, Path(root)
        self.decoder = decoder
        self.test_folds, self.normal = test_folds, normal

    @property
    def has_validation(self) -> bool:
        """Whether the list has a validation split."""
        return any(entry.split == "val" for entry in self.entries)

    def __call__(self, split: str) -> Clips:
        """Decodes `train`, `val` or `test`.

        Raises:
            InputError: a clip is missing or broken, or there are too few.
        """
        entries = self._of(split)
        origin = f"{self._find(self.folder)} ({split})"
        if not entries:
            raise InputError(f"{origin}: the list has no clip of this split")
        x, lengths, rows = self.decoder([entry.path for entry in entries])
        if not len(rows):
            raise InputError(f"{origin}: none of its {len(entries)} clips can be read")
        kept = [entries[i] for i in rows]
        groups = [str(entry.source) for entry in kept] if kept[0].source else None
        names = [f"{entry.path.parent.name}/{entry.path.name}" for entry in kept]
        return Clips(x, lengths, [entry.label for entry in kept], names, groups, origin)

    def file(self, path: Path) -> ClipFile:
        """A clip to predict."""
        return ClipFile(path, self.decoder)

    @functools.cached_property
    def entries(self) -> list[Entry]:
        """All clips, none of them read.

        Raises:
            InputError: the folder or the list is not as it should be.
        """
        there = _classes(self._find(self.folder))
        if not self.table:
            return [Entry(p, label, None, None) for label, clips in there.items() for p in clips]
        return listed(self._find(self.table), there)

    def _find(self, name: str) -> Path:
        for path in (Path(name), self.root / name):
            if path.exists():
                return path
        raise InputError(
            f"{name} is not there, nor in {self.root}: check data.folder and data.list"
        )

    def _of(self, split: str) -> list[Entry]:
        if self.entries[0].split:
            found = [entry for entry in self.entries if entry.split == split]
        else:
            found = [self.entries[i] for i in self._cut(split)]
        if split != "train" or not self.normal:
            return found
        if self.normal not in (labels := sorted({entry.label for entry in found})):
            raise InputError(f"data.normal={self.normal} must be one of: {', '.join(labels)}")
        return [entry for entry in found if entry.label == self.normal]

    def _cut(self, split: str) -> np.ndarray:
        labels, sources = [e.label for e in self.entries], [e.source for e in self.entries]
        for label in sorted(set(labels)):
            if labels.count(label) < self.test_folds:
                raise InputError(
                    f"{self.folder}: class '{label}' has {labels.count(label)} clips, too few for "
                    f"data.test_folds={self.test_folds}: add clips, or name a data.list with splits"
                )
        groups = sources if sources[0] else None
        kind = StratifiedGroupKFold if groups else StratifiedKFold
        folds = kind(self.test_folds, shuffle=True, random_state=0)
        try:
            train, test = next(iter(folds.split(labels, labels, groups)))
        except ValueError as error:
            raise InputError(f"{self.folder}: cannot cut a test split ({error})") from None
        return np.sort(train if split == "train" else test)


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Clips of each class."""
    if not folder.is_dir():
        raise InputError(f"data.folder={folder} is no folder")
    found = {
        inner.name: [p for p in sorted(inner.iterdir()) if p.name.lower().endswith(ENDINGS)]
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".")
    }
    if not found:
        raise InputError(f"{folder} has no folder in it: make one for each class, and put clips in")
    for name, clips in found.items():
        if not clips:
            raise InputError(
                f"{folder / name} has no clip ({', '.join(ENDINGS)}): add some, or remove it"
            )
    return found
