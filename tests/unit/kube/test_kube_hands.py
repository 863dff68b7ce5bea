"""Which job is looked at first, and that no room is given away twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from kube_world import CLASSES, POOLS, ago, job, node
from small_world import ACTING, small_site

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.marks import HeldBy, Marks
from scheduler.adapters.kubernetes.operator.book import Book, Chapter
from scheduler.adapters.kubernetes.operator.counts import JobKey
from scheduler.adapters.kubernetes.operator.hands import Hands
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.runtime.errors import Conflict, Unreachable
from scheduler.adapters.kubernetes.runtime.events import EventRecorder
from scheduler.adapters.kubernetes.runtime.queue import WorkQueue
from scheduler.adapters.kubernetes.runtime.writer import Writer
from scheduler.adapters.metrics.registry import Metrics
from scheduler.core.acting.intents import intents_of
from scheduler.domain.action import StartJob
from scheduler.domain.site import Site
from scheduler.entrypoints.operator.rooms import Rooms

CLOCK = SystemClock()


def named(name: str, version: str = "1", **more: Any) -> dict[str, Any]:
    obj: dict[str, Any] = dict(job(**more))
    return {**obj, "metadata": {**obj["metadata"], "name": name, "uid": name, "resourceVersion": version}}


def hands_of(stores: Stores, door: object = None) -> tuple[Hands, WorkQueue[JobKey]]:
    queue: WorkQueue[JobKey] = WorkQueue(CLOCK, lambda: 0.5)
    events = EventRecorder(lambda: None, CLOCK)
    return Hands(stores, queue, lambda _desk: cast(Writer | None, door), events, CLOCK, Metrics()), queue


def test_a_new_job_comes_before_a_thousand_others_that_have_moved() -> None:
    stores = Stores()
    hands, queue = hands_of(stores)
    for number in range(1000):
        stores.jobs.put(stores.jobs.frozen(named(f"old-{number}")))
    while hands.work():
        pass
    hands.look_at_all()
    stores.jobs.put(stores.jobs.frozen(named("old-7", "2")))
    stores.jobs.put(stores.jobs.frozen(named("new")))
    first, second = queue.take(0.0), queue.take(0.0)
    assert first is not None
    assert second is not None
    assert (first[2], second[2]) == ("new", "old-0")


class SlowDoor:
    """An API server that takes its time: before it answers the first write, another thread has its turn."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.meanwhile: Callable[[], object] = lambda: None
        self.released: list[str] = []
        self.fault = fault

    def patch(self, kind: object, seen: Any, change: Any, *, subresource: str = "", lets_go: bool = False) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        if change["spec"]["suspend"] is False:
            self.released.append(seen["metadata"]["name"])
        return change


def two_for_one_place(fault: Exception | None = None) -> tuple[Hands, SlowDoor]:
    """Two held jobs of eight GPUs that are to start now, and one node with eight."""
    stores, now_utc = Stores(), CLOCK.now_utc()
    held = Marks(held_by=HeldBy.OPERATOR, held_since_utc=now_utc, hold_until_utc=now_utc.replace(year=now_utc.year + 1))
    stores.nodes.put(stores.nodes.frozen(node("n0")))
    for name in ("a", "b"):
        stores.jobs.put(stores.jobs.frozen(named(name, suspend=True, marks=held, created=now_utc)))
    rules = Governance(policy="p", site=site(), settings=ACTING, pools=POOLS)
    reader = Reader(stores, rules)
    views = reader.seen(now_utc).views.values()
    starts = [StartJob(job_id=view.job_id, pool_id="north", at_utc=ago(minutes=1), cap_w=None) for view in views]
    book = Book()
    book.turn(Chapter(decided_utc=now_utc, plan_id="7f3a", intents=intents_of(starts)))
    rooms, door = Rooms(stores, CLOCK), SlowDoor(fault)
    desk = Desk(
        governance=rules, reader=reader, book=book, rooms=lambda: rooms(POOLS), placed=rooms.placed, unplaced=rooms.unplaced
    )
    hands, _ = hands_of(stores, door)
    door.meanwhile = hands.work
    hands.seat((desk,))
    return hands, door


def site() -> Site:
    """A site with the pools and classes of these objects."""
    found = replace(small_site(pools=2), classes=tuple(CLASSES.values()))
    return replace(
        found, pools=tuple(replace(pool, pool_id=name.pool_id) for pool, name in zip(found.pools, POOLS, strict=True))
    )


def test_room_for_one_is_given_to_one_while_its_release_is_on_its_way() -> None:
    hands, door = two_for_one_place()
    hands.work()
    # The other one was looked at before the first release was answered, and found no room.
    assert door.released == ["a"]


def test_room_of_a_release_that_was_refused_is_free_again() -> None:
    hands, door = two_for_one_place(Conflict("somebody wrote first"))
    door.meanwhile = lambda: None
    hands.work()
    hands.work()
    assert door.released == ["b"]


def test_room_of_a_release_without_an_answer_stays_taken() -> None:
    hands, door = two_for_one_place(Unreachable("no answer"))
    door.meanwhile = lambda: None
    hands.work()
    hands.work()
    assert door.released == []
