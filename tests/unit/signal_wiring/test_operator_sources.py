"""The operator's sources: they follow the policies, ask on a thread of their own, and say how they stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from signal_peer import Fault, Page, Peer, signal_peer
from signal_site import SECRET, fixed, page, policy, routes_of, source

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.sources.fixed import FixedSource, constant
from scheduler.adapters.sources.web.client import Unanswered
from scheduler.domain.observed import PRICE
from scheduler.entrypoints.operator.signals import SignalOptions, Signals
from scheduler.ports import SeriesSource

PATIENCE_S = 20.0
NAMES = ("entsoe", "energy_charts")
CLOCK = SystemClock()


@dataclass
class World:
    """Policies, secrets and news of one `Signals`."""

    signals: Signals
    stores: Stores
    metrics: Metrics
    secrets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    news: list[str] = field(default_factory=list)
    generation: int = 1

    def states(self, **chains: list[dict[str, Any]]) -> None:
        """The policy states other sources; none: it is deleted."""
        self.generation += 1
        store = next(one for one in self.stores.policy if one.kind == kinds.POLICIES)
        found = policy(chains)
        found["metadata"] |= {"uid": "u-1", "generation": self.generation, "resourceVersion": str(self.generation)}
        store.replace([store.frozen(found)] if chains else [])

    def wait(self, what: str, done: Callable[[], object]) -> None:
        """Wait until something holds."""
        until = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < until, f"no {what}: {self.condition()}"
            time.sleep(0.02)

    def condition(self) -> Condition:
        """How the policy's sources stand."""
        return next(iter(self.signals.conditions("signals")), Condition(type="None", status=Truth.UNKNOWN, reason="None"))

    def reason(self) -> str:
        """In a word."""
        return self.condition().reason

    def sample(self, name: str, **labels: str) -> float | None:
        """A value as Prometheus would see it."""
        self.signals.gauges()
        return self.metrics.registry.get_sample_value(f"heatdispatch_{name}", labels)


@contextmanager
def running(*files: SeriesSource, cache: Path | None = None) -> Iterator[World]:
    """Run until the block is left, and end within seconds then."""
    stores, metrics, secrets, news = Stores(), Metrics(), dict[str, Mapping[str, str]](), list[str]()

    def credentials(name: str) -> Mapping[str, str]:
        if name not in secrets:
            raise Unanswered(f"there is no Secret {name!r}")
        return secrets[name]

    options = SignalOptions(inside=("127.0.0.1",), cache=cache, look_s=0.05, secret_s=0.05)
    signals = Signals(options, stores, credentials, files=files, clock=CLOCK, metrics=metrics, on_news=news.append)
    stopping = threading.Event()
    thread = threading.Thread(target=signals.run, args=(stopping,))
    thread.start()
    try:
        yield World(signals=signals, stores=stores, metrics=metrics, secrets=secrets, news=news)
    finally:
        stopping.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with signal_peer(routes_of(NAMES, CLOCK.now_utc())) as found:
        yield found


def test_sources_follow_the_policies(peer: Peer) -> None:
    with running() as world:
        assert world.signals.conditions("signals") == ()
        world.states(price=[source("energy_charts", "price", peer.url)])
        world.wait("price", lambda: world.reason() == "AllUsable")
        (reading,) = world.signals.of_all(CLOCK.now_utc())
        assert (reading.quantity, reading.source) == (PRICE, "energy_charts")
        world.wait("news", lambda: world.news == ["signals"])
        assert world.sample("source_fallback_depth", quantity="price") == 0.0
        assert world.sample("source_age_seconds", source="energy_charts", quantity="price") == pytest.approx(
            0.0, abs=PATIENCE_S
        )
        assert world.sample("source_polls_total", source="energy_charts", outcome="good") == 1.0
        world.states()
        world.wait("end", lambda: not world.signals.conditions("signals"))
        assert world.signals.readings("signals", CLOCK.now_utc()) == ()
        assert world.sample("source_fallback_depth", quantity="price") is None


