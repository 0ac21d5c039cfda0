"""A run folder is of one run: locked while that is at work, and not begun a second time.

Nothing here imports torch.
"""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from seqfuse.runtime.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
BEGUN = ("config.yaml", "metrics.json", "outcome.json")
"""Files of a run, of an evaluation or of a job of a sweep: one of them is there from the start."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""What a file system says that knows none."""


@contextmanager
def claimed(folder: Path, again: bool = False) -> Iterator[None]:
    """Keeps other processes out of a folder.

    Args:
        folder: of the run; is made.
        again: whether the run may have begun before.

    Raises:
        InputError: another process is at work in it, or it holds a run already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = _locked(folder)
    try:
        if not again:
            refuse_begun(folder)
        yield
    finally:
        with suppress(OSError):  # the folder was deleted
            (folder / LOCK).unlink()
        file.close()


def refuse_begun(folder: Path) -> None:
    """Raises InputError if the folder holds a run, an evaluation or a job of a sweep."""
    for name in BEGUN:
        if (folder / name).exists():
            raise InputError(
                f"{folder} holds a run already ({name}): name another folder (hydra.run.dir, "
                f"hydra.sweep.dir), or go on with a run: seqfuse-train resume={folder}"
            )


def check_there(folder: Path) -> None:
    """Raises InputError if the folder of a run that is at work has been deleted."""
    if not folder.is_dir():
        raise InputError(
            f"{os.path.relpath(folder)} was deleted while the run was at work: all that it had "
            "saved is lost, begin it anew"
        )


@contextmanager
def needed(folder: Path) -> Iterator[None]:
    """Says of whatever cannot be read or written that the run folder has been deleted, if it has.

    Raises:
        InputError: the folder is not there any more.
    """
    before, there = threading.excepthook, folder.is_dir()  # other machines may have none

    def quiet(told: threading.ExceptHookArgs) -> None:
        if not isinstance(told.exc_value, OSError):
            before(told)

    # TensorBoard writes in a thread, whose error is raised here when it is asked for more.
    threading.excepthook = quiet
    try:
        yield
    except (OSError, InputError):
        if there:
            check_there(folder)
        raise
    finally:
        threading.excepthook = before


def _locked(folder: Path) -> IO[bytes]:
    """The lock file of a folder, locked until it is closed or the process ends, however it does.

    A record lock: processes that load data, forked from this one, do not keep it when it is
    killed.
    """
    while True:
        file = (folder / LOCK).open("ab")
        try:
            _lock(file)
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            raise InputError(
                f"another process is at work in {folder}: wait for its end, or name another "
                "folder (hydra.run.dir)"
            ) from None
        if _is_there(file, folder / LOCK):
            return file
        file.close()  # it was that of a run that has just ended


def _lock(file: IO[bytes]) -> None:
    if fcntl is not None:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]


def _is_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
