"""The one door: reach, rate and fence are asked before every request, also before every repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_api import FakeApi
from hypothesis import given
from hypothesis import strategies as st
from runtime_world import FakeClock

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import Conflict, Forbidden, Invalid, TooManyRequests, Unreachable
from scheduler.adapters.kubernetes.runtime.fence import Fence, Fenced, NeverFence, Term, Unfenced
from scheduler.adapters.kubernetes.runtime.kinds import EVENTS, JOBS, PLANS, WORKLOADS
from scheduler.adapters.kubernetes.runtime.limiter import TokenBucket, WriteLimiter
from scheduler.adapters.kubernetes.runtime.writer import Congested, OutOfReach, Patience, Reach, Writer, covers

JOB = "/apis/batch/v1/namespaces/team/jobs/train"
WORKLOAD = "/apis/kueue.x-k8s.io/v1beta2/namespaces/team/workloads/w"
GO = {"spec": {"suspend": False}}


def writer(
    client: KubeClient,
    reach: Reach = Reach.FULL,
    fence: Fence | None = None,
    clock: FakeClock | None = None,
    patience: Patience | None = None,
) -> Writer:
    clock = clock or FakeClock()
    limiter = WriteLimiter(clock, clock.sleep)
    return Writer(client, fence or Unfenced(), limiter, clock.sleep, reach=lambda: reach, patience=patience)


def test_a_patch_is_sent_and_counted(api: FakeApi, client: KubeClient) -> None:
    door = writer(client)
    door.patch(JOBS, api.put(JOB, {"spec": {"suspend": True}}), GO)
    assert api.objects[JOB]["spec"]["suspend"] is False
    assert door.counts.all() == {("patch", "jobs", "done"): 1}
    assert door.counts.done() == 1


@pytest.mark.parametrize(
    ("reach", "lets_go", "allowed"),
    [
        (Reach.DRY, False, False),
        (Reach.DRY, True, False),
        (Reach.LETTING_GO, False, False),
        (Reach.LETTING_GO, True, True),
        (Reach.FULL, False, True),
        (Reach.FULL, True, True),
    ],
)
def test_reach_over_other_peoples_objects(api: FakeApi, client: KubeClient, reach: Reach, lets_go: bool, allowed: bool) -> None:
    door, seen = writer(client, reach), api.put(JOB, {"spec": {"suspend": True}})
    if allowed:
        door.patch(JOBS, seen, GO, lets_go=lets_go)
    else:
        with pytest.raises(OutOfReach):
            door.patch(JOBS, seen, GO, lets_go=lets_go)
    assert len(api.writes()) == int(allowed)


def test_a_dry_writer_writes_our_own_kinds_and_events(api: FakeApi, client: KubeClient) -> None:
    door = writer(client, Reach.DRY)
    door.apply(PLANS, {"status": {}}, "site", "status")
    door.create(EVENTS, {"metadata": {"name": "e"}}, "team")
    with pytest.raises(OutOfReach):
        door.create(JOBS, {"metadata": {"name": "j"}}, "team")
    with pytest.raises(OutOfReach):
        door.delete(JOBS, api.put(JOB, {}))
    with pytest.raises(OutOfReach):
        door.apply_part(WORKLOADS, api.put(WORKLOAD, {}), {"status": {}}, subresource="status")
    assert {request.path.rpartition("/")[0] for request in api.writes()} == {
        "/apis/heatdispatch.io/v1alpha1/dispatchplans/site",
        "/api/v1/namespaces/team",
    }


def test_a_policy_can_only_narrow_the_reach(api: FakeApi, client: KubeClient) -> None:
    seen = api.put(JOB, {})
    with pytest.raises(OutOfReach):
        writer(client, Reach.FULL).within(lambda: Reach.DRY).patch(JOBS, seen, GO)
    with pytest.raises(OutOfReach):
        writer(client, Reach.DRY).within(lambda: Reach.FULL).patch(JOBS, seen, GO)
    door = writer(client)
    door.within(lambda: Reach.FULL).patch(JOBS, seen, GO)
    assert door.counts.done() == 1


def test_foreign_kinds_cannot_be_applied_as_ours(client: KubeClient) -> None:
    with pytest.raises(ValueError, match="not ours"):
        writer(client).apply(JOBS, {}, "train")


def test_a_standby_sends_nothing(api: FakeApi, client: KubeClient) -> None:
    door = writer(client, fence=NeverFence())
    with pytest.raises(Fenced):
        door.patch(JOBS, api.put(JOB, {}), GO)
    assert not api.writes()
    assert door.counts.all() == {("patch", "jobs", "fenced"): 1}


def test_the_fence_must_outlast_the_request(api: FakeApi, client: KubeClient) -> None:
    """Timeouts of 2 s to connect and 2 s to read: a lease sure for 4 s more is not enough, for 4.1 s it is."""
    clock = FakeClock()
    seen = api.put(JOB, {})
    with pytest.raises(Fenced):
        writer(client, fence=Term(1, clock, 4.0), clock=clock).patch(JOBS, seen, GO)
    writer(client, fence=Term(1, clock, 4.1), clock=clock).patch(JOBS, seen, GO)
    assert len(api.writes()) == 1


def test_the_fence_is_asked_after_waiting_for_a_turn(api: FakeApi, client: KubeClient) -> None:
    """A lease that runs out while a write waits for its token keeps the write from being sent."""
    clock = FakeClock()
    limiter = WriteLimiter(clock, clock.sleep, rate_per_s=0.1, burst=1.0)
    door = Writer(client, Term(1, clock, 9.0), limiter, clock.sleep, reach=lambda: Reach.FULL)
    door.patch(JOBS, api.put(JOB, {}), GO)
    with pytest.raises(Fenced):
        door.patch(JOBS, api.objects[JOB], GO)
    assert clock.now_s == 10.0
    assert len(api.writes()) == 1


class LateFence(Unfenced):
    """Gives leave, and takes it back when asked again: a process that was stopped in between."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def holds(self, for_s: float) -> bool:
        self.asked.append(for_s)
        return False


