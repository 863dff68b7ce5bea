"""Two installations: the one that stands by is heard, and gone when it is no longer heard."""

from __future__ import annotations

import pytest
from fake_api import FakeApi
from runtime_world import FakeClock

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.lease import Contest, LeaseRecord, LeaseTimes
from scheduler.adapters.kubernetes.runtime.neighbours import EVERY_S, GONE_S, Neighbours

LEASE = ("kube-system", "heat-dispatch-standby")
TIMES = LeaseTimes()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leader(client: KubeClient, clock: FakeClock) -> Neighbours:
    return Neighbours(client, clock, lease=LEASE, installation="heat-dispatch")


@pytest.fixture
def standby(client: KubeClient, clock: FakeClock) -> Neighbours:
    return Neighbours(client, clock, lease=LEASE, installation="heat-too")


def together(clock: FakeClock, leader: Neighbours, standby: Neighbours, rounds: int = 2) -> None:
    for _ in range(rounds):
        standby.turn(leading=False, stranger="heat-dispatch")
        leader.turn(leading=True, stranger="")
        clock.now_s += EVERY_S


def test_a_leader_alone_hears_nobody_and_writes_nothing(api: FakeApi, clock: FakeClock, leader: Neighbours) -> None:
    for _ in range(3):
        leader.turn(leading=True, stranger="")
        clock.now_s += EVERY_S
    assert (leader.other, api.writes()) == ("", [])


def test_both_know_of_each_other(clock: FakeClock, leader: Neighbours, standby: Neighbours) -> None:
    together(clock, leader, standby)
    assert (leader.other, standby.other) == ("heat-too", "heat-dispatch")


def test_a_replica_beside_the_leader_hears_the_other_installation_too(
    client: KubeClient, clock: FakeClock, standby: Neighbours, caplog: pytest.LogCaptureFixture
) -> None:
    sibling = Neighbours(client, clock, lease=LEASE, installation="heat-dispatch")
    for _ in range(2):
        standby.turn(leading=False, stranger="heat-dispatch")
        caplog.clear()
        sibling.turn(leading=False, stranger="")
        clock.now_s += EVERY_S
    assert sibling.other == "heat-too"
    assert "another installation is in this cluster, it only observes" in caplog.text


def test_a_sign_of_life_from_long_ago_is_none(clock: FakeClock, leader: Neighbours, standby: Neighbours) -> None:
    """What lies there at the leader's first look may be a year old."""
    standby.turn(leading=False, stranger="heat-dispatch")
    leader.turn(leading=True, stranger="")
    assert leader.other == ""


def test_an_installation_that_is_no_longer_heard_is_gone(clock: FakeClock, leader: Neighbours, standby: Neighbours) -> None:
    together(clock, leader, standby)
    clock.now_s += GONE_S
    leader.turn(leading=True, stranger="")
    assert leader.other == ""


def test_who_takes_over_does_not_hear_himself(clock: FakeClock, leader: Neighbours, standby: Neighbours) -> None:
    together(clock, leader, standby)
    standby.turn(leading=True, stranger="")
    assert standby.other == ""


def test_what_is_refused_changes_nothing(api: FakeApi, clock: FakeClock, leader: Neighbours, standby: Neighbours) -> None:
    together(clock, leader, standby)
    api.refuse(403, part="leases", left=4)
    together(clock, leader, standby)
    assert (leader.other, standby.other) == ("heat-too", "heat-dispatch")


def contest(installation: str, record: LeaseRecord) -> Contest:
    """A candidate that has seen a Lease at 0 s."""
    made = Contest("a", TIMES, installation)
    made.saw(record, 0.0)
    return made


@pytest.mark.parametrize("lease_s", [1.0, 12.0, None])
def test_another_installations_lease_is_taken_after_five_minutes(lease_s: float | None) -> None:
    """Also when it was released: an upgrade releases it too."""
    made = contest("heat-too", LeaseRecord(version="1", holder="", lease_s=lease_s, installation="heat-dispatch"))
    assert made.stranger == "heat-dispatch"
    assert made.bid(299.9) is None
    assert made.bid(300.0) is not None


@pytest.mark.parametrize("installation", ["", "heat-dispatch"])
def test_ones_own_and_an_unnamed_lease_are_taken_after_their_length(installation: str) -> None:
    made = contest("heat-dispatch", LeaseRecord(version="1", holder="b", lease_s=12.0, installation=installation))
    assert made.stranger == ""
    assert made.bid(11.9) is None
    assert made.bid(12.0) is not None


def test_a_longer_lease_of_another_installation_is_respected() -> None:
    made = contest("heat-too", LeaseRecord(version="1", holder="b", lease_s=900.0, installation="heat-dispatch"))
    assert made.bid(899.0) is None
