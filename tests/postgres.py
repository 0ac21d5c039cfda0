"""A PostgreSQL server on this machine, in a folder of its own, that tests start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "do-not-tell-anybody"
PLACES = "/usr/lib/postgresql/*/bin"


def program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian leaves off the path."""
    newest = sorted(Path("/").glob(f"{PLACES[1:]}/{name}"), key=lambda path: path.parts[-3])
    return shutil.which(name) or (str(newest[-1]) if newest else None)


class Server:
    """A server whose user is `me`."""

    def __init__(self, folder: Path):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.folder, self.process, self.count = folder, None, count()
        # It refuses to run as root.
        self.user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(folder, "nobody")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        words = ["-D", "data", "-U", "me", "-A", "scram-sha-256", "--pwfile", "password"]
        self._run(str(program("initdb")), *words, "-E", "UTF8", "--no-sync").check_returncode()

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(words, cwd=self.folder, capture_output=True, **self.user)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        words = [str(program("postgres")), "-D", "data", "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "-k", "", "-F"], cwd=self.folder, stdout=log, stderr=log, **self.user
            )
        ready = [str(program("pg_isready")), "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + 60
        while self._run(*ready).returncode:
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.1)

    def database(self) -> str:
        """Makes an empty database; its name."""
        import psycopg

        name, user = f"study{next(self.count)}", {"user": "me", "password": PASSWORD}
        place = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres"}
        with psycopg.connect(**place, **user, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    def stop(self) -> None:
        """Stops it at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)


@contextmanager
def running() -> Iterator[Server]:
    """A server until the end of the block; skips where there is no PostgreSQL or no driver."""
    pytest.importorskip("psycopg")
    if program("initdb") is None:
        pytest.skip(f"no PostgreSQL: its programs are looked for on the path and in {PLACES}")
    with tempfile.TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
