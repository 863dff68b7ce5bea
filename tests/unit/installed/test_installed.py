"""What `helm test` finds fault with, on pods that are pages on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from scheduler.entrypoints.installed import Wanted, troubles

SICK = "/readyz"


@pytest.fixture
def port() -> Iterator[int]:
    """A pod that lives and is not ready."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if self.path == SICK else 200)
            self.end_headers()
            self.wfile.write(b"no lease")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def pod(name: str, *, leads: bool, address: str = "127.0.0.1") -> dict[str, Any]:
    labels = {"heatdispatch.io/leads": "true"} if leads else {}
    return {"metadata": {"name": name, "labels": labels}, "status": {"podIP": address}}


def wanted(port: int, pods: int = 1) -> Wanted:
    return Wanted(namespace="n", selector="app=operator", pods=pods, ports=(port,))


def test_a_pod_that_is_not_ready_is_named_with_what_it_says(port: int) -> None:
    assert troubles(wanted(port), [pod("one", leads=True)]) == [f"one:{port}/readyz: 503 no lease"]


def test_too_few_pods_and_nobody_who_leads_are_faults(port: int) -> None:
    assert troubles(wanted(port, pods=2), []) == ["0 pods of app=operator, expected 2", "no pod leads"]
    assert "two has no address yet" in troubles(wanted(port), [pod("two", leads=False, address="")])


def test_a_pod_that_is_about_to_go_counts_for_nothing(port: int) -> None:
    going = pod("old", leads=True)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert troubles(wanted(port), [going]) == ["0 pods of app=operator, expected 1", "no pod leads"]


def test_who_does_not_answer_is_named(port: int) -> None:
    found = troubles(wanted(port), [pod("far", leads=True, address="127.0.0.2")])
    assert [one.partition(": ")[0] for one in found] == [f"far:{port}/livez", f"far:{port}/readyz"]
