"""Alive, ready, and what metrics say, over plain HTTP: the standard library's server, since a probe needs no framework.

**Alive** means that threads move: each reflector has taken a turn lately (a refused try is a turn, so an API server that is
away does not restart us and cost the warm caches), and so has the election. **Ready** means that the pod can do the work of
its role: its caches are whole and fresh; whether it leads is told, and is no condition, so that a standby is ready too.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scheduler.adapters.kubernetes.runtime.caches import Caches
from scheduler.adapters.logs import Teller

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: its name, whether it passed, and what was found, in words."""

    name: str
    ok: bool
    text: str


Check = Callable[[], Iterable[Finding]]
Page = Callable[[], tuple[str, bytes]]
"""Gives content type and body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """How old is too old. Longer than a watch's longest silence (90 s), its back-off (30 s) and a slow list (60 s) together."""

    turn_s: float = 240.0
    event_s: float = 240.0
    election_s: float = 60.0


def caches_alive(caches: Caches, limits: HealthLimits) -> Check:
    """Every reflector's thread has done something lately."""

    def check() -> Iterable[Finding]:
        for age in caches.ages():
            text = f"last turn {age.turn_s:.0f} s ago"
            yield Finding(name=f"watch-{age.name}", ok=age.turn_s <= limits.turn_s, text=text)

    return check


def caches_ready(caches: Caches, limits: HealthLimits) -> Check:
    """Every cache is whole, and the API server has said something of it lately."""

    def check() -> Iterable[Finding]:
        for age in caches.ages():
            fresh = age.missing or age.event_s <= limits.event_s
            state = "not installed" if age.missing else "synced" if age.synced else "not synced"
            text = f"{state}, {age.objects} objects, last event {age.event_s:.0f} s ago"
            yield Finding(name=f"cache-{age.name}", ok=age.synced and fresh, text=text)

    return check


def moves(name: str, age_s: Callable[[], float], limit_s: float) -> Check:
    """Something has taken a turn lately, e.g. the election."""

    def check() -> Iterable[Finding]:
        seconds = age_s()
        yield Finding(name=name, ok=seconds <= limit_s, text=f"last turn {seconds:.0f} s ago")

    return check


def told(name: str, text: Callable[[], str]) -> Check:
    """A fact that is worth reading and never fails, e.g. the role."""

    def check() -> Iterable[Finding]:
        yield Finding(name=name, ok=True, text=text())

    return check


def findings(checks: Sequence[Check]) -> tuple[Finding, ...]:
    """Run checks; one that raises has failed."""
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Exception as error:  # a broken check is a failed check
            found.append(Finding(name="check", ok=False, text=f"{type(error).__name__}: {error}"))
    return tuple(found)


class HealthServer:
    """Serves /livez, /readyz (healthz is livez) and further pages such as /metrics."""

    def __init__(
        self,
        *,
        alive: Sequence[Check],
        ready: Sequence[Check],
        pages: Mapping[str, Page] | None = None,
        host: str = "",
        port: int = 8080,
        read_timeout_s: float = 5.0,
    ) -> None:
        """Bind at once (port 0: any free one); `pages` maps a path to what gives its content.

        Raises:
            OSError: when the address is taken.
        """
        probes = {"/livez": alive, "/healthz": alive, "/readyz": ready}
        bound = {"probes": probes, "pages": dict(pages or {}), "timeout": read_timeout_s}
        self._server = _Server((host, port), type("BoundHandler", (_Handler,), bound))
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(5.0)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        # Probes and one or two scrapers; whoever opens more connections than this waits, and cannot take our memory.
        self._slots = threading.BoundedSemaphore(16)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._slots.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    server_version = "heat-dispatch"
    sys_version = ""
    probes: Mapping[str, Sequence[Check]]
    pages: Mapping[str, Page]
    _tell = Teller("runtime.health")

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path in self.probes:
            self._probe(self.probes[path], verbose="verbose" in query)
        elif path in self.pages:
            self._page(self.pages[path])
        else:
            self._send(404, "text/plain; charset=utf-8", b"not found\n")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _probe(self, checks: Sequence[Check], *, verbose: bool) -> None:
        found = findings(checks)
        bad = [finding for finding in found if not finding.ok]
        told_of = found if verbose else bad
        lines = [f"[{'+' if finding.ok else '-'}] {finding.name}: {finding.text}" for finding in told_of]
        text = "\n".join([*lines, "failed" if bad else "ok", ""])
        self._send(503 if bad else 200, "text/plain; charset=utf-8", text.encode())

    def _page(self, page: Page) -> None:
        try:
            content_type, body = page()
        except Exception as error:  # a page that fails must not take the probes with it
            self._tell.error("page fault", fault=error, path=self.path)
            content_type, body = "application/json", json.dumps({"error": type(error).__name__}).encode()
            self._send(500, content_type, body)
            return
        self._send(200, content_type, body)

    def _send(self, code: int, content_type: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes every few seconds are not worth a line."""