def test_the_fence_has_the_last_word_between_head_and_body(api: FakeApi, client: KubeClient) -> None:
    """The server gets a head that promises a body, and then the connection ends: it does nothing."""
    fence = LateFence()
    door, seen = writer(client, fence=fence), api.put(JOB, {"spec": {"suspend": True}})
    attempts: list[Callable[[], object]] = [
        lambda: door.patch(JOBS, seen, GO),
        lambda: door.delete(JOBS, seen),
        lambda: door.create(JOBS, {"metadata": {"name": "new"}}, "team"),
        lambda: door.apply(PLANS, {}, "site"),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced, match="while the request was being sent"):
            attempt()
    assert fence.asked == [2.0] * 4  # the time that the server may take
    assert list(api.objects) == [JOB]
    assert api.objects[JOB] == seen
    assert not api.writes()
    # The connection that was left in the middle is not used again.
    assert client.get(JOBS, "train", "team") == seen


def test_too_many_requests_is_waited_out_with_the_fence_asked_again(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    api.refuse(429, verb="PATCH", headers={"Retry-After": "3"})
    writer(client, clock=clock).patch(JOBS, api.put(JOB, {}), GO)
    assert clock.now_s == 3.0
    api.refuse(429, verb="PATCH", headers={"Retry-After": "3"})
    with pytest.raises(Fenced):
        writer(client, fence=Term(1, clock, 9.5), clock=clock).patch(JOBS, api.objects[JOB], GO)


def test_retry_after_holds_up_every_other_write(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    door = writer(client, clock=clock, patience=Patience(too_many_tries=1))
    seen = api.put(JOB, {})
    api.refuse(429, verb="PATCH", headers={"Retry-After": "5"})
    with pytest.raises(TooManyRequests):
        door.patch(JOBS, seen, GO)
    assert not door.spare()
    door.apply(PLANS, {"status": {}}, "site")
    assert clock.now_s == 5.0


def test_a_retry_after_beyond_patience_is_told(api: FakeApi, client: KubeClient) -> None:
    api.refuse(429, verb="PATCH", headers={"Retry-After": "600"})
    with pytest.raises(TooManyRequests) as caught:
        writer(client).patch(JOBS, api.put(JOB, {}), GO)
    assert caught.value.after_s == 600.0


def test_a_403_for_a_moment_is_survived_and_a_lasting_one_told(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    door = writer(client, clock=clock)
    api.refuse(403, verb="PATCH", left=2)
    door.patch(JOBS, api.put(JOB, {}), GO)
    assert clock.now_s == pytest.approx(0.7)  # 0.2 + 0.5
    api.refuse(403, verb="PATCH", left=9)
    with pytest.raises(Forbidden):
        door.patch(JOBS, api.objects[JOB], GO)
    assert door.counts.all()["patch", "jobs", "forbidden"] == 2 + 4


@pytest.mark.parametrize(("status", "kind"), [(409, Conflict), (422, Invalid), (500, Unreachable)])
def test_other_refusals_are_told_at_once(api: FakeApi, client: KubeClient, status: int, kind: type[Exception]) -> None:
    """A conflict means "look again"; a write without an answer may have been done: both are for the next look."""
    api.refuse(status, verb="PATCH", left=9)
    with pytest.raises(kind):
        writer(client).patch(JOBS, api.put(JOB, {}), GO)
    assert len(api.writes()) == 1


def test_congestion_is_told(client: KubeClient) -> None:
    clock = FakeClock()
    limiter = WriteLimiter(clock, clock.sleep, rate_per_s=0.01, burst=1.0)
    door = Writer(client, Unfenced(), limiter, clock.sleep, reach=lambda: Reach.FULL)
    door.apply(PLANS, {}, "site")
    with pytest.raises(Congested):
        door.apply(PLANS, {}, "site")


def test_nothing_is_written_where_nothing_changes(api: FakeApi, client: KubeClient) -> None:
    door = writer(client)
    body: dict[str, Any] = {"status": {"held": 3, "conditions": [{"type": "Ready", "status": "True"}]}}
    first = door.apply(PLANS, body, "site", "status")
    assert first is not None
    assert door.apply(PLANS, body, "site", "status", seen=first) is None
    assert len(api.writes()) == 1
    assert door.apply(PLANS, {"status": {"held": 4}}, "site", "status", seen=first) is not None
    assert door.within(lambda: Reach.DRY).apply(PLANS, body, "site", "status", seen=first) is not None
    assert door.apply(PLANS, body, "site", "status", seen=first) is None
    # Somebody else has changed it: it is brought back.
    assert door.apply(PLANS, body, "site", "status", seen={**first, "status": {"held": 9}}) is not None
    # Unseen, it may have been deleted.
    assert door.apply(PLANS, body, "site", "status") is not None
    assert door.counts.all()["apply", "dispatchplans", "unchanged"] == 2


def test_a_field_that_is_no_longer_applied_is_written_away(api: FakeApi, client: KubeClient) -> None:
    door = writer(client)
    seen = door.apply(PLANS, {"status": {"a": 1, "b": 2}}, "site", "status")
    assert door.apply(PLANS, {"status": {"a": 1}}, "site", "status", seen=seen) is not None


def test_apply_part_carries_what_was_seen(api: FakeApi, client: KubeClient) -> None:
    door, seen = writer(client), api.put(WORKLOAD, {"status": {}})
    part = {"status": {"admissionChecks": [{"name": "heat", "state": "Ready"}]}}
    door.apply_part(WORKLOADS, seen, part, subresource="status")
    sent = api.writes()[-1]
    assert sent.path == f"{WORKLOAD}/status"
    assert sent.body["metadata"] == {
        "name": "w",
        "namespace": "team",
        "uid": seen["metadata"]["uid"],
        "resourceVersion": seen["metadata"]["resourceVersion"],
    }
    with pytest.raises(Conflict):
        door.apply_part(WORKLOADS, seen, part, subresource="status")


def test_covers() -> None:
    assert covers({"a": 1, "b": 2}, {"a": 1})
    assert covers({"a": ({"x": 1, "y": 2},)}, {"a": [{"x": 1}]})
    assert not covers({"a": [1, 2]}, {"a": [1]})
    assert not covers(None, {"a": 1})
    assert covers({}, {"a": None})


def test_the_bucket_gives_its_rate_and_no_more() -> None:
    """Burst 5 at 2 per second: 5 at once, then one each half second; in 10 s no more than 5 + 20."""
    bucket = TokenBucket(2.0, 5.0, 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(0.0) == 0.5
    taken, now_s = 5, 0.0
    while now_s < 10.0:
        now_s += 0.01
        taken += bucket.take(now_s) == 0.0
    assert taken == 25


@given(
    rate_per_s=st.floats(0.5, 50.0),
    burst=st.floats(1.0, 50.0),
    steps=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=200),
)
def test_no_pattern_of_asking_gets_more_than_the_rate(rate_per_s: float, burst: float, steps: list[float]) -> None:
    bucket, now_s, taken = TokenBucket(rate_per_s, burst, 0.0), 0.0, 0
    for step_s in steps:
        now_s += step_s
        taken += bucket.take(now_s) == 0.0
    assert taken <= burst + rate_per_s * now_s + 1e-6


def test_a_clock_that_stands_or_a_closed_bucket_gives_nothing() -> None:
    bucket = TokenBucket(1.0, 1.0, 10.0)
    bucket.close(15.0)
    assert bucket.take(12.0) == 3.0
    assert bucket.take(15.0) == 0.0
    assert bucket.take(14.0) > 0.0
    with pytest.raises(ValueError, match="rate_per_s"):
        TokenBucket(0.0, 1.0, 0.0)


def test_what_can_wait_leaves_half_the_burst() -> None:
    clock = FakeClock()
    limiter = WriteLimiter(clock, clock.sleep, rate_per_s=20.0, burst=20.0)
    assert sum(limiter.spare() for _ in range(20)) == 10
    assert all(limiter.wait(0.0) for _ in range(10))
    assert not limiter.wait(0.0)


def test_a_process_that_is_to_stop_waits_for_nothing(api: FakeApi, client: KubeClient) -> None:
    clock = FakeClock()
    limiter = WriteLimiter(clock, lambda _s: True, rate_per_s=1.0, burst=1.0)
    assert limiter.wait(10.0)
    assert not limiter.wait(10.0)
    door = Writer(client, Unfenced(), WriteLimiter(clock, lambda _s: True), lambda _s: True, reach=lambda: Reach.FULL)
    api.refuse(403, verb="PATCH", left=9)
    with pytest.raises(Forbidden):
        door.patch(JOBS, api.put(JOB, {}), GO)
    assert len(api.writes()) == 1
