"""What the agent tells over HTTP: `/v1/telemetry` for the operator, `/metrics` for Prometheus, `/healthz` and `/readyz`.

Telemetry and metrics say what jobs draw, so they are for whoever knows the token; probes say nothing and are for everybody.
"""

from __future__ import annotations

import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from scheduler.adapters.clock import Clocks
from scheduler.adapters.gpu.sampler import Sampler, Seen, Slot

PREFIX = "heatdispatch_agent_"
# A GPU that was not read for so long is told of no more: what it draws now is not known.
STALE_S = 5.0
SLOW_CLIENT_S = 10.0

Answer = tuple[int, str, bytes]
TEXT, JSON = "text/plain; charset=utf-8", "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """How the agent listens: address, the file of the token (read at every request), certificate and key for TLS."""

    host: str = "127.0.0.1"
    port: int = 9464
    token_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Telling:
    """Answers by path; every answer is made of what the sampler has seen at that moment."""

    def __init__(self, sampler: Sampler, clock: Clocks, *, node: str, boot: str) -> None:
        """Tell what `sampler` saw on `node`; `boot` tells one start of the agent from another."""
        self._sampler, self._clock, self._node, self._boot = sampler, clock, node, boot
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def telemetry(self, query: Mapping[str, str]) -> Answer:
        """The operator's view; see docs/agent.md."""
        return 200, JSON, json.dumps(self.document(query)).encode()

    def document(self, query: Mapping[str, str]) -> dict[str, Any]:
        """GPUs that were read lately, and the intervals that were not told yet."""
        slots, now_s, now_utc = self._sampler.slots(), self._clock.monotonic_s(), self._clock.now_utc()
        since = _count(query.get("since")) if query.get("boot") == self._boot else -1
        fresh = [slot for slot in slots if slot.sequence > since]
        last_s = slots[-1].end_s if slots else now_s
        return {
            "version": 1,
            "node": self._node,
            "boot": self._boot,
            "measuredUtc": _text(now_utc - timedelta(seconds=now_s - last_s)),
            "gpus": [_gpu(seen) for seen in self._sampler.seen() if now_s - seen.at_s <= STALE_S],
            "slots": [_slot(slot) for slot in fresh],
        }

    def metrics(self, _query: Mapping[str, str]) -> Answer:
        """The page for Prometheus."""
        return 200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(self._registry)

    def ready(self, _query: Mapping[str, str]) -> Answer:
        """Whether the driver answers."""
        why = self._sampler.trouble
        return (200, TEXT, b"ok\n") if not why else (503, TEXT, f"{why}\n".encode())

    def alive(self, _query: Mapping[str, str]) -> Answer:
        """That this process answers; a GPU that hangs is no reason to start it anew."""
        return 200, TEXT, b"ok\n"

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        now_s = self._clock.monotonic_s()
        seen = self._sampler.seen()
        fresh = [one for one in seen if now_s - one.at_s <= STALE_S]
        yield _gauge("gpu_power_watts", "Draw of a GPU now.", fresh, lambda one: one.reading.draw_w)
        yield _gauge("gpu_temperature_celsius", "Temperature of a GPU.", fresh, lambda one: one.reading.temperature_c)
        yield _gauge(
            "gpu_utilization_ratio", "Share of time in which it computes.", fresh, lambda one: one.reading.utilization_fraction
        )
        limits = GaugeMetricFamily(
            f"{PREFIX}gpu_power_limit_watts",
            "Power limit of a GPU by kind: requested, enforced, default, min, max.",
            labels=["gpu", "kind"],
        )
        for one in fresh:
            bounds = one.reading.limits
            kinds = {
                "requested": bounds.requested_w, "enforced": bounds.enforced_w, "default": bounds.default_w,
                "min": bounds.least_w, "max": bounds.most_w,
            }  # fmt: skip
            for kind, value in kinds.items():
                if value is not None:
                    limits.add_metric([one.reading.uuid, kind], value)
        yield limits
        yield _counter(
            "gpu_energy_joules",
            "Energy of a GPU since the agent's start, over resets of its counter.",
            seen,
            lambda one: one.energy.total_j,
        )
        yield _counter(
            "gpu_energy_counter_resets",
            "How often the energy counter fell back or jumped.",
            seen,
            lambda one: one.energy.resets,
        )
        yield _counter("gpu_capped_seconds", "Time in which the power limit held a GPU back.", seen, lambda one: one.capped_s)
        yield _counter(
            "gpu_silent_seconds",
            "Time of which no energy is known: neither counter nor power could be read.",
            seen,
            lambda one: one.energy.silent_s,
        )
        yield _gauge(
            "gpu_last_read_timestamp_seconds",
            "When a GPU was last read.",
            seen,
            lambda one: self._clock.now_utc().timestamp() - (now_s - one.at_s),
        )
        yield GaugeMetricFamily(
            f"{PREFIX}gpus", "GPUs of this machine, lost ones among them.", value=float(self._sampler.count)
        )
        yield GaugeMetricFamily(
            f"{PREFIX}gpus_lost",
            "GPUs that do not answer. Above 0: look for Xid in the kernel's log.",
            value=float(len(self._sampler.lost())),
        )


