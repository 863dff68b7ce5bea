"""Who acts: a leader that was stopped past its lease, a second installation, rights that are gone, a clock that is set."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from kube_objects import running_pods
from led_world import (
    LEASE,
    SOON_S,
    WallClock,
    audit_end,
    lawful,
    leads,
    led,
    mark,
    metric,
    role,
    standing,
    taken_up,
    told,
    wall_clock,
    writes_of,
)
from operated import LAB, Operated, Replica, grant, until_utc

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object

FIRST, SECOND, OTHER = "replica-0", "replica-1", "replica-2"
MINUTES = 60


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock | None:
    """The wall clock of all operators here; None where there is no C compiler."""
    return wall_clock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def world(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory, clock: WallClock | None) -> Iterator[Operated]:
    """Two replicas of one installation, of which the first leads, and one of another installation."""
    with pytest.MonkeyPatch.context() as patch, led(toolbox, tmp_path_factory.mktemp("led")) as found:
        for name, value in ({} if clock is None else clock.environment).items():
            patch.setenv(name, value)
        first = found.replica()
        found.cluster.wait("a first plan", lambda: found.plan().get("planId"), SOON_S)
        second = found.replica()
        other = found.replica("--namespace", "heat-too")
        assert leads(first)
        found.cluster.wait("standbys", lambda: all("replica-0" in role(one) for one in (second, other)), SOON_S)
        yield found


def test_a_second_installation_only_observes_and_both_say_so(world: Operated) -> None:
    first, second, other = world.replicas
    assert role(second) == "standby, replica-0 leads"
    world.cluster.wait("its own word", lambda: told(other, "another installation leads, this one only observes"), SOON_S)
    assert role(other) == "standby, replica-0 of the installation in namespace heat-dispatch leads"
    world.cluster.wait("the leader's word", lambda: told(first, "another installation is in this cluster", "heat-too"), SOON_S)
    found = world.cluster.wait(
        "a condition", lambda: standing(world, "OnlyOperator")["status"] == "False" and standing(world, "OnlyOperator"), SOON_S
    )
    assert (found["reason"], "namespace heat-too" in found["message"]) == ("AnotherInstallation", True)
    assert [metric(one, "other_installation") for one in (first, other)] == [1.0, 1.0]
    world.submit("guarded")
    world.cluster.wait("a hold", lambda: world.held("guarded"))
    assert writes_of(world, OTHER) == []


def test_a_leader_that_was_stopped_past_its_lease_writes_nothing_more(world: Operated) -> None:
    """His own replicas follow after 12 s; another installation after five minutes, longer than any upgrade takes."""
    first, second, other = world.replicas
    names = [f"many-{number}" for number in range(40)]
    for name in names:
        world.submit(name, gpus=1)
    # Two seconds of writes are in its hands, and it is stopped in the middle of them.
    world.cluster.wait("a first hold", lambda: world.held(names[0]))
    first.signal(signal.SIGSTOP)
    world.cluster.wait("a new leader", lambda: leads(second), SOON_S)
    world.cluster.wait("holds by the new one", lambda: all(world.held(name) for name in names), SOON_S)
    # What the first one has planned is no longer wanted.
    world.policy(mode="Observe")
    world.cluster.wait("releases", lambda: not any(world.job(name)["spec"]["suspend"] for name in names), SOON_S)
    since, line = audit_end(world), mark(first)
    first.signal(signal.SIGCONT)
    world.cluster.wait("its standing down", lambda: told(first, "no longer leading", since=line), SOON_S)
    world.cluster.wait("its being a standby", lambda: role(first) == "standby, replica-1 leads", SOON_S)
    world.policy(mode="Dispatch")
    world.cluster.wait("its being taken up", lambda: taken_up(world, "Dispatch"), SOON_S)
    world.submit("after")
    world.cluster.wait("a hold by the new one", lambda: world.held("after"), SOON_S)
    # At most the head of a request whose body it kept back: the API server answers 500 and has done nothing.
    assert [(one.what, one.code) for one in writes_of(world, FIRST, since) if one.code != 500] == []
    assert {one.agent for one in world.written() if one.name == "after"} == {f"heat-dispatch ({SECOND})"}
    assert not told(first, " error ", since=line)
    assert not told(first, " failed ", since=line)
    assert world.cluster.admin.get(LEASE)["metadata"]["annotations"] == {"heatdispatch.io/installation": "heat-dispatch"}
    assert (writes_of(world, OTHER), metric(other, "leader")) == ([], 0.0)


def test_a_right_that_is_taken_away_is_named_and_the_rest_goes_on(world: Operated) -> None:
    leader = world.replicas[1]
    line = mark(leader)
    grant(world.cluster, without(world, "ClusterRole", "jobs", "patch"))
    world.submit("powerless", gpus=1)
    world.cluster.wait("a word", lambda: told(leader, "a right is missing", 'right="patch jobs.batch"', since=line), SOON_S)
    world.cluster.wait("a condition", lambda: "patch jobs.batch" in (standing(world, "Permitted")["message"] or ""), SOON_S)
    assert standing(world, "Permitted")["status"] == "False"
    assert 'heatdispatch_right_missing{resource="jobs.batch",verb="patch"} 1.0' in leader.page("/metrics")
    assert "rights: missing: patch jobs.batch" in leader.page("/readyz?verbose")
    planned = world.plan()["planId"]
    world.policy(mode="Advise")
    world.cluster.wait("a plan", lambda: world.plan()["mode"] == "Advise", SOON_S)
    world.policy(mode="Dispatch")
    world.cluster.wait("a plan", lambda: world.plan()["mode"] == "Dispatch", SOON_S)
    assert planned
    assert len(told(leader, "a right is missing", since=line)) == 1

    grant(world.cluster, role_of(world, "ClusterRole"))
    world.cluster.wait("a hold", lambda: world.held("powerless"), SOON_S)
    assert told(leader, "a right was given back", since=line)
    world.cluster.wait("a condition", lambda: standing(world, "Permitted")["status"] == "True", SOON_S)
    assert "right_missing{" not in leader.page("/metrics")


def test_who_may_not_renew_the_lease_stands_down_and_who_may_not_read_never_leads(world: Operated) -> None:
    leader, line = world.replicas[1], mark(world.replicas[1])
    grant(world.cluster, without(world, "Role", "leases", "update"))
    grant(world.cluster, without(world, "ClusterRole", "pods", "list"))
    blind = world.replica()
    world.cluster.wait("its standing down", lambda: told(leader, "no longer leading", since=line), SOON_S)
    world.cluster.wait("a word", lambda: told(leader, 'right="update leases.coordination.k8s.io"', since=line), SOON_S)
    world.cluster.wait("a word", lambda: told(blind, 'right="list pods"'), SOON_S)
    for name in ("Role", "ClusterRole"):
        grant(world.cluster, role_of(world, name))
    world.cluster.wait("a leader", lambda: any(leads(one) for one in (*world.replicas[:2], blind)), SOON_S)
    assert metric(world.replicas[2], "leader") == 0.0


def role_of(world: Operated, kind: str) -> Object:
    """The role of that kind for the one Lease, or for all of the cluster."""
    roles = [obj for obj in world.rights() if obj["kind"] == kind]
    return next(obj for obj in roles if obj["metadata"]["name"] == "heat-dispatch-operator")


def without(world: Operated, kind: str, resource: str, verb: str) -> Object:
    """The role less one verb on one resource."""
    found = role_of(world, kind)
    rules = []
    for rule in found["rules"]:
        kept = [one for one in rule["verbs"] if one != verb] if resource in rule["resources"] else rule["verbs"]
        rules += [{**rule, "verbs": kept}] if kept else []
    return {**found, "rules": rules}


def test_a_clock_that_is_set_ends_no_lease_and_no_hold_before_its_time(world: Operated, clock: WallClock | None) -> None:
    if clock is None:
        pytest.skip("setting the wall clock of a process needs a C compiler")
    (leader,) = world.cluster.wait("a leader", lambda: [one for one in world.replicas if leads(one)], SOON_S)
    identity, begun = f"replica-{world.replicas.index(leader)}", mark(leader)
    # Waits for room that is not there, three minutes at most; the other one for cheap power, at least until the next hour.
    world.submit("blocker", class_name=None, gpus=8, runs="3600s")
    world.cluster.wait("the blocker", lambda: running_pods(world.cluster, LAB, "blocker"))
    world.submit("short", "soon", gpus=8, pods=3, runs="600s")
    world.submit("long", gpus=1)
    world.cluster.wait("holds", lambda: world.held("long") and world.marks("short").get("hold-reason") == "NoFit")
    ends_utc = until_utc(world.marks("long")["hold-until"])

    set_clock(world, clock, leader, 30 * MINUTES)
    world.cluster.wait("the end of the short hold", lambda: not world.job("short")["spec"]["suspend"], SOON_S)
    assert world.held("long")

    set_clock(world, clock, leader, -120 * MINUTES)
    world.submit("from-the-future", gpus=1)
    world.cluster.wait("a hold", lambda: world.held("from-the-future"))
    assert world.held("long")
    assert abs((until_utc(world.marks("long")["hold-until"]) - ends_utc).total_seconds()) < MINUTES
    since = audit_end(world)
    time.sleep(3.0)
    assert len([one for one in writes_of(world, identity, since) if one.resource == "jobs"]) <= 1

    set_clock(world, clock, leader, 0)
    assert world.held("long")
    assert not told(leader, "no longer leading", since=begun)
    assert not told(leader, "letting go", since=begun)
    assert leads(leader)


def set_clock(world: Operated, clock: WallClock, leader: Replica, ahead_s: int) -> None:
    """Set the clock, and return when the leader has planned by it."""
    line = mark(leader)
    clock.set(ahead_s)
    world.cluster.wait("a plan by the new clock", lambda: told(leader, " cycle ", since=line), SOON_S)


def test_no_law_was_broken_in_all_of_this(world: Operated) -> None:
    lawful(world)
