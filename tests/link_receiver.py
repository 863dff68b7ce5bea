"""A receiver of webhooks as a plant would run it, on loopback: it verifies, keeps what is genuine, and can be made to fail.

with receiver(secrets) as there:
    there.faults = [429, "redirect", "slow", "hang up"]      # for the next requests, one each; then all is well
    ... there.url, there.news ...
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scheduler.adapters.plantlink.webhook.signature import NotGenuine, Replays, verified

SLOW_S = 3.0


@dataclass
class Receiver:
    """What has come: genuine news in order, and how often somebody knocked."""

    secrets: Sequence[bytes]
    faults: list[int | str] = field(default_factory=list)
    news: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    knocks: int = 0
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def of(self, kind: str) -> list[Any]:
        """Data of all news of one kind."""
        return [one["data"] for one in self.news if one["type"] == kind]

    def take(self, headers: dict[str, str], body: bytes, replays: Replays) -> int:
        """Verify and keep; returns the status to answer with."""
        try:
            found = verified(self.secrets, headers, body, time.time())  # noqa: TID251 - the receiver's own clock
        except NotGenuine as error:
            self.wrong.append(str(error))
            return 401
        self.ids.append(found)
        if replays.is_new(found, time.monotonic()):
            self.news.append(json.loads(body))
        return 204


@contextmanager
def receiver(secrets: Sequence[bytes]) -> Iterator[Receiver]:
    """A running receiver, ended in the end."""
    there, replays = Receiver(secrets), Replays()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            there.knocks += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault = there.faults.pop(0) if there.faults else 0
            if fault == "hang up":
                self.close_connection = True
                return
            if fault == "slow":
                there.over.wait(SLOW_S)
                self.close_connection = True
                return
            extra = {}
            if isinstance(fault, int) and fault:
                status, extra = fault, {"Retry-After": "0"}
            elif fault == "redirect":
                status, extra = 307, {"Location": there.url}
            else:
                status = there.take({name.lower(): value for name, value in self.headers.items()}, body, replays)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """We hang up on a receiver that is slow; it need not complain."""

    server = Server(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}/heat"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield there
    finally:
        there.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
