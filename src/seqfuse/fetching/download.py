"""A data set on the disk: fetched file by file, checked, converted, with its licence beside it."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seqfuse.data.progress import bar
from seqfuse.fetching.convert import CONVERTERS
from seqfuse.fetching.sets import DataSet, File
from seqfuse.runtime import files
from seqfuse.runtime.errors import InputError

AT_ONCE = 8
"""Files that are fetched side by side."""
NOTE = "SOURCE.md"
"""Says where a data set is from; written last, and so a sign that all is there."""


def fetch(data: DataSet, root: Path, shown: bool = True) -> bool:
    """Fetches what is missing of a data set into its folder below `root`, and resumes; returns
    whether anything was missing."""
    if data.by_hand:
        raise InputError(f"{data.name} is not fetched ({data.by_hand}): {_by_hand(data, root)}")
    folder = root / data.name
    convert = CONVERTERS.get(data.name)
    if convert and (folder / NOTE).is_file():
        return False
    parts = folder / ".parts" if convert else folder
    missing = [file for file in data.files if not matches(parts / file.path, file.digest)]
    if not missing and (folder / NOTE).is_file():
        return False
    done = len(data.files) - len(missing)
    with (
        bar(data.name, len(data.files), "file", shown, done) as progress,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        try:
            for _ in pool.map(lambda file: _fetch(data, file, parts, root), missing):
                progress.update()
        finally:
            pool.shutdown(cancel_futures=True)
    if convert:
        for name, content in convert(parts):
            files.write(folder / name, content)
        shutil.rmtree(parts)
    files.write(folder / NOTE, note(data))
    return True


def matches(path: Path, digest: str) -> bool:
    """Whether a file is there and has a hash, `sha256:...` or `git:...` of git's blobs."""
    if not path.is_file():
        return False
    kind, _, wanted = digest.partition(":")
    content = path.read_bytes()
    if kind == "git":
        content = b"blob %d\0" % len(content) + content
    return hashlib.new("sha1" if kind == "git" else kind, content).hexdigest() == wanted


def _fetch(data: DataSet, file: File, folder: Path, root: Path) -> None:
    """One file, written whole or not at all; what has another hash is not kept."""
    import pooch  # slow, and seldom needed

    pooch.get_logger().setLevel("ERROR")  # else some lines for each file
    path = folder / file.path
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        pooch.retrieve(data.address(file), None, fname=beside.name, path=beside.parent)
        if not matches(beside, file.digest):
            beside.unlink()
            raise ValueError("it is another file than it should be, by its hash")
        beside.replace(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{data.name}: {file.path} could not be fetched from {data.address(file)} ({reason}): "
            f"type the command again to go on, or {_by_hand(data, root)}"
        ) from None


def _by_hand(data: DataSet, root: Path) -> str:
    """Advice where a data set cannot be fetched."""
    names = [file.path for file in data.files]
    layout = ", ".join(names if len(names) < 5 else [*names[:3], f"... ({len(names)} files)"])
    size = f", {data.size / 1e6:.1f} MB" if data.size else ""
    place = f"GitHub {data.repository} at {data.commit[:12]}{size}"
    made = " (and convert them)" if data.name in CONVERTERS else ""
    return f"put it from {place} into {root / data.name}{f': {layout}{made}' if layout else ''}"


def note(data: DataSet) -> str:
    """Source, licence and paper of a data set."""
    changed = "converted from" if data.name in CONVERTERS else "unchanged, from"
    return (
        f"# {data.name}\n\nSource: {changed} GitHub {data.repository}, commit {data.commit}.\n"
        f"Licence: {data.licence}.\nCite: {data.cite}.\n"
    )
