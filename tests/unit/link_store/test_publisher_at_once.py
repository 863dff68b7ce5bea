"""A cycle that publishes and a timer that withdraws, at the same time: what is good is not taken back by who is late."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from types import TracebackType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_offers import NOON, TOWN, HandClock, offer, promise, sign

from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.publisher import SETTLED_S, StoredPublisher
from scheduler.domain.link_life import OperatorLife
from scheduler.domain.snapshot import Commitment

WAIT_S = 30.0
NUMBERS = count(1)


class WatchedLock:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self) -> None:
        self._lock, self.waited_for = threading.Lock(), threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.waited_for.set()
            self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinkStore]:
    found = LinkStore(str(tmp_path_factory.mktemp("link") / "link.sqlite"))
    yield found
    found.close()


class Desk:
    """A policy of one customer of its own, on a store that others use as well."""

    def __init__(self, store: LinkStore) -> None:
        self.store, self.name, self.clock = store, f"town-{next(NUMBERS)}", HandClock()
        self.site, self.letting_go = f"site-{self.name}", True
        self.publisher, self.lock = self.made(), WatchedLock()
        self.publisher._saying = self.lock  # type: ignore[assignment] # tells what a lock does not

    def sign(self, term: int = 1) -> OperatorLife:
        return replace(sign(term, f"r{term}"), site_id=self.site, offtakes=(replace(TOWN, offtake_id=self.name),))

    def made(self, term: int = 1) -> StoredPublisher:
        return StoredPublisher(self.store, self.clock, lambda: self.sign(term), lambda: self.sign().offtakes)

    def publish(self, heat_kw: float = 100.0) -> None:
        asyncio.run(self.publisher.publish([offer(heat_kw, offtake_id=self.name)], ()))

    def withdraw(self) -> None:
        self.publisher.withdraw("all is let go", lambda: self.letting_go)

    def kinds(self) -> list[object]:
        kept = self.store.messages_between(self.name, NOON.replace(hour=0), NOON.replace(day=20))
        return [one.payload["kind"] for one in kept]


def test_a_good_schedule_that_came_while_somebody_withdrew_comes_after_the_cancel(store: LinkStore) -> None:
    """He has asked, all is let go, and waits; the cycle may not say anything between his question and his word."""
    desk, asked, go = Desk(store), threading.Event(), threading.Event()
    desk.publish(50.0)
    desk.clock.pass_s(SETTLED_S)

    def still() -> bool:
        asked.set()
        assert go.wait(WAIT_S)
        return True

    timer = threading.Thread(target=lambda: desk.publisher.withdraw("all is let go", still))
    timer.start()
    assert asked.wait(WAIT_S)
    cycle = threading.Thread(target=desk.publish)
    cycle.start()
    assert desk.lock.waited_for.wait(WAIT_S)
    assert desk.kinds() == ["plan"]
    go.set()
    for thread in (timer, cycle):
        thread.join(WAIT_S)
    assert desk.kinds() == ["plan", "cancel", "plan"]


def test_who_waited_for_a_cycle_asks_again_and_takes_nothing_back(store: LinkStore, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, within, go = Desk(store), threading.Event(), threading.Event()
    issue = LinkStore.issue

    def slow(*arguments: object, **named: object) -> object:
        within.set()
        assert go.wait(WAIT_S)
        return issue(*arguments, **named)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(LinkStore, "issue", slow)
    cycle = threading.Thread(target=desk.publish)
    cycle.start()
    assert within.wait(WAIT_S)
    timer = threading.Thread(target=desk.withdraw)
    timer.start()
    assert desk.lock.waited_for.wait(WAIT_S)
    go.set()
    for thread in (cycle, timer):
        thread.join(WAIT_S)
    assert desk.kinds() == ["plan"]


def test_what_a_cycle_offered_stands_until_it_has_told_that_letting_go_is_over(store: LinkStore) -> None:
    """The ledger is slow: the cycle has published, and its flag still says what was before."""
    desk = Desk(store)
    desk.publish()
    desk.withdraw()
    assert desk.kinds() == ["plan"]
    desk.letting_go = False
    desk.clock.pass_s(SETTLED_S)
    desk.withdraw()
    assert desk.kinds() == ["plan"]
    desk.letting_go = True
    desk.withdraw()
    assert desk.kinds() == ["plan", "cancel"]


def test_a_cycle_that_lets_go_itself_is_taken_at_its_word(store: LinkStore) -> None:
    desk = Desk(store)
    desk.publish()
    asyncio.run(desk.publisher.publish([], ()))
    desk.withdraw()
    assert desk.kinds() == ["plan", "cancel"]


STEPS = st.lists(st.tuples(st.sampled_from(["publish", "withdraw", "lead"]), st.integers(0, 2), st.integers(1, 6)), max_size=8)


@settings(max_examples=20, deadline=None)
@given(steps=STEPS)
def test_whoever_says_what_each_sequence_is_drawn_once_and_no_promise_is_lost(
    store: LinkStore, steps: list[tuple[str, int, int]]
) -> None:
    """Three replicas, of which each may believe that it leads; only who does is heard, and what he promised is kept."""
    desk = Desk(store)
    publishers, leads = {term: desk.made(term) for term in (1, 2, 3)}, store.take_over(desk.sign())
    told: list[Commitment] = []
    for what, index, number in steps:
        term = index + 1
        if what == "lead":
            while leads < term:
                leads = store.take_over(desk.sign(term))
        if what == "lead" or term > leads:
            continue
        owed = replace(promise(number, float(10 * number)), offtake_id=desk.name)
        before = store.newest().get(desk.name)
        if what == "publish":
            made = asyncio.run(publishers[term].publish([offer(40.0 + number, offtake_id=desk.name)], (), [owed]))
            told += [owed] if made else []
        else:
            desk.clock.pass_s(SETTLED_S)
            made = publishers[term].withdraw("all is let go", lambda: True)
        if term < leads:
            assert made == ()
            assert store.newest().get(desk.name) == before
    kept = store.messages_between(desk.name, NOON.replace(hour=0), NOON.replace(day=20))
    assert [one.sequence for one in kept] == list(range(1, len(kept) + 1))
    found = store.commitments([desk.name], NOON, NOON.replace(day=20))
    assert {one.start_utc for one in told} <= {one.start_utc for one in found}
