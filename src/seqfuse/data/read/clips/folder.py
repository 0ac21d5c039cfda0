"""A folder of clips: a folder for each class in it, and perhaps a list of what is what."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqfuse.data.items import Source
from seqfuse.data.read.clips.decoder import Decoder
from seqfuse.data.read.clips.listed import Entry, listed
from seqfuse.runtime.errors import InputError, check_minimum, check_option
from seqfuse.runtime.files import find
from seqfuse.runtime.read.decode import CLIP_ENDINGS, STRIPS
from seqfuse.runtime.recordings import Recordings


class ClipFolder(Source):
    """Clips in `<folder>/<class>/`.

    A list is a CSV file with the columns `clip` (its name, with or without the ending) and
    `label`, and perhaps `source` (the recording it was cut from) and `split` (train, val or
    test). Clips that it does not name are left out. A source never stands in two splits.

    Args:
        folder: of the classes.
        table: the list; without one, every clip belongs to the class of its folder.
        test_folds: one part in so many is the test split, where no list says so.
        root: folder that relative names start from.
        normal: the one class that is trained on; without it, all of them.
    """

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
        check_minimum(2, test_folds=test_folds)
        self.folder, self.table, self.root = folder, table, Path(root)
        self.decoder = decoder
        self.test_folds, self.normal = test_folds, normal

    @property
    def has_validation(self) -> bool:
        return any(entry.split == "val" for entry in self.entries)

    @property
    def num_test(self) -> int:  # type: ignore[override]
        return len(self._of("test"))

    def __call__(self, split: str) -> Recordings:
        entries = self._of(split)
        origin = f"{self._find(self.folder)} ({split})"
        if not entries:
            raise InputError(f"{origin}: the list has no clip of this split")
        clips, rows = self.decoder([entry.path for entry in entries])
        if not clips:
            raise InputError(f"{origin}: none of its {len(entries)} clips can be read")
        kept = [entries[row] for row in rows]
        return Recordings.of(
            clips,
            names=[f"{entry.path.parent.name}/{entry.path.name}" for entry in kept],
            labels=[entry.label for entry in kept],
            groups=[str(entry.source) for entry in kept] if kept[0].source else None,
            origin=origin,
            unit="clips",
        )

    def file_format(self, pipeline: Any) -> Mapping[str, Any]:
        decoder = self.decoder
        sizes = {"num_frames": decoder.num_frames, "side": decoder.size}
        return {"kind": "clips", **sizes, "skip_bad": decoder.skip_bad, "cache": decoder.cache}

    @functools.cached_property
    def entries(self) -> list[Entry]:
        classes = _classes(self._find(self.folder))
        if not self.table:
            return [Entry(p, label, None, None) for label, clips in classes.items() for p in clips]
        return listed(self._find(self.table), classes)

    def notes(self, items: Recordings) -> Iterator[str]:
        folder = self._find(self.folder)
        others = [
            path
            for inner in sorted(folder.iterdir())
            for path in (sorted(inner.iterdir()) if inner.is_dir() else ())
            if not path.name.startswith(".") and not path.name.lower().endswith(CLIP_ENDINGS)
        ]
        if others:
            yield (
                f"{len(others):,} entries of its folders are no clips and left out, such as "
                f"{others[0].relative_to(folder).as_posix()}"
            )

    def _find(self, name: str) -> Path:
        return find(name, self.root, "data.folder and data.list", folders=True)

    def _of(self, split: str) -> list[Entry]:
        if self.entries[0].split:
            entries = [entry for entry in self.entries if entry.split == split]
        else:
            entries = [self.entries[i] for i in self._cut(split)]
        if split != "train" or not self.normal:
            return entries
        check_option(sorted({entry.label for entry in entries}), normal=self.normal)
        return [entry for entry in entries if entry.label == self.normal]

    def _cut(self, split: str) -> np.ndarray:
        labels, sources = [e.label for e in self.entries], [e.source for e in self.entries]
        for label in sorted(set(labels)):
            if labels.count(label) < self.test_folds:
                raise InputError(
                    f"{self.folder}: class '{label}' has {labels.count(label)} clips, too few for "
                    f"data.test_folds={self.test_folds}: add clips, or name a data.list with splits"
                )
        groups = sources if sources[0] else None
        if groups and (count := len(set(groups))) < self.test_folds:
            fix = f"data.test_folds={count} data.num_folds={count - 1 if count > 2 else 0}"
            raise InputError(
                f"{self.table}: the clips of {count} recordings (column source) cannot be cut into "
                f"data.test_folds={self.test_folds} parts: "
                + (f"type {fix}" if count > 1 else "add clips of others")
                + ", or give the list a column split"
            )
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # slow

        kind = StratifiedGroupKFold if groups else StratifiedKFold
        folds = kind(self.test_folds, shuffle=True, random_state=0)
        try:
            train, test = next(iter(folds.split(labels, labels, groups)))
        except ValueError as error:
            raise InputError(f"{self.folder}: cannot cut a test split ({error})") from None
        return np.sort(train if split == "train" else test)


def _classes(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise InputError(f"data.folder={folder} is no folder")
    classes = {
        inner.name: [p for p in sorted(inner.iterdir()) if p.name.lower().endswith(CLIP_ENDINGS)]
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".")
    }
    if not classes:
        raise InputError(f"{folder} has no folder in it: make one for each class, and put clips in")
    for name, clips in classes.items():
        if not clips:
            fix = "add some, or remove it"
            if frames := sorted(p for p in folder.glob(f"{name}/*/*") if p.suffix in STRIPS):
                clip, ending = frames[0].parent.as_posix(), frames[0].suffix
                fix = (
                    "make one of each folder of frames, such as ffmpeg -pattern_type glob -i "
                    f"'{clip}/*{ending}' {clip}.mp4"
                )
            raise InputError(f"{folder / name} has no clip ({', '.join(CLIP_ENDINGS)}): {fix}")
    return classes
