"""Room that is spoken for is not given away twice."""

from __future__ import annotations

from typing import Any

from kube_world import ago, job, node, pod, rooms, view

from scheduler.adapters.kubernetes.claims import after_claims, unborn_pods, waiting_pods
from scheduler.adapters.kubernetes.marks import Marks
from scheduler.adapters.kubernetes.pools import fits
from scheduler.adapters.kubernetes.quantities import gang_of_job
from scheduler.adapters.kubernetes.runtime.frozen import freeze

EIGHT = gang_of_job(job())


def owned(uid: str, *, gpus: int = 8) -> dict[str, Any]:
    found = pod(None, uid=uid, gpus=gpus)
    found["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": "j", "controller": True}]
    return found


def test_pods_that_wait_come_first() -> None:
    claims = waiting_pods([owned("a"), owned("b"), owned("c", gpus=0), pod("n0", uid="bound")])
    assert [(claim.gang.pods, claim.gang.gpus_per_pod, claim.pool_id) for claim in claims] == [(2, 8, None)]
    three = rooms(node("n0"), node("n1"), node("n2"))
    assert fits(EIGHT, "north", after_claims(three, claims))
    assert not fits(EIGHT, "north", after_claims(three[:2], claims))


def test_gated_leaving_and_ended_pods_claim_nothing() -> None:
    gated, leaving = owned("a"), owned("b")
    gated["spec"]["schedulingGates"] = [{"name": "later"}]
    leaving["metadata"]["deletionTimestamp"] = "2026-01-14T10:00:00Z"
    assert waiting_pods([gated, leaving]) == ()


def test_a_job_released_a_moment_ago_has_its_place_before_its_pods_are_there() -> None:
    released = Marks(released_utc=ago(seconds=1), pool_id="north")
    claim = unborn_pods(view(job(pods=3, marks=released), pod(None)))
    assert claim is not None
    assert (claim.gang.pods, claim.pool_id) == (2, "north")
    two = rooms(node("n0"), node("n1"), node("s0", "south"))
    after = after_claims(two, [claim])
    assert not fits(EIGHT, "north", after)
    assert fits(EIGHT, "south", after)
    assert unborn_pods(view(job(marks=released), pod("n0"))) is None
    assert unborn_pods(view(job(suspend=True))) is None
    assert unborn_pods(view(job())) is None


def test_more_claims_than_room_leave_nothing_and_no_error() -> None:
    claims = waiting_pods([owned(f"p{index}") for index in range(9)])
    assert [room.gpus_free for room in after_claims(rooms(node("n0"), node("n1")), claims)] == [0, 0]


def test_objects_of_the_cache_read_like_plain_ones() -> None:
    """The runtime's caches hold immutable objects, with tuples for lists."""
    given, on_node = job(pods=2, marks=Marks(released_utc=ago(seconds=1), pool_id="north")), pod("n0")
    assert view(freeze(given), freeze(on_node)).state == view(given, on_node).state
    assert [room.free for room in rooms(freeze(node("n0")), pods=(freeze(on_node),))] == [
        room.free for room in rooms(node("n0"), pods=(on_node,))
    ]
