"""A bad network on this machine: slow, or cut, or down for a while."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Network:
    """Passes bytes on to a port; slowly, until so many came from there, or not, as it is told."""

    def __init__(self, port: int):
        self.port, self.delay = port, 0.0
        self.cuts: list[int] = []
        """Bytes of an answer after which the next connections break."""
        self.is_down = False
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", 0 if self.is_down else self.port))
                except OSError:
                    near.close()
                    continue
                self.open += [near, far]
                cut = self.cuts.pop(0) if self.cuts else -1
                for ends in ((near, far, -1), (far, near, cut)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Breaks all connections, and lets nothing through meanwhile."""
        self.is_down = True
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        yield
        self.is_down = False

    def _pass(self, source: socket.socket, target: socket.socket, left: int) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                time.sleep(self.delay)
                if 0 <= left < len(block):
                    break
                left -= len(block) if left >= 0 else 0
                target.sendall(block)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
