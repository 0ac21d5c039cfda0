"""Storage of a search: a journal file that processes share, or a database.

A server that goes away is waited for: its address was right when the search began.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalRedisBackend
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool

from seqfuse.config.checks.extras import need
from seqfuse.runtime.errors import InputError
from seqfuse.runtime.read.addresses import check_database, masked
from seqfuse.runtime.shown import say

PATIENCE = 10.0
"""Seconds; records are written in milliseconds, so a lock this old was left behind."""
OUTAGE = 300.0
"""Seconds that a server may be away: less than after which silent processes count as gone."""
PAUSE = 1.0
"""Seconds between two tries."""
KEY = "hydra.sweeper.storage"
LIBPQ = {
    **{"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10},
    **{"keepalives_count": 3, "tcp_user_timeout": 60_000},
}
"""Options of PostgreSQL's client, by which it sees within a minute that a network is cut."""

T = TypeVar("T")


class Away(InputError):
    """The server of a storage cannot be reached, or has lost its connections."""


def open_storage(address: str) -> BaseStorage:
    """Opens a storage, making it where there is none: the path of a journal, or `sqlite:///file`,
    `postgresql://...`, `redis://...`."""
    with trouble(address):
        if "://" not in address:
            return _journal(Path(address))
        try:
            if address.startswith("redis"):
                return JournalStorage(JournalRedisBackend(address))
            return _database(address)
        except InputError:
            raise
        except Exception as error:  # each driver has its own
            raise _refusal(address, error) from None


def _database(address: str) -> RDBStorage:
    check_database(KEY, address)
    # A server holds about a hundred connections, which workers that train do not keep.
    options: dict[str, Any] = {} if address.startswith("sqlite") else {"poolclass": NullPool}
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", address)
    if url.startswith(("postgresql+psycopg:", "postgresql+psycopg2:")):
        options["connect_args"] = LIBPQ
    if url.startswith("postgresql+psycopg:"):
        need(f"{KEY}={masked(address)}", "psycopg")
    for _ in range(3):
        try:
            return RDBStorage(url, options)
        except (IntegrityError, ProgrammingError):  # another process makes the same tables
            time.sleep(PAUSE)
    return RDBStorage(url, options)


def patiently(address: str, action: Callable[[], T]) -> T:
    """Does something with a storage, and again where its server went away meanwhile, when it may
    have been done in part, or in whole."""
    end, waits = time.monotonic() + OUTAGE, False
    while True:
        try:
            with trouble(address):
                result = action()
        except Away as error:
            if time.monotonic() > end:
                raise
            if not waits:
                say(f"storage     {error}: waiting for it", file=sys.stderr)
            waits = True
            time.sleep(PAUSE)
            continue
        if waits:
            say(f"storage     {masked(address)} is there again", file=sys.stderr)
        return result


@contextmanager
def trouble(address: str) -> Iterator[None]:
    """Turns errors of the storage into one line."""
    try:
        yield
    except (OptunaError, SQLAlchemyError, OSError, json.JSONDecodeError) as error:
        raise _refusal(address, error) from None


def _refusal(address: str, error: Exception) -> InputError:
    if isinstance(error, StorageInternalError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # of which Optuna says that it is the data's fault
    shown = masked(address) if "://" in address else address
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        texts = [str(cause).strip().splitlines()[:1] for cause in (error, error.__cause__) if cause]
        lines = [text[0] for text in texts if text] or [type(error).__name__]
        reason = ": ".join(line for i, line in enumerate(lines) if line not in "".join(lines[:i]))
    reason = reason.replace(address, shown)
    kind = Away if "://" in address and _is_away(error) else InputError
    return kind(f"{KEY}={shown} cannot be used: {reason}")


def _is_away(error: BaseException | None) -> bool:
    """Whether the server was not reached; SQLite is no server, and its lock has had its time."""
    if isinstance(error, DBAPIError):
        lost = error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))
        return lost and not type(error.orig).__module__.startswith("sqlite3")
    if isinstance(error, PendingRollbackError):  # Optuna asks again on a connection that is lost
        return True
    return error is not None and _is_away(error.__cause__)


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
                f"{KEY}={path} is locked by {lock}: when no other search uses it, "
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
        f"{KEY}={path} is damaged: {reason}; put back a copy of it, or begin anew "
        "with another hydra.sweeper.study (the runs themselves are unharmed)"
    )


def _drop_unfinished(path: Path) -> None:
    """Cuts off what a killed process had half written: the next record would be glued to it."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
        say(f"storage     dropped the unfinished last record of {path}")
