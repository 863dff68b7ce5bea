"""An agent as the operator hears it: a real HTTP server on loopback that says what a test wants, as well or as badly."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlparse

Json = dict[str, Any]


def telemetry(node: str, *gpus: Json, slots: list[Json], **more: Any) -> Json:
    """An answer as documented in `adapters/telemetry/wire.py`."""
    return {
        "version": 1,
        "node": node,
        "boot": "first",
        "measuredUtc": "2026-01-14T12:00:30Z",
        "gpus": list(gpus),
        "slots": slots,
        **more,
    }


def slot(sequence: int, joules: dict[str, float], seconds: float = 10.0, **more: Any) -> Json:
    """One interval."""
    return {"sequence": sequence, "seconds": seconds, "joules": joules, **more}


@dataclass(slots=True)
class AgentPeer:
    """Serves `document`, or `raw` bytes, after `delay_s`, to whoever knows the token."""

    document: Json
    token: str = ""
    raw: bytes | None = None
    delay_s: float = 0.0
    asked: list[dict[str, str]] = field(default_factory=list)
    _server: ThreadingHTTPServer = field(init=False)

    def __enter__(self) -> AgentPeer:
        """Serve."""
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.asked.append({name: values[0] for name, values in parse_qs(urlparse(self.path).query).items()})
                time.sleep(peer.delay_s)
                allowed = not peer.token or self.headers.get("Authorization") == f"Bearer {peer.token}"
                body = peer.raw if peer.raw is not None else json.dumps(peer.document).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body) if allowed else 0))
                # Who asks may have given up by now; that is his answer, not an error of this peer.
                with suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(body if allowed else b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"
