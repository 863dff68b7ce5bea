"""A few answers of an API server, true or false, on loopback: for what the real one does only rarely."""

from __future__ import annotations

import json
import queue
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

Json = dict[str, Any]
END = object()
"""Ends a watch as a server does."""


@dataclass(slots=True)
class Collection:
    """One collection: what a list answers, and events for those who watch; raw bytes are sent as they are."""

    items: list[Json] = field(default_factory=list)
    version: str = "10"
    date: str | None = None
    code: int = 200
    raw: bytes | None = None
    events: queue.Queue[Any] = field(default_factory=queue.Queue)


@dataclass(slots=True)
class KubeApiPeer:
    """Collections by path; what was asked, and what was patched."""

    collections: dict[str, Collection] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    patched: list[Json] = field(default_factory=list)
    patch_code: int = 200
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def collection(self, path: str) -> Collection:
        """One by its path."""
        return self.collections.setdefault(path, Collection())

    def lists(self, path: str) -> int:
        """How often it was listed."""
        return sum(where == path and "watch" not in query for where, query, _ in self.asked)


@contextmanager
def kube_api_peer() -> Iterator[KubeApiPeer]:
    """Serve until the block is left."""
    peer = KubeApiPeer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            where = urlparse(self.path)
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            peer.asked.append((where.path, query, dict(self.headers)))
            found = peer.collection(where.path)
            if "watch" in query:
                self.watched(found)
            else:
                told = {"metadata": {"resourceVersion": found.version}, "items": found.items}
                body = found.raw if found.raw is not None else json.dumps(told).encode()
                self.answer(found.code, body, found.date)

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            peer.patched.append(body)
            self.answer(peer.patch_code, json.dumps({"message": "as it was asked", **body}).encode())

        def answer(self, code: int, body: bytes, date: str | None = None) -> None:
            self.send_response_only(code)
            if date is not None:
                self.send_header("Date", date)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def watched(self, found: Collection) -> None:
            self.send_response_only(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while not peer.closing.is_set():
                try:
                    event = found.events.get(timeout=0.05)
                except queue.Empty:
                    if self.left():
                        return
                    continue
                if self.left():
                    # For whoever watches now.
                    found.events.put(event)
                    return
                line = b"" if event is END else event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
                with suppress(ConnectionError):
                    self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                if event is END:
                    return

        def left(self) -> bool:
            """Whether whoever watched has hung up."""
            readable, _, _ = select.select([self.connection], [], [], 0.0)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield peer
    finally:
        peer.closing.set()
        server.shutdown()
        server.server_close()
