"""Room on nodes is counted once and never given away twice."""

from __future__ import annotations

from dataclasses import replace

from kube_world import POOLS, job, node, pod, view

from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Seen, elsewhere
from scheduler.adapters.kubernetes.runtime.store import Store
from scheduler.domain.time import utc
from scheduler.entrypoints.operator.rooms import BORN_S, Rooms


class Clock:
    """Moved by hand."""

    now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


def put(store: Store, *objects: dict[str, object]) -> None:
    """Fill a store."""
    for obj in objects:
        store.put(store.frozen(dict(obj)))


def world() -> tuple[Stores, Clock, Rooms]:
    """Two free nodes in the north."""
    stores, clock = Stores(), Clock()
    put(stores.nodes, node("n0"), node("n1"))
    return stores, clock, Rooms(stores, clock)


def free(rooms: Rooms) -> int:
    return sum(room.gpus_free for room in rooms(POOLS))


def test_what_was_just_released_takes_its_room_before_its_pods_are_there() -> None:
    _, clock, rooms = world()
    assert free(rooms) == 16
    rooms.placed(view(job(gpus=8)), "north")
    assert free(rooms) == 8
    clock.now_s += BORN_S + 1.0
    assert free(rooms) == 16


def test_pods_that_are_there_take_it_themselves() -> None:
    stores, clock, rooms = world()
    released = view(job(gpus=8))
    rooms.placed(released, "north")
    born = pod("n0")
    owner = {"kind": "Job", "name": "train", "uid": released.job["metadata"]["uid"], "controller": True}
    born["metadata"]["ownerReferences"] = [owner]
    put(stores.pods, born)
    clock.now_s += 2.0
    assert free(rooms) == 8
    put(stores.pods, {**born, "status": {"phase": "Succeeded"}})
    clock.now_s += 2.0
    assert free(rooms) == 16


def test_a_pod_that_waits_for_a_node_comes_first() -> None:
    stores, _, rooms = world()
    put(stores.pods, pod(None, uid="waits"))
    assert free(rooms) == 8


def test_a_count_holds_for_a_second() -> None:
    stores, clock, rooms = world()
    assert free(rooms) == 16
    put(stores.nodes, node("n2"))
    assert free(rooms) == 16
    clock.now_s += 1.5
    assert free(rooms) == 24


def test_a_job_of_another_policys_pool_is_no_load_of_this_one() -> None:
    pinned = job(suspend=False)
    pinned["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "west"}
    there, here = view(pinned), view(job(name="mine"))
    assert elsewhere(there)
    assert not elsewhere(here)
    seen = Seen(now_utc=utc("2026-01-14T10:00Z"), views={"a": there, "b": replace(here)})
    assert [state.job.job_id for state in seen.states()] == [here.job_id]
