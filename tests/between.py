"""A proxy between an operator and its API server: lets everything through; is told to be slow, to refuse, to fall silent.

Plain HTTP on loopback towards the operator, TLS towards the API server. It keeps a list of what was asked and how that was
answered, so that a test can tell what the operator did while the API server never heard of it.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scheduler.adapters.devcluster.cluster import DevCluster

WRITES = ("POST", "PUT", "PATCH", "DELETE")
# Headers of one hop; lengths and chunks are made anew.
OF_A_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}
UPSTREAM_S = 120.0
PIECE_BYTES = 1 << 16
PULSE_S = 0.5
TAIL_BYTES = 400


@dataclass(slots=True, eq=False)
class Asked:
    """One request: what, when (monotonic), the status that it was answered with, and how its answer ended.

    `code` is 0 until the answer is complete: so it is of a watch that is open.
    """

    method: str
    path: str
    query: Mapping[str, str]
    at_s: float
    agent: str = ""
    code: int = 0
    by_proxy: bool = False
    last: bytes = b""

    @property
    def writes(self) -> bool:
        """Whether it is meant to change something."""
        return self.method in WRITES

    @property
    def watches(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch") == "true"

    @property
    def resource(self) -> str:
        """The plural that the path names: `jobs`, `leases`, `dispatchplans`."""
        parts = self.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        return (parts[2] if parts[:1] == ["namespaces"] and len(parts) > 2 else parts[0]) if parts else ""

    @property
    def what(self) -> str:
        """In words."""
        return f"{self.method} {self.path} -> {self.code or 'nothing'}"


Fits = Callable[[Asked], bool]


def everything(_asked: Asked) -> bool:
    """Every request."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is done to requests that fit: kept for a while before they are passed on, or answered here with a refusal.

    `lost`: passed on, and the answer thrown away.
    """

    fits: Fits = everything
    delay_s: float = 0.0
    lost: bool = False
    code: int = 0
    reason: str = ""
    message: str = "said by a test"
    headers: Mapping[str, str] = field(default_factory=dict)


class Between:
    """Runs until closed; `kubeconfig` leads through it."""

    def __init__(self, cluster: DevCluster, user: str, folder: Path) -> None:
        """Listen on a free port of loopback."""
        self.asked: list[Asked] = []
        self.rules: list[Rule] = []
        self.closing = threading.Event()
        self._host = cluster.url.removeprefix("https://")
        self._trust = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
        self._silenced: set[Asked] = set()
        self._ended: set[Asked] = set()
        self._pulse = False
        self._server = _Server(("127.0.0.1", 0), type("BoundBetween", (_Handler,), {"between": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.kubeconfig = folder / f"{user}-between.kubeconfig"
        cluster.write_kubeconfig(self.kubeconfig, cluster.tokens[user])
        config = json.loads(self.kubeconfig.read_text("utf-8"))
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        self.kubeconfig.write_text(json.dumps(config), "utf-8")

    def close(self) -> None:
        """Stop listening; what is under way ends by itself."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def being(self, *rules: Rule) -> Iterator[None]:
        """Follow rules inside the block; the first that fits counts."""
        self.rules[:0] = rules
        try:
            yield
        finally:
            for rule in rules:
                self.rules.remove(rule)

    def silence(self, *, pulse: bool = False) -> int:
        """Let nothing of the watches that are open through any more, and close none of them; returns how many.

        With a `pulse` an empty line now and then, so that nobody takes them for dead.
        """
        open_now = {one for one in self.asked if one.watches and one.code == 0}
        self._pulse = pulse
        self._silenced |= open_now
        return len(open_now)

    def end_silenced(self) -> None:
        """End the silenced watches as an API server does whose time for them is up: nothing tells that anything was missed."""
        self._ended |= self._silenced

    def since(self, at_s: float, fits: Fits = everything) -> list[Asked]:
        """What was asked from a moment on."""
        return [one for one in list(self.asked) if one.at_s >= at_s and fits(one)]

    # For the handler.

    @property
    def pulse(self) -> bool:
        """Whether silenced watches still give a sign of life."""
        return self._pulse

    def silent(self, asked: Asked) -> bool:
        """Whether a watch is one that must not be heard again."""
        return asked in self._silenced

    def ended(self, asked: Asked) -> bool:
        """Whether a silenced watch is to end now."""
        return asked in self._ended

    def connected(self) -> HTTPSConnection:
        """A connection to the API server."""
        return HTTPSConnection(self._host, context=self._trust, timeout=UPSTREAM_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who gives up waiting is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    between: Between

    def setup(self) -> None:
        super().setup()
        self._upstream = self.between.connected()

    def finish(self) -> None:
        self._upstream.close()
        with suppress(OSError):
            super().finish()

    def _pass(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        asked = Asked(self.command, parts.path, query, time.monotonic(), self.headers.get("User-Agent", ""))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            # The head came and its body never did: whoever sent it thought better of it.
            self.close_connection = True
            return
        self.between.asked.append(asked)
        rule = next((one for one in list(self.between.rules) if one.fits(asked)), None)
        if rule is not None and rule.delay_s:
            # Passed on afterwards whether anybody still waits for it or not: that is what a slow network does.
            self.between.closing.wait(rule.delay_s)
        if rule is not None and rule.code:
            self._refuse(asked, rule)
        else:
            self._forward(asked, body, lost=rule is not None and rule.lost)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - the names that http.server calls

    def _refuse(self, asked: Asked, rule: Rule) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": rule.code}
        data = json.dumps({**status, "reason": rule.reason, "message": rule.message}).encode()
        asked.code, asked.by_proxy = rule.code, True
        self.send_response(rule.code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **rule.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _forward(self, asked: Asked, body: bytes, *, lost: bool) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_A_HOP}
        try:
            self._upstream.request(self.command, self.path, body or None, headers)
            answer = self._upstream.getresponse()
            if lost:
                asked.code = answer.status
                raise OSError("lost")
        except (OSError, HTTPException):
            # As if the API server itself had closed the connection.
            self._upstream.close()
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OF_A_HOP | {"date", "server"}:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._stream(asked, answer)
        asked.code = answer.status

    def _stream(self, asked: Asked, answer: HTTPResponse) -> None:
        """Hand the body on piece by piece, as it comes; a watch that was silenced stays open and says nothing more."""
        try:
            for piece in self._pieces(asked, answer):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if self.between.silent(asked):
                self._upstream.close()
                self._hold_open(asked)
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, HTTPException):
            self._upstream.close()
            self.close_connection = True

    def _pieces(self, asked: Asked, answer: HTTPResponse) -> Iterator[bytes]:
        """What the API server says, until it ends or the watch is silenced."""
        try:
            while (piece := answer.read1(PIECE_BYTES)) and not self.between.silent(asked):
                asked.last = piece[-TAIL_BYTES:]
                yield piece
            # `read1` does not tell the connection that all is read, and without that it takes no further request.
            answer.close()
        except (OSError, HTTPException):
            # The API server may well go away while its watch is silenced: that is not heard either.
            if not self.between.silent(asked):
                raise

    def _hold_open(self, asked: Asked) -> None:
        """Wait until the one who listens to a silenced watch gives up, or it is ended.

        Raises:
            OSError: when he gave up.
        """
        while not self.between.ended(asked):
            if self.between.closing.is_set() or _gone(self.connection):
                raise OSError("given up")
            if self.between.pulse:
                self.wfile.write(b"1\r\n\n\r\n")
                self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """What was asked is kept, not printed."""


def _gone(connection: socket.socket) -> bool:
    """Whether the other side has closed, looked at for a moment."""
    connection.settimeout(PULSE_S)
    try:
        return not connection.recv(1)
    except TimeoutError:
        return False
    finally:
        connection.settimeout(None)


@contextmanager
def between(cluster: DevCluster, user: str, folder: Path) -> Iterator[Between]:
    """A proxy for one user's operator."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Between(cluster, user, folder)
    try:
        yield found
    finally:
        found.close()
