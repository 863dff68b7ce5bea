"""A store comes to be right again after everything an API server can do to its reflector."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fake_api import FakeApi, serving
from runtime_world import FakeClock, client_of, eventually, no_jitter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.backoff import Backoff
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.kinds import CLASSES, NODES
from scheduler.adapters.kubernetes.runtime.reflector import Reflector, ReflectorOptions
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.adapters.logs import ROOT, configure

QUICK = ReflectorOptions(
    page_size=2, silence_s=0.5, shortest_watch_s=0.02, missing_s=0.05, backoff=Backoff(base_s=0.01, max_s=0.05)
)


@contextmanager
def reflecting(client: KubeClient, options: ReflectorOptions = QUICK, store: Store | None = None) -> Iterator[Reflector]:
    reflector = Reflector(client, store or Store(NODES), SystemClock(), no_jitter, options=options)
    reflector.start()
    try:
        yield reflector
    finally:
        reflector.stop()


def names(reflector: Reflector) -> set[str]:
    return {obj["metadata"]["name"] for obj in reflector.store.all()}


def node(name: str) -> str:
    return f"/api/v1/nodes/{name}"


def test_list_then_watch(api: FakeApi, client: KubeClient) -> None:
    for name in "abcde":
        api.put(node(name), {})
    with reflecting(client) as reflector:
        assert eventually(lambda: names(reflector) == set("abcde"))
        api.put(node("f"), {})
        api.remove(node("a"))
        assert eventually(lambda: names(reflector) == set("bcdef"))
        assert reflector.relists == 1
    assert len(api.asked("LIST")) == 3  # pages of two
    assert api.asked("WATCH")[0].query["allowWatchBookmarks"] == "true"


def test_a_watch_goes_on_from_the_last_bookmark(api: FakeApi, client: KubeClient) -> None:
    """Other kinds' writes raise the version; without bookmarks a quiet kind would fall behind and get 410."""
    api.put(node("a"), {})
    with reflecting(client) as reflector:
        assert eventually(lambda: names(reflector) == {"a"})
        api.put("/api/v1/namespaces/x/pods/noise", {})
        now = str(api.version)
        assert eventually(lambda: reflector._version == now)  # the version it would resume from
        api.cut_watches = True
        api.wake()
        assert eventually(lambda: len(api.asked("WATCH")) >= 2)
        api.cut_watches = False
    assert api.asked("WATCH")[1].query["resourceVersion"] == now


def fault_compacted(api: FakeApi) -> None:
    api.put(node("old"), {})
    api.compact()


def fault_reset(api: FakeApi) -> None:
    api.cut_watches = True
    api.refuse(0, verb="WATCH", left=3, reset=True)
    api.wake()


def fault_forbidden(api: FakeApi) -> None:
    api.refuse(403, verb="LIST", left=2)
    api.refuse(403, verb="WATCH", left=2)
    api.cut_watches = True
    api.wake()


def fault_too_many(api: FakeApi) -> None:
    api.refuse(429, verb="WATCH", left=1)
    api.cut_watches = True
    api.wake()


def fault_garbage(api: FakeApi) -> None:
    api.refuse(200, verb="WATCH", left=2, raw=b"not json\n")
    api.refuse(200, verb="WATCH", left=2, raw=b'{"type": "ADDED"}\n')
    api.cut_watches = True
    api.wake()


def fault_silence(api: FakeApi) -> None:
    api.silent = True


@pytest.mark.parametrize("fault", [fault_compacted, fault_reset, fault_forbidden, fault_too_many, fault_garbage, fault_silence])
def test_the_store_is_right_again(api: FakeApi, client: KubeClient, fault: Callable[[FakeApi], None]) -> None:
    api.put(node("a"), {})
    with reflecting(client) as reflector:
        assert eventually(lambda: names(reflector) == {"a"})
        relists = reflector.relists
        fault(api)
        with api.lock:
            api.put(node("b"), {})
            api.remove(node("a"))
        wanted = {obj["metadata"]["name"] for obj in api.collection("/api/v1/nodes")}
        assert eventually(lambda: reflector.relists > relists)
        api.silent = api.cut_watches = False
        assert eventually(lambda: names(reflector) == wanted)
        api.put(node("c"), {})
        assert eventually(lambda: names(reflector) == wanted | {"c"})


def test_watches_that_are_cut_off_at_once_are_tried_less_and_less_often(api: FakeApi, client: KubeClient) -> None:
    """That they open proves nothing; one that stays open does, though it says nothing."""
    api.put(node("a"), {})
    api.cut_watches = True
    with reflecting(client, replace(QUICK, shortest_watch_s=60.0)) as reflector:
        assert eventually(lambda: reflector.failures >= 4)
        api.cut_watches = False
        api.put(node("b"), {})
        assert eventually(lambda: reflector.failures == 0)


def test_a_list_that_expires_between_pages_is_read_in_one_piece(api: FakeApi, client: KubeClient) -> None:
    for name in "abcde":
        api.put(node(name), {})
    api.on_list_page = api.compact
    with reflecting(client) as reflector:
        assert eventually(lambda: names(reflector) == set("abcde"))
    assert "limit" in api.asked("LIST")[0].query
    assert "limit" not in api.asked("LIST")[2].query


