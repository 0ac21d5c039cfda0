"""Data sets that can be fetched: of each its place, licence, paper, and files with their hashes."""

import csv
import difflib
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import yaml

from seqfuse.runtime.errors import InputError

HERE = Path(__file__).parent
ADDRESS = "https://raw.githubusercontent.com"
"""Serves single files of a repository: /<owner>/<name>/<commit>/<path>."""


class File(NamedTuple):
    """A file of a data set, as it is published."""

    path: str
    """In the folder of the data set."""
    source: str
    """In the repository."""
    size: int
    """Bytes; 0 where that is not recorded."""
    digest: str
    """`sha256:` of the file, or `git:`, the hash by which git calls it."""


class DataSet(NamedTuple):
    """A published data set."""

    name: str
    """Its folder, below the folder of data."""
    repository: str
    commit: str
    licence: str
    cite: str
    by_hand: str
    """Why it is not fetched; empty if it is."""
    files: tuple[File, ...]

    def address(self, file: File) -> str:
        """Where a file is served."""
        return f"{ADDRESS}/{self.repository}/{self.commit}/{quote(file.source)}"

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.files)


@cache
def known() -> dict[str, DataSet]:
    """All data sets by name; the series of the UCR archive one by one."""
    files: dict[str, list[File]] = {}
    with (HERE / "files.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            file = File(row["path"], row["source"], int(row["bytes"] or 0), row["hash"])
            files.setdefault(row["set"], []).append(file)
    sets = {}
    for name, about in yaml.safe_load((HERE / "sets.yaml").read_text(encoding="utf-8")).items():
        repository, _, commit = about["repository"].partition("@")
        by_hand = about.get("by_hand", "").replace("<name>", name.rpartition("/")[2])
        for part in [part for part in files if part.startswith(f"{name}/")] or [name]:
            sets[part] = DataSet(
                part,
                repository,
                commit,
                about["licence"],
                about["cite"],
                by_hand,
                tuple(files.get(part, ())),
            )
    return sets


def chosen(word: str) -> list[DataSet]:
    """The data sets that a word means: a name, the last part of one, a folder of several, `all`."""
    sets = known()
    if word == "all":
        return list(sets.values())
    fitting = [part for name, part in sets.items() if word in (name, *name.split("/"))]
    if not fitting:
        words = sorted({"all", *(word for name in sets for word in name.split("/"))})
        near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
        hint = f": did you mean {near[0]}?" if near else "; seqfuse get lists them"
        raise InputError(f"get {word}: no such data set{hint}")
    return fitting
