"""The agent's HTTP server: a few pages, most of them for whoever knows the token, and nobody can hold it up.

Whoever asks gets one answer per connection and a few seconds for it. Of one address a few connections are kept, of all together
some more; beyond that the oldest goes, so that probes get through while somebody floods. No page writes anything.
"""

from __future__ import annotations

import hmac
import io
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scheduler.adapters.logs import Episode, Teller

Answer = tuple[int, str, bytes]
# A certificate is renewed days before it ends.
RENEW_S = 30.0
TEXT, JSON = "text/plain; charset=utf-8", "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """How the agent listens: address, the file of the token (read at every request), certificate and key for TLS."""

    host: str = "127.0.0.1"
    port: int = 9464
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """What is borne with: connections of one address, of all; time for a whole answer; length of a request."""

    of_one: int = 8
    of_all: int = 32
    whole_s: float = 10.0
    max_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request: its query, and whether who asks knows the token."""

    query: Mapping[str, str]
    trusted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer; guarded: only for whoever knows the token."""

    answer: Callable[[Asked], Answer]
    guarded: bool = True


class AgentServer:
    """Serves on threads of its own until closed."""

    def __init__(self, pages: Mapping[str, Page], wired: Wired, patience: Patience | None = None) -> None:
        """Listen.

        Raises:
            OSError: when the address is taken, or a file of TLS cannot be read.
        """
        patience = patience or Patience()
        self._server = _Server((wired.host, wired.port), _handler(pages, wired.token_file, patience), patience)
        if wired.certificate is not None:
            self._server.tls = Tls(wired.certificate, wired.key)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 1.0}, name="http", daemon=True
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


class Tls:
    """A certificate that is renewed under us: its files are looked at again and again, and read when they are others."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """Read both.

        Raises:
            OSError: when that cannot be done.
        """
        self._certificate, self._key = certificate, key
        self._episode = Episode(Teller("agent.http"), f"reading {certificate}")
        self._looked_s = time.monotonic()
        self._stamp, self._context = self._seen(), self._loaded()

    def wrapped(self, connection: socket.socket) -> ssl.SSLSocket:
        """A connection behind TLS. The handshake is left to its own thread: one that says nothing holds up no other."""
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def renew(self, every_s: float = RENEW_S) -> None:
        """Read them anew if they have changed; what cannot be read leaves the old ones in force."""
        if time.monotonic() - self._looked_s < every_s:
            return
        self._looked_s = time.monotonic()
        try:
            seen = self._seen()
            if seen != self._stamp:
                self._stamp, self._context = seen, self._loaded()
        except OSError as error:
            self._episode.failed(error)
        else:
            self._episode.worked()

    def _seen(self) -> tuple[tuple[int, int], ...]:
        """By what other files are told from these."""
        found = [path.stat() for path in (self._certificate, self._key) if path is not None]
        return tuple((one.st_ino, one.st_mtime_ns) for one in found)

    def _loaded(self) -> ssl.SSLContext:
        """Both, in a context of their own: one into which only half was read would serve nobody."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key)
        except OSError as error:
            # What the library raises names no file.
            raise OSError(error.errno, error.strerror or str(error), str(self._certificate)) from error
        return context


class _Server(ThreadingHTTPServer):
    """Knows who is connected, and since when."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], patience: Patience) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.patience = patience
        self.tls: Tls | None = None
        self._tell = Teller("agent.http")
        self._lock = threading.Lock()
        self._open: dict[Any, tuple[str, float]] = {}
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind; the library would ask the DNS for our name here, which may take long and is of no use."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection."""
        connection, address = super().get_request()
        return (connection if self.tls is None else self.tls.wrapped(connection)), address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Let in, and out whoever has been here longest where there are too many."""
        who = str(client_address[0])
        with self._lock:
            same = [one for one, (other, _) in self._open.items() if other == who]
            # In the order of their coming, as dicts are.
            over = same[:1] if len(same) >= self.patience.of_one else []
            if not over and len(self._open) >= self.patience.of_all:
                over = [next(iter(self._open))]
            for one in over:
                self._cut(one)
            self._open[request] = (who, time.monotonic())
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Let out whoever takes too long, and look after the certificate."""
        if self.tls is not None:
            self.tls.renew()
        with self._lock:
            until_s = time.monotonic() - self.patience.whole_s
            for one in [one for one, (_, since_s) in self._open.items() if since_s < until_s]:
                self._cut(one)

    def shutdown_request(self, request: Any) -> None:
        """It is answered, or was let out."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody who hangs up, or speaks no HTTP, is not worth a line; a page that fails is a fault of the program."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self._tell.error("a page failed", fault=error)

    def _cut(self, request: Any) -> None:
        """End a connection; its thread, which waits for it, ends by that."""
        self._open.pop(request, None)
        try:
            # Past TLS, whose own way of ending would wait for the other side.
            socket.socket.shutdown(request, socket.SHUT_RDWR)
        except OSError:
            return  # It has ended by itself.


class _Short(io.RawIOBase):
    """So much of a stream and no more: a request that is longer is not read to its end."""

    def __init__(self, stream: Any, left: int) -> None:
        super().__init__()
        self._stream, self._left = stream, left

    def readline(self, size: int | None = -1, /) -> bytes:
        """One line.

        Raises:
            OSError: when that is more than is read.
        """
        line: bytes = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise OSError("a request that is too long")
        return line


def _handler(pages: Mapping[str, Page], token_file: Path | None, patience: Patience) -> type[BaseHTTPRequestHandler]:
    """A handler of these pages."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "heat-dispatch-agent", ""
        timeout = patience.whole_s

        def setup(self) -> None:
            super().setup()
            self.rfile = _Short(self.rfile, patience.max_bytes)  # type: ignore[assignment]  # only lines of it are read

        def do_GET(self) -> None:
            """Answer."""
            try:
                asked = urlsplit(self.path)
            except ValueError:
                self._send(400, TEXT, b"not a path\n")
                return
            page = pages.get(asked.path)
            trusted = allowed(self.headers.get("Authorization", ""), token_file)
            if page is None:
                self._send(404, TEXT, b"not found\n")
            elif page.guarded and not trusted:
                self._send(401, TEXT, b"a bearer token is needed\n")
            else:
                query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
                self._send(*page.answer(Asked(query=query, trusted=trusted)))

        def _send(self, code: int, kind: str, body: bytes) -> None:
            """One answer."""
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are not worth a line."""

    return Handler


def allowed(header: str, token_file: Path | None) -> bool:
    """Whether who asks knows the token; without a file of one nobody needs it, with one that cannot be read nobody knows it."""
    if token_file is None:
        return True
    try:
        token = token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return False
    kind, _, told = header.partition(" ")
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(told.strip().encode(), token.encode())
