"""Observe and Advise on a real API server: nothing is held or written but our own kinds and Events; Advise says why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from admission import admit, free_lease
from audit_laws import broken_laws
from kube_objects import HEAT, job, running_pods
from operated import LAB, OPERATOR, Operated, dear_now, operated

from scheduler.adapters.devcluster.audit import AuditEvent
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster, Options

OWN = "heatdispatch.io"
JOBS = {"later": "deferrable", "stops": "stoppable", "plain": None, "typo": "defferable"}
ADVICE = re.compile(
    r"Would be held until [0-9:]{5} UTC(, at the latest .+)?: .*power is .+ \(plan plan-[0-9a-f]{12}(, saves [0-9.]+ EUR)?\)"
)
PAUSE = re.compile(r"Would be paused.* until .+ UTC.*: .+ \(plan plan-[0-9a-f]{12}.*\)")


@pytest.fixture(scope="module")
def world(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A cluster whose one policy observes, with the admission policies in force and power that is dear now."""
    folder = tmp_path_factory.mktemp("modes")
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        cluster.add_nodes(3, 8, {"heatdispatch.io/plug": "loop"})
        with operated(cluster, folder / "operator", "Observe") as found:
            spec = {"flexibility": "preemptible", "maxDelay": "24h", "minRuntime": "1s", "maxPreemptions": 2}
            stoppable = {
                "apiVersion": f"{OWN}/v1alpha1",
                "kind": "WorkloadClass",
                "metadata": {"name": "stoppable"},
                "spec": spec,
            }
            cluster.admin.apply(f"{HEAT}/workloadclasses/stoppable", stoppable)
            admit(cluster)
            free_lease(cluster)
            found.replica()
            cluster.wait("a first plan", lambda: found.plan().get("planId"))
            yield found


def started(world: Operated, mode: str) -> list[str]:
    """Jobs of every kind, made by a user who suspends none of them; returned once all of them run."""
    names = {f"{name}-{mode.lower()}": class_name for name, class_name in JOBS.items()}
    for name, class_name in names.items():
        world.submit(name, class_name, suspend=False, gpus=1, runs="600s")
    world.cluster.wait("running pods", lambda: all(running_pods(world.cluster, LAB, name) for name in names))
    return list(names)


def replanned(world: Operated) -> None:
    """Another price of power than the three dear hours of before, and the plan that follows from it."""
    before, hours = world.plan()["planId"], 4 if world.plan()["mode"] == "Observe" else 2
    world.cluster.admin.patch(f"{HEAT}/sites/quickstart", {"spec": {"electricity": {"bands": dear_now(hours)}}})
    world.cluster.wait("the next plan", lambda: world.plan().get("planId") not in ("", before))


def foreign(wrote: list[AuditEvent]) -> list[str]:
    """What is neither of our kinds, nor an Event, nor the Lease."""
    return [one.what for one in wrote if one.group != OWN and one.resource not in ("events", "leases")]


def advice(world: Operated, name: str) -> list[str]:
    """What the owner of a job was advised."""
    return [one["message"] for one in world.events(name) if one["reason"] == "Advice"]


def test_observing_holds_nothing_and_writes_nothing_foreign(world: Operated) -> None:
    names = started(world, "Observe")
    replanned(world)
    assert foreign(world.written()) == []
    for name in names:
        assert world.job(name)["spec"]["suspend"] is False
        assert set(world.marks(name)) <= {"class", "admitted-as"}
        assert advice(world, name) == []


def test_advising_says_on_each_job_what_dispatch_would_do(world: Operated) -> None:
    world.policy(mode="Advise")
    world.cluster.wait("a plan for it", lambda: world.plan().get("mode") == "Advise")
    names = started(world, "Advise")
    said = world.cluster.wait("advice at its creation", lambda: advice(world, "later-advise"))
    assert ADVICE.fullmatch(said[0]), said
    replanned(world)
    told = world.cluster.wait(
        "advice on a job that runs", lambda: [one for one in advice(world, "stops-observe") if PAUSE.match(one)]
    )
    assert told
    assert advice(world, "plain-advise") == []
    mend = world.cluster.wait("what to mend", lambda: problems(world, "typo-advise"))
    assert mend[0]["message"].endswith("did you mean deferrable?")
    assert foreign(world.written()) == []
    assert not [name for name in names if world.job(name)["spec"]["suspend"]]


def problems(world: Operated, name: str) -> list[Object]:
    """Events on a job that say what its owner could mend."""
    return [one for one in world.events(name) if one["reason"] == "UnknownClass"]


def test_a_job_that_its_owner_left_to_the_plan_is_started_where_nothing_is_held(world: Operated) -> None:
    """The one thing that is written: else it would wait for ever for a plan that is not carried out."""
    before = len(world.written())
    given = job("left", labels={f"{OWN}/class": "deferrable"}, runs="600s")
    given["metadata"]["annotations"] = {f"{OWN}/start": "planned"}
    world.cluster.admin.create(world.jobs, given)
    world.cluster.wait("running pods", lambda: running_pods(world.cluster, LAB, "left"))
    assert {(one.verb, one.resource, one.name) for one in world.written()[before:] if one.group == "batch"} == {
        ("patch", "jobs", "left")
    }


def test_no_law_was_broken(world: Operated) -> None:
    assert broken_laws(world.cluster, {OPERATOR}) == []
