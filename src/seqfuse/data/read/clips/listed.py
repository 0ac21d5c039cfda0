"""A list of clips: the class of each, the recording it was cut from, and its split."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.records import rows_of

COLUMNS = ("clip", "label", "source", "split")
SPLITS = ("train", "val", "test")
Rows = list[dict[str, str]]


class Entry(NamedTuple):
    """One clip, not read yet."""

    path: Path
    label: str
    source: str | None
    """The recording that it was cut from."""
    split: str | None


def listed(path: Path, folders: Mapping[str, Sequence[Path]]) -> list[Entry]:
    """The clips that a list names, in its order; `folders` has those of each class."""
    rows = _read(path)
    _check_classes(path, {row["label"] for row in rows}, set(folders))
    clips = {
        (label, name): clip
        for label, folder in folders.items()
        for clip in folder
        for name in (clip.stem, clip.name)
    }
    keys = [(row["label"], row["clip"]) for row in rows]
    if missing := [f"{label}/{clip}" for label, clip in keys if (label, clip) not in clips]:
        raise InputError(
            f"{path} names {_some(missing)}, {len(missing)} of {len(keys)} clips, but there is no "
            "such file in data.folder, which has a folder for each label: add it, or remove the row"
        )
    parts = zip(rows, keys, strict=True)
    return [Entry(clips[key], key[0], row.get("source"), row.get("split")) for row, key in parts]


def _check_classes(path: Path, labels: set[str], folders: set[str]) -> None:
    if odd := sorted(folders - labels):
        raise InputError(
            f"there is a folder '{odd[0]}', but {path} has no clip of such a class (its classes: "
            f"{', '.join(sorted(labels)[:12])}): remove the folder, or list its clips"
        )
    if odd := sorted(labels - folders):
        raise InputError(
            f"{path} names the class '{odd[0]}', but there is no such folder (there are: "
            f"{', '.join(sorted(folders)[:12])}): add it, or remove the rows"
        )


def _read(path: Path) -> Rows:
    lines, rows = [], []
    header: list[str] = []
    for line, row in rows_of(path):
        header = list(row)
        lines.append(line)
        cells = {name: cell.strip() for name, cell in row.items() if name in COLUMNS}
        rows.append({**cells, "clip": _in_class(cells)} if "clip" in cells else cells)
    if not rows:
        raise InputError(f"{path} names no clip")
    for column in COLUMNS[:2]:
        if column not in header:
            raise InputError(
                f"{path} has no column '{column}' (it has: {', '.join(header)}): it needs clip and "
                "label, and may have source and split"
            )
    _check_rows(path, lines, rows)
    return rows


def _in_class(row: Mapping[str, str]) -> str:
    """The name of a clip in the folder of its class, which may be written before it."""
    *folders, name = row["clip"].replace("\\", "/").split("/")
    return name if folders and folders[-1] == row.get("label") else row["clip"]


def _check_rows(path: Path, lines: list[int], rows: Rows) -> None:
    seen = set()
    for line, row in zip(lines, rows, strict=True):
        for column, value in row.items():
            if not value:
                raise InputError(f"{path}, line {line} has no {column}")
        if (key := (row["label"], row["clip"])) in seen:
            raise InputError(f"{path}, line {line} names {row['clip']} once more: remove it")
        seen.add(key)
        if row.get("split", "train") not in SPLITS:
            raise InputError(
                f"{path}, line {line}: split '{row['split']}' must be one of: {', '.join(SPLITS)}"
            )
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row.get("source", ""), set()).add(row.get("split", ""))
    if leaks := sorted(name for name, parts in splits.items() if name and len(parts) > 1):
        raise InputError(
            f"{path}: source {_some(leaks)} stands in more than one split, so what is tested on "
            "was trained on: put all clips of a source into one split"
        )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
