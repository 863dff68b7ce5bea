"""A TCP proxy that can stop carrying anything, as a network that swallows packets: connections stay open, nothing comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65536


class StoppingProxy:
    """Carries between its own port and a server's while `open` is set."""

    def __init__(self, host: str, port: int) -> None:
        self._server, self._ends = (host, port), list[socket.socket]()
        self.open = threading.Event()
        self.open.set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Carry nothing more; who connects now hears nothing."""
        self.open.clear()

    def go(self) -> None:
        """Carry again: what was sent meanwhile arrives."""
        self.open.set()

    def close(self) -> None:
        """End every connection."""
        self.open.set()
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(self._server)
                self._ends += [ours, theirs]
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self.open.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def stopping_proxy(url: str) -> Iterator[tuple[StoppingProxy, str]]:
    """A proxy before the server of a URL, and the URL that goes through it."""
    parts = urlsplit(url)
    proxy = StoppingProxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    user = f"{parts.username}@" if parts.username else ""
    try:
        yield proxy, parts._replace(netloc=f"{user}127.0.0.1:{proxy.port}").geturl()
    finally:
        proxy.close()