def test_a_server_that_is_gone_and_comes_back() -> None:
    with serving() as api:
        api.put(node("a"), {})
        port = int(api.url.rpartition(":")[2])
        reflector = Reflector(client_of(api), Store(NODES), SystemClock(), no_jitter, options=QUICK)
        reflector.start()
        assert eventually(lambda: names(reflector) == {"a"})
    try:
        assert eventually(lambda: reflector.failures > 1)
        assert reflector.doubtful
        assert reflector.store.synced
        assert names(reflector) == {"a"}
        assert reflector.age_of_last_turn_s() < 1.0
        with serving(port, api) as again:
            again.put(node("b"), {})
            assert eventually(lambda: names(reflector) == {"a", "b"})
    finally:
        reflector.stop()


def test_an_unknown_kind_is_missing_and_its_objects_are_gone(api: FakeApi, client: KubeClient) -> None:
    api.put("/apis/heatdispatch.io/v1alpha1/workloadclasses/batch", {})
    with reflecting(client, store=Store(CLASSES)) as reflector:
        assert eventually(lambda: names(reflector) == {"batch"})
        gone = api.refuse(404, left=10**6, part="workloadclasses")
        api.cut_watches = True
        api.wake()
        assert eventually(lambda: reflector.missing and not names(reflector))
        assert reflector.store.synced
        api.cut_watches = False
        gone.left = 0
        assert eventually(lambda: not reflector.missing and names(reflector) == {"batch"})


def test_a_fault_of_ours_does_not_silence_a_kind(api: FakeApi, client: KubeClient) -> None:
    def broken(_obj: dict[str, Any]) -> dict[str, Any]:
        faults.append(1)
        if len(faults) < 3:
            raise RuntimeError("a bug in a trim")
        return _obj

    faults: list[int] = []
    api.put(node("a"), {})
    with reflecting(client, store=Store(NODES, trim=broken)) as reflector:
        assert eventually(lambda: names(reflector) == {"a"})
        api.put(node("b"), {})
        assert eventually(lambda: names(reflector) == {"a", "b"})


def test_ages(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock(100.0)
    reflector = Reflector(client, Store(NODES), clock, no_jitter, options=QUICK)
    clock.now_s = 130.0
    assert reflector.age_of_last_event_s() == 30.0
    api.refuse(500, left=9)
    assert reflector.turn() == 0.01  # the first back-off
    assert reflector.age_of_last_event_s() == 30.0
    assert reflector.age_of_last_turn_s() == 0.0
    assert reflector.turn() == 0.02


def test_retry_after_outlasts_the_backoff(api: FakeApi, client: KubeClient) -> None:
    reflector = Reflector(client, Store(NODES), FakeClock(), no_jitter, options=QUICK)
    api.refuse(429, headers={"Retry-After": "8"})
    assert reflector.turn() == 8.0


def test_a_watch_that_ends_at_once_backs_off(api: FakeApi, client: KubeClient) -> None:
    api.cut_watches = True
    clock = FakeClock()
    reflector = Reflector(client, Store(NODES), clock, no_jitter, options=ReflectorOptions(shortest_watch_s=1.0))
    assert reflector.turn() == 0.5
    assert reflector.turn() == 1.0


def test_a_reflector_starts_once(client: KubeClient) -> None:
    with reflecting(client) as reflector, pytest.raises(RuntimeError, match="before"):
        reflector.start()


def told(stream: io.StringIO) -> list[str]:
    """Levels and events of the lines that were logged."""
    return [f"{line['level']} {line['event']}" for line in map(json.loads, stream.getvalue().splitlines())]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where our log lines go during a test."""
    lines = io.StringIO()
    handler = configure(as_json=True, level="INFO", stream=lines)
    yield lines
    logging.getLogger(ROOT).removeHandler(handler)


def test_silence_about_a_kind_without_objects_is_no_fault(api: FakeApi, client: KubeClient, stream: io.StringIO) -> None:
    """A real API server sends no bookmark of a kind of which it never saw an object."""
    api.silent = True
    with reflecting(client) as reflector:
        assert eventually(lambda: reflector.relists >= 3)
        assert reflector.store.synced
    assert told(stream) == []


def test_a_kind_that_was_never_there_is_told_once_and_is_no_warning(
    api: FakeApi, client: KubeClient, stream: io.StringIO
) -> None:
    refused = api.refuse(404, left=10**6, part="workloadclasses")
    options = replace(QUICK, absent_s=0.05)
    with reflecting(client, options, Store(CLASSES)) as reflector:
        assert eventually(lambda: reflector.missing and reflector.store.synced)
        asked = len(api.asked("LIST"))
        assert eventually(lambda: len(api.asked("LIST")) > asked + 3)
        refused.left = 0
        api.put("/apis/heatdispatch.io/v1alpha1/workloadclasses/batch", {})
        assert eventually(lambda: names(reflector) == {"batch"})
    assert told(stream) == ["info kind is not installed"]