def test_a_secret_that_comes_later_is_taken_up_at_once(peer: Peer) -> None:
    with running() as world:
        world.states(price=[source("entsoe", "price", peer.url), fixed(0.1)])
        world.wait("refusal", lambda: "there is no Secret" in world.condition().message)
        assert world.reason() == "Degraded"
        assert world.condition().status is Truth.TRUE
        assert f"price: fixed is used; entsoe: there is no Secret {SECRET!r}" in world.condition().message
        assert world.sample("source_fallback_depth", quantity="price") == 1.0
        world.secrets[SECRET] = page("entsoe").CREDENTIALS
        world.wait("price", lambda: world.reason() == "AllUsable")
        assert world.sample("source_fallback_depth", quantity="price") == 0.0


def test_a_chain_without_anything_usable_is_told(peer: Peer) -> None:
    def refused(_page: Page) -> Page:
        return 403, {"Content-Type": "text/plain"}, b"no"

    peer.fault = Fault(name="403", bend=refused)
    with running() as world:
        world.states(price=[source("energy_charts", "price", peer.url)])
        world.wait("failure", lambda: world.reason() == "NothingUsable")
        assert world.condition().status is Truth.FALSE
        assert "HTTP 403" in world.condition().message
        assert world.sample("source_fallback_depth", quantity="price") == -1.0
        assert world.news == []


def test_a_file_comes_first_and_is_no_reason_to_complain(peer: Peer) -> None:
    with running(FixedSource("series.csv", PRICE, constant(0.3))) as world:
        world.states(carbon=[source("energy_charts", "carbon", peer.url)])
        world.wait("carbon", lambda: world.reason() == "AllUsable")
        found = {one.quantity: one.source for one in world.signals.of_all(CLOCK.now_utc())}
        assert found == {"price": "series.csv", "carbon": "energy_charts"}


def test_one_that_hangs_keeps_no_news_back() -> None:
    over, pages = threading.Event(), routes_of(("energy_charts", "met_norway"), CLOCK.now_utc())

    def hanging(_query: Mapping[str, str]) -> Page:
        over.wait(PATIENCE_S)
        return 503, {}, b""

    forecast = next(path for path in pages if path.endswith("/compact"))
    with signal_peer({**pages, forecast: hanging}) as peer, running() as world:
        weather = [source("met_norway", "outdoor", peer.url)]
        world.states(price=[source("energy_charts", "price", peer.url)], weather=weather)
        world.wait("price", lambda: world.news == ["signals"])
        assert world.reason() == "Asking"
        assert world.condition().message == "weather: nobody has answered yet"
        # Who stands in for one that still hangs is no first choice.
        world.states(weather=[*weather, fixed(5.0)])
        world.wait("rule", lambda: world.reason() == "Degraded")
        assert world.condition().message == "weather: fixed is used; met_norway has not answered yet"
        # A policy that changes is taken up although somebody still hangs.
        world.states(price=[source("energy_charts", "price", peer.url)])
        world.wait("change", lambda: world.reason() == "AllUsable")
        over.set()


def test_what_was_heard_survives_a_restart(peer: Peer, tmp_path: Path) -> None:
    chain = [source("energy_charts", "price", peer.url)]
    with running(cache=tmp_path) as world:
        world.states(price=chain)
        world.wait("price", lambda: any(tmp_path.iterdir()))
    peer.fault = Fault(name="500", bend=lambda _page: (500, {}, b""))
    with running(cache=tmp_path) as world:
        world.states(price=chain)
        world.wait("price", lambda: world.reason() == "AllUsable")


def test_the_age_that_a_policy_states_is_that_of_the_snapshot(peer: Peer) -> None:
    with running() as world:
        world.states(price=[source("energy_charts", "price", peer.url, maxAge="30h")])
        world.wait("price", lambda: world.reason() == "AllUsable")
        readings = world.signals.readings("signals", CLOCK.now_utc())
        assert world.signals.max_age_s("signals", readings)[PRICE] == 30 * 3600.0
        assert world.signals.max_age_s("other", readings)[PRICE] == 24 * 3600.0
