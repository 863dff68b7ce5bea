"""The other side of every provider: a server on loopback that tells made-up pages in the documented shapes, or goes wrong.

with signal_peer({"/prices": lambda query: (200, {"Content-Type": "application/json"}, b"{}")}) as peer:
    ... ask peer.url + "/prices" ...
    peer.fault = FAULTS["reset"]           # from `signal_faults`; None: as it should be

A page is made anew for each request; the server adds Content-Length and Date. It ends with the `with`, whatever hangs on it.
"""

from __future__ import annotations

import hashlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

Page = tuple[int, dict[str, str], bytes]
Route = Callable[[Mapping[str, str]], Page]
Routes = Mapping[str, Route]
NOT_FOUND: Page = (404, {"Content-Type": "text/plain"}, b"no such page")
PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came; header names in lower case."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The open connection of one answer, for faults that do not send a page in one piece."""

    socket: socket.socket
    over: threading.Event

    def send(self, data: bytes) -> bool:
        """Send all; False when the other side has gone."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def head(self, status: int, headers: Mapping[str, str]) -> bool:
        """Send a status line and headers, no others."""
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
            "",
            "",
        ]
        return self.send("\r\n".join(lines).encode("latin-1"))

    def reset(self) -> None:
        """Hang up without a word: what was not read yet is lost."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to go wrong. bend: makes the page another one. send: puts it on the wire in its own way; then all ends."""

    name: str
    bend: Callable[[Page], Page] | None = None
    send: Callable[[Wire, Page], None] | None = None


@dataclass(slots=True, eq=False)
class Room:
    """Pages and a fault of their own."""

    routes: Routes
    fault: Fault | None = None


@dataclass(slots=True, eq=False)
class Peer(Room):
    """What is told, and what was asked. clock: what the Date header says; None leaves it out. tagged: pages have an ETag, and
    whoever comes with it gets 304. extra: headers that every page gets. rooms: by the first part of a path other pages, which
    are found below it.
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    clock: Callable[[], datetime] | None = lambda: datetime.now(UTC)  # noqa: TID251 # a server has a clock of its own
    tagged: bool = False
    extra: dict[str, str] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def room(self, path: str) -> tuple[Room, str]:
        """Where a path leads, and what remains of it there."""
        name, _, rest = path.removeprefix("/").partition("/")
        return (self.rooms[name], f"/{rest}") if name in self.rooms else (self, path)

    def page(self, seen: Seen) -> Page:
        """The page of a request with its headers, bent by the fault."""
        room, path = self.room(seen.path)
        route = room.routes.get(path)
        status, headers, body = route(seen.query) if route is not None else NOT_FOUND
        headers = {**headers, **self.extra}
        if self.clock is not None:
            headers.setdefault("Date", format_datetime(self.clock(), usegmt=True))
        if room.fault is not None and room.fault.bend is not None:
            status, headers, body = room.fault.bend((status, headers, body))
        if self.tagged and status == 200:
            headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if seen.headers.get("if-none-match") == headers["ETag"]:
                return 304, headers, b""
        return status, headers, body


class _Server(socketserver.ThreadingTCPServer):
    """One thread a connection; those still open are cut when it ends."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, peer: Peer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.peer = peer
        self.open: set[socket.socket] = set()

    def cut(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        seen = Seen(path=parts.path, query=query, headers={name.lower(): value for name, value in self.headers.items()})
        peer = self.server.peer
        peer.seen.append(seen)
        status, headers, body = peer.page(seen)
        wire = Wire(socket=self.connection, over=peer.over)
        fault = peer.room(seen.path)[0].fault
        if fault is not None and fault.send is not None:
            self.close_connection = True
            fault.send(wire, (status, headers, body))
            return
        if status != 304:
            headers.setdefault("Content-Length", str(len(body)))
        self.close_connection = not (wire.head(status, headers) and wire.send(body))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def signal_peer(routes: Routes, fault: Fault | None = None) -> Iterator[Peer]:
    """Serve pages on a free port of loopback."""
    peer = Peer(routes=routes, fault=fault)
    server = _Server(peer)
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        peer.over.set()
        server.shutdown()
        server.cut()
        server.server_close()
        thread.join()