def _gauge(name: str, words: str, seen: Iterable[Seen], value: Callable[[Seen], float | None]) -> Metric:
    """One gauge per GPU."""
    family = GaugeMetricFamily(f"{PREFIX}{name}", words, labels=["gpu"])
    for one in seen:
        found = value(one)
        if found is not None:
            family.add_metric([one.reading.uuid], found)
    return family


def _counter(name: str, words: str, seen: Iterable[Seen], value: Callable[[Seen], float]) -> Metric:
    """One counter per GPU; Prometheus adds `_total`."""
    family = CounterMetricFamily(f"{PREFIX}{name}", words, labels=["gpu"])
    for one in seen:
        family.add_metric([one.reading.uuid], value(one))
    return family


def _gpu(seen: Seen) -> dict[str, Any]:
    """One GPU; who sits on it is left out: this version does not know."""
    limit_w = seen.reading.limits.enforced_w
    return {"uuid": seen.reading.uuid, **({} if limit_w is None else {"limitWatts": limit_w})}


def _slot(slot: Slot) -> dict[str, Any]:
    """One interval."""
    joules = {uuid: round(value, 3) for uuid, value in slot.joules.items()}
    return {"sequence": slot.sequence, "seconds": slot.seconds, "joules": joules}


def _count(text: str | None) -> int:
    """A count, -1 for nonsense: then everything is told."""
    return int(text) if text is not None and text.isdecimal() else -1


def _text(at_utc: datetime) -> str:
    """An instant."""
    return at_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AgentServer:
    """Serves on threads of its own until closed."""

    def __init__(self, telling: Telling, wired: Wired) -> None:
        """Listen.

        Raises:
            OSError: when the address is taken, or a file of TLS cannot be read.
        """
        open_paths = {"/healthz": telling.alive, "/readyz": telling.ready}
        guarded = {"/v1/telemetry": telling.telemetry, "/metrics": telling.metrics}
        self._server = ThreadingHTTPServer((wired.host, wired.port), _handler(open_paths, guarded, wired.token_file))
        self._server.daemon_threads = True
        if wired.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(wired.certificate, wired.key)
            # The handshake is done on the request's thread: a client that says nothing must not hold up the others.
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.5}, name="http", daemon=True
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


Page = Callable[[Mapping[str, str]], Answer]


def _handler(
    open_paths: Mapping[str, Page], guarded: Mapping[str, Page], token_file: Path | None
) -> type[BaseHTTPRequestHandler]:
    """A handler of these pages."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SLOW_CLIENT_S
        server_version, sys_version = "heat-dispatch-agent", ""

        def do_GET(self) -> None:
            """Answer."""
            asked = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
            page = open_paths.get(asked.path) or guarded.get(asked.path)
            if page is None:
                self._send(404, TEXT, b"not found\n")
            elif asked.path in guarded and not allowed(self.headers.get("Authorization", ""), token_file):
                self._send(401, TEXT, b"a bearer token is needed\n")
            else:
                self._send(*page(query))

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
    except OSError:
        return False
    kind, _, told = header.partition(" ")
    return bool(token) and kind.lower() == "bearer" and hmac.compare_digest(told.strip().encode(), token.encode())
