"""Which processes of a search are still there."""

import os
import socket
import threading
import time
import uuid
from pathlib import Path

from optuna import Study

from seqfuse.runtime.errors import InputError
from seqfuse.search.storage import trouble

BEAT, SILENCE = 60.0, 600.0
"""Seconds between two signs of life, and without any until a process counts as gone."""
PREFIX = "worker "


class Worker:
    """This process, as the others that share its study see it.

    Args:
        study: in which it leaves signs of life.
        address: of its storage.
    """

    def __init__(self, study: Study, address: str):
        self.study = study
        self.address = address
        self.name = f"{_machine()}|{os.getpid()}|{uuid.uuid4().hex[:8]}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begins to leave signs of life."""
        self._sign()
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            try:
                self._sign()
            except InputError:
                continue  # the next call of the search's own says what is wrong

    def _sign(self) -> None:
        with trouble(self.address):
            self.study.set_user_attr(f"{PREFIX}{self.name}", time.time())


def is_gone(study: Study, worker: str | None, began: float) -> bool:
    """Whether the process that began a trial has ended without finishing it.

    Args:
        study: with the signs of life.
        worker: name of the process; None if it had no time to leave it.
        began: when, in seconds since 1970.
    """
    machine, pid = (worker.split("|") if worker else ["", ""])[:2]
    if os.name == "posix" and machine == _machine() and not _runs(int(pid)):
        return True
    last = study.user_attrs.get(f"{PREFIX}{worker}", began)
    return time.time() - last > SILENCE


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """Names this machine; containers of one name count their processes apart."""
    own = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()}/{own.stat().st_ino if own.exists() else 0}"
