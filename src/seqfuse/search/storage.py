"""Storage of a search: a journal file that processes share, or a database."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalRedisBackend
from sqlalchemy.exc import SQLAlchemyError

from seqfuse.runtime.errors import InputError
from seqfuse.runtime.shown import say

PATIENCE = 10.0
"""Seconds; records are written in milliseconds, so a lock this old was left behind."""


def open_storage(address: str) -> BaseStorage:
    """Opens a storage, making it where there is none.

    Args:
        address: path of a journal, or `sqlite:///file`, `postgresql://...`, `redis://...`.
    """
    with trouble(address):
        if "://" not in address:
            return _journal(Path(address))
        try:
            if address.startswith("redis"):
                return JournalStorage(JournalRedisBackend(address))
            return RDBStorage(address)
        except Exception as error:  # each driver has its own
            raise _refusal(address, error) from None


@contextmanager
def trouble(address: str) -> Iterator[None]:
    """Turns errors of the storage into one line."""
    try:
        yield
    except (OptunaError, SQLAlchemyError, OSError, json.JSONDecodeError) as error:
        raise _refusal(address, error) from None


def _refusal(address: str, error: Exception) -> InputError:
    shown = re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", address)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        texts = [str(cause).strip().splitlines()[:1] for cause in (error, error.__cause__) if cause]
        reason = ": ".join(text[0] for text in texts if text) or type(error).__name__
    reason = reason.replace(address, shown)
    return InputError(f"hydra.sweeper.storage={shown} cannot be used: {reason}")


@contextmanager
def alone(address: str) -> Iterator[None]:
    """One process at a time, where the storage is a file; a server's database has no lock."""
    path = address.removeprefix("sqlite:///")
    if "://" in path:
        yield
        return
    with _locked(f"{path}.ask"):
        yield


@contextmanager
def _locked(path: str) -> Iterator[None]:
    lock = JournalFileOpenLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _journal(path: Path) -> JournalStorage:
    path.parent.mkdir(parents=True, exist_ok=True)
    _wait_for(Path(f"{path}.lock"), path)
    if path.exists() and not _is_whole(path):
        with _locked(str(path)):  # so nobody is writing
            _drop_unfinished(path)
    try:
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except (LookupError, TypeError, ValueError, AssertionError, AttributeError) as error:
        raise _damaged(path, f"its records contradict each other ({error!r})") from None


def _wait_for(lock: Path, path: Path) -> None:
    """Waits while the same lock stands: a living process takes a new one for each record."""
    end, first = time.monotonic() + PATIENCE, _identity(lock)
    while first is not None and _identity(lock) == first:
        if time.monotonic() > end:
            raise InputError(
                f"hydra.sweeper.storage={path} is locked by {lock}: when no other search uses it, "
                f"a killed one left the lock behind: delete {lock}"
            )
        time.sleep(0.05)


def _identity(lock: Path) -> tuple[int, int] | None:
    try:
        status = os.lstat(lock)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Whether the last record was written to its end; checks them all."""
    *lines, rest = path.read_bytes().split(b"\n")
    if rest and not lines:
        raise _damaged(path, "it is no journal of Optuna's")
    if lines and b'"study_name"' not in lines[0]:
        raise _damaged(path, "line 1 begins no study")
    for number, line in enumerate(lines, start=1):
        try:
            is_record = "op_code" in json.loads(line)
        except (ValueError, TypeError):
            is_record = False
        if not is_record:
            raise _damaged(path, f"line {number} is no record")
    return not rest


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        f"hydra.sweeper.storage={path} is damaged: {reason}; put back a copy of it, or begin anew "
        "with another hydra.sweeper.study (the runs themselves are unharmed)"
    )


def _drop_unfinished(path: Path) -> None:
    """Cuts off what a killed process had half written: the next record would be glued to it."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
        say(f"storage     dropped the unfinished last record of {path}")
