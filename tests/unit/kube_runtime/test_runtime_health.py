"""Probes over loopback: what is alive, what is ready, and that neither can be broken from outside."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest
from fake_api import FakeApi
from runtime_world import FakeClock, eventually, no_jitter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.caches import Caches
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.health import (
    METRICS_TYPE,
    Check,
    Finding,
    HealthLimits,
    HealthServer,
    Page,
    caches_alive,
    caches_ready,
    moves,
    told,
)
from scheduler.adapters.kubernetes.runtime.kinds import NODES, PODS, WORKLOADS
from scheduler.adapters.kubernetes.runtime.reflector import Reflector, ReflectorOptions
from scheduler.adapters.kubernetes.runtime.store import Store

QUICK = ReflectorOptions(absent_s=0.05, backoff=Backoff(base_s=0.01, max_s=0.05))
LIMITS = HealthLimits()


def fails() -> Iterable[Finding]:
    raise RuntimeError("check is broken")


@contextmanager
def serving_health(
    alive: list[Check], ready: list[Check], pages: dict[str, Page] | None = None, read_timeout_s: float = 5.0
) -> Iterator[HealthServer]:
    server = HealthServer(alive=alive, ready=ready, pages=pages, host="127.0.0.1", port=0, read_timeout_s=read_timeout_s)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read().decode()
    finally:
        connection.close()


def test_probes_say_ok_or_name_what_failed() -> None:
    good = told("role", lambda: "standby, led by pod-2")
    bad = moves("election", lambda: 61.0, 60.0)
    with serving_health([good], [good, bad]) as server:
        assert ask(server, "/livez")[::2] == (200, "ok\n")
        assert ask(server, "/healthz")[0] == 200
        assert ask(server, "/livez?verbose")[2] == "[+] role: standby, led by pod-2\nok\n"
        assert ask(server, "/readyz")[::2] == (503, "[-] election: last turn 61 s ago\nfailed\n")
        assert ask(server, "/livez", "HEAD")[::2] == (200, "")
        assert ask(server, "/secrets")[0] == 404
        assert ask(server, "/livez", "POST")[0] == 501


def test_a_broken_check_is_a_failed_check() -> None:
    with serving_health([fails], []) as server:
        assert ask(server, "/livez")[::2] == (503, "[-] check: RuntimeError: check is broken\nfailed\n")
        assert ask(server, "/readyz")[0] == 200


def test_pages() -> None:
    def broken() -> tuple[str, bytes]:
        raise RuntimeError("no registry")

    pages: dict[str, Page] = {"/metrics": lambda: (METRICS_TYPE, b"up 1\n"), "/broken": broken}
    with serving_health([], [], pages) as server:
        assert ask(server, "/metrics?name=x") == (200, METRICS_TYPE, "up 1\n")
        assert ask(server, "/broken")[0] == 500
        assert ask(server, "/livez")[0] == 200


def test_connections_that_say_nothing_do_not_block_probes_for_long() -> None:
    with serving_health([], [], read_timeout_s=0.2) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        assert eventually(lambda: ask(server, "/livez")[0] == 200)
        for one in silent:
            one.close()


def test_a_taken_port_is_told() -> None:
    with serving_health([], []) as server, pytest.raises(OSError, match="in use"):
        HealthServer(alive=[], ready=[], host="127.0.0.1", port=server.port)


def test_stop_before_start_frees_the_port() -> None:
    server = HealthServer(alive=[], ready=[], host="127.0.0.1", port=0)
    server.stop()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))
        assert again.getsockname()[1] == server.port


def reflector(client: KubeClient, store: Store, clock: FakeClock | SystemClock) -> Reflector:
    return Reflector(client, store, clock, no_jitter, options=QUICK)


def test_ready_when_every_cache_is_whole_and_fresh(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    caches = Caches([reflector(client, Store(NODES), clock)])
    check = caches_ready(caches, LIMITS)
    assert [finding.text for finding in check()] == ["not synced, 0 objects, last event 0 s ago"]
    assert caches.unsynced() == ("nodes",)
    api.put("/api/v1/nodes/a", {})
    caches.reflectors[0]._list()
    assert [(finding.ok, finding.text) for finding in check()] == [(True, "synced, 1 objects, last event 0 s ago")]
    clock.now_s = 241.0
    assert [finding.ok for finding in check()] == [False]
    assert caches.stale(240.0) == ("nodes",)


def test_an_api_server_that_is_away_is_not_our_death(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    caches = Caches([reflector(client, Store(NODES), clock)])
    api.refuse(500, left=9)
    clock.now_s = 500.0
    assert [finding.ok for finding in caches_alive(caches, LIMITS)()] == [False]
    caches.reflectors[0].turn()
    assert [finding.ok for finding in caches_alive(caches, LIMITS)()] == [True]
    assert [finding.ok for finding in caches_ready(caches, LIMITS)()] == [False]


def test_caches_start_sync_and_stop_together(api: FakeApi, client: KubeClient) -> None:
    """A kind that is not installed keeps nobody waiting."""
    api.put("/api/v1/nodes/a", {})
    api.refuse(404, left=10**6, part="workloads")
    clock = SystemClock()
    caches = Caches([reflector(client, Store(kind), clock) for kind in (NODES, PODS, WORKLOADS)])
    assert caches.wait_synced(60.0, clock, lambda _s: True) == ("nodes", "pods", "workloads")
    assert caches.wait_synced(0.0, clock, lambda _s: None) == ("nodes", "pods", "workloads")
    caches.start()
    assert caches.wait_synced(5.0, clock, lambda _s: None) == ()
    assert [(age.name, age.objects, age.missing) for age in caches.ages()] == [
        ("nodes", 1, False),
        ("pods", 0, False),
        ("workloads", 0, True),
    ]
    assert all(finding.ok for finding in caches_ready(caches, LIMITS)())
    caches.stop()
    assert all(one._thread is not None and not one._thread.is_alive() for one in caches.reflectors)
