"""The operator beside a real Kueue: gated, held, placed and let go through Workloads, from creation to completion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from kube_objects import HEAT, QUEUE, job, pods_of, running_pods
from operated import LAB, Operated, now_utc, until_utc
from queued_world import (
    ALONE,
    CHECK,
    PLUG,
    SOLD,
    check_of,
    complete,
    hold_new_jobs,
    hold_no_new_jobs,
    loops_of,
    noted,
    price,
    queued,
    switched_off,
    workload,
)
from typer.testing import CliRunner

from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.kueue import API as KUEUE
from scheduler.entrypoints.cli import app
from scheduler.entrypoints.kubectl import app as kubectl

QUOTA_S = 60.0
GATED = "kueue.x-k8s.io/admission-gated-by"
JOBSETS = "/apis/jobset.x-k8s.io/v1alpha2"


@pytest.fixture(scope="module")
def world(governed: Operated) -> Iterator[Operated]:
    """Power is dear: flexible jobs of every kind have been created, and are held."""
    price(governed, dear=True)
    queued(governed, "ungated", "checked")
    queued(governed, "swing", "checked", "swing")
    queued(governed, "report", "checked", None, gpus=1)
    team_of_two(governed, "team")
    hold_new_jobs(governed.cluster)
    queued(governed, "gated", "checked")
    queued(governed, "steered", "loops")
    queued(governed, "bound", "loops", selector={PLUG: ALONE})
    yield governed
    hold_no_new_jobs(governed.cluster)


def team_of_two(world: Operated, name: str) -> None:
    """A JobSet with a leader and two workers; Kueue writes its class on the Workload that it makes."""
    roles = {"leader": 1, "workers": 2}
    template = job(name, gpus=2)["spec"]["template"]
    made: Object = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "labels": {QUEUE: "checked", "heatdispatch.io/class": "deferrable"}},
        "spec": {
            "suspend": True,
            "replicatedJobs": [
                {
                    "name": role,
                    "replicas": 1,
                    "template": {"spec": {"parallelism": pods, "completions": pods, "template": template}},
                }
                for role, pods in roles.items()
            ],
        },
    }
    world.cluster.admin.create(f"{JOBSETS}/namespaces/{LAB}/jobsets", made)


def test_our_check_is_active_and_so_are_its_queues(world: Operated) -> None:
    for path in (f"admissionchecks/{CHECK}", "clusterqueues/checked", "clusterqueues/loops"):
        assert world.cluster.wait("active", partial(active, world, path))


def active(world: Operated, path: str) -> bool:
    """Whether an object of Kueue's says that it is active."""
    return condition(world.cluster.admin.get(f"{KUEUE}/{path}"), "Active") == "True"


def test_an_insulated_job_gets_its_answer_at_once_and_nothing_else(world: Operated) -> None:
    world.cluster.wait("Complete", lambda: complete(world, "report"), QUOTA_S)
    wrote = [one for one in world.written() if one.name in ("report", workload(world, "report")["metadata"]["name"])]
    assert [(one.resource, one.subresource) for one in wrote] == [("workloads", "status")]
    (entry,) = wrote[0].body["status"]["admissionChecks"]
    assert (entry["state"], "podSetUpdates" in entry) == ("Ready", False)


def test_a_job_that_is_gated_at_its_creation_is_told_why_on_job_and_workload(world: Operated) -> None:
    world.cluster.wait("a hold", lambda: "hold-until" in world.marks("gated"))
    made = world.job("gated")
    assert made["metadata"]["annotations"][GATED] == "heatdispatch.io/gate"
    marks = world.marks("gated")
    assert marks["held-by"] == "admission"
    assert now_utc() < until_utc(marks["planned-start"]) <= until_utc(marks["hold-until"]) <= now_utc() + timedelta(hours=24)
    world.cluster.wait("gated", lambda: condition(workload(world, "gated"), "QuotaReserved", "reason") == "AdmissionGated")
    said = world.cluster.wait("an Event", lambda: world.events("gated"))
    assert [(one["reason"], one["message"]) for one in said] == [("Held", marks["hold-text"])]
    world.cluster.wait("a reason", lambda: check_of(workload(world, "gated")).get("message") == marks["hold-text"])


@pytest.mark.parametrize("name", ["ungated", "team", "swing"])
def test_what_nobody_gated_gives_its_quota_back_and_its_check_says_why(world: Operated, name: str) -> None:
    held = world.cluster.wait("switched off", lambda: switched_off(world, name), QUOTA_S)
    marks = noted(held)
    assert now_utc() < until_utc(marks["planned-start"]) <= until_utc(marks["hold-until"])
    world.cluster.wait("no quota", lambda: condition(workload(world, name), "QuotaReserved") != "True")
    said = world.cluster.wait("a reason", lambda: check_of(workload(world, name)).get("message") == marks["hold-text"])
    assert said
    assert check_of(workload(world, name))["state"] == "Pending"
    about = name if name != "team" else held["metadata"]["name"]
    assert [(one["reason"], one["message"]) for one in world.events(about)] == [("Held", marks["hold-text"])]
    assert pods_of(world.cluster, LAB, name) == []


@pytest.mark.parametrize("job_name", ["job/gated", "job/ungated", "jobset/team"])
def test_its_owner_asks_why(world: Operated, job_name: str) -> None:
    name = job_name.partition("/")[2]
    where = ["-n", LAB, "--kubeconfig", str(world.cluster.kubeconfig())]
    asked = CliRunner().invoke(kubectl, ["why", job_name, *where])
    marks = world.marks(name) if name == "gated" else noted(workload(world, name))
    assert asked.output.strip() == marks["hold-text"]


def test_at_the_planned_start_all_are_let_go_placed_by_the_plan_and_run(world: Operated) -> None:
    """The price falls, so the plan starts them now: on the loop whose heat is sold, except what asks for the other one."""
    for name in ("steered", "bound"):
        world.cluster.wait("a hold", partial(marked, world, name))
    price(world, dear=False)
    for name in ("gated", "ungated", "steered", "bound", "swing"):
        world.cluster.wait(f"{name} complete", partial(complete, world, name), QUOTA_S)
    where = {name: loops_of(world, name) for name in ("gated", "ungated", "steered", "bound", "swing")}
    assert where == {"gated": {SOLD}, "ungated": {SOLD}, "steered": {SOLD}, "bound": {ALONE}, "swing": {SOLD}}
    admitted = {name: flavor(workload(world, name)) for name in ("steered", "bound")}
    assert admitted == {"steered": SOLD, "bound": ALONE}


def marked(world: Operated, name: str) -> bool:
    """Whether a Job is held with an end."""
    return "hold-until" in world.marks(name)


def flavor(found: Object) -> Any:
    """The flavor by which a Workload was admitted."""
    return found["status"]["admission"]["podSetAssignments"][0]["flavors"]["nvidia.com/gpu"]


def test_the_place_is_given_by_the_check_where_no_flavor_gives_it(world: Operated) -> None:
    for name in ("ungated", "gated", "team"):
        found = world.cluster.wait("admitted", partial(admitted_of, world, name), QUOTA_S)
        updates = check_of(found)["podSetUpdates"]
        assert {one["nodeSelector"][PLUG] for one in updates} == {SOLD}
        assert len(updates) == len(found["spec"]["podSets"])
    started = world.cluster.wait("a start", partial(started_jobset, world, "team"))
    templates = [one["template"]["spec"]["template"] for one in started["spec"]["replicatedJobs"]]
    assert [one["spec"]["nodeSelector"] for one in templates] == [{PLUG: SOLD}] * 2
    assert "podSetUpdates" not in check_of(workload(world, "steered"))


def started_jobset(world: Operated, name: str) -> Object:
    """A JobSet that Kueue has started; empty before."""
    found = world.cluster.admin.get(f"{JOBSETS}/namespaces/{LAB}/jobsets/{name}")
    return {} if found["spec"]["suspend"] else found


def admitted_of(world: Operated, name: str) -> Object:
    """A Workload that is admitted; empty before."""
    found = workload(world, name)
    return found if condition(found, "Admitted") == "True" else {}


def test_kueue_preempts_as_it_likes_and_what_it_evicted_starts_again(world: Operated) -> None:
    queued(world, "low", "crowded", "soon", priority="low", runs="24h")
    first = world.cluster.wait("it runs", partial(running_pods, world.cluster, LAB, "low"), QUOTA_S)
    queued(world, "high", "crowded", None, priority="high")
    world.cluster.wait("complete", partial(complete, world, "high"), QUOTA_S)
    again = world.cluster.wait("it runs again", partial(running_pods, world.cluster, LAB, "low"), QUOTA_S)
    assert again[0]["metadata"]["uid"] != first[0]["metadata"]["uid"]
    own = [one for one in world.written() if one.name == workload(world, "low")["metadata"]["name"]]
    assert not [one for one in own if (one.body or {}).get("spec", {}).get("active") is False]
    world.cluster.admin.delete(f"{world.jobs}/low")


def test_where_kueue_places_by_topology_we_name_no_place(world: Operated) -> None:
    queued(world, "racked", "racks", "soon")
    world.cluster.wait("complete", partial(complete, world, "racked"), QUOTA_S)
    assert loops_of(world, "racked") == {ALONE}
    assert "podSetUpdates" not in check_of(workload(world, "racked"))
    own = [one for one in world.written() if one.name in ("racked", workload(world, "racked")["metadata"]["name"])]
    assert not [one for one in own if {"podSets", "template"} & set((one.body or {}).get("spec") or {})]


def test_with_the_operator_gone_the_check_stays_active_and_all_can_be_let_go(world: Operated) -> None:
    """Kueue goes on, its queues stay open, and what waits for our word gets it from the command that the CronJob runs."""
    price(world, dear=True)
    queued(world, "asleep", "checked")
    world.cluster.wait("a hold", partial(marked, world, "asleep"))
    world.end()
    queued(world, "silent", "checked", None, gpus=1)
    world.cluster.wait("quota", lambda: condition(workload(world, "silent"), "QuotaReserved") == "True", QUOTA_S)
    assert active(world, f"admissionchecks/{CHECK}")
    assert active(world, "clusterqueues/checked")
    assert check_of(workload(world, "silent"))["state"] == "Pending"
    assert released(world, "--stale") == "no hold is over"
    # As if its time had passed.
    ended = {"metadata": {"annotations": {"heatdispatch.io/hold-until": f"{now_utc():%Y-%m-%dT%H:%M:%SZ}"}}}
    world.cluster.admin.patch(f"{world.jobs}/asleep", ended)
    assert released(world, "--stale") == f"let go: Job {LAB}/asleep: Hold ended: its time is over"

    def all_complete() -> bool:
        released(world, "--all")
        return complete(world, "asleep") and complete(world, "silent")

    world.cluster.wait("all complete", all_complete, QUOTA_S)
    # The next one takes its place, name and all.
    world.replicas.clear()
    world.replica()
    world.cluster.wait("a cycle", lambda: " cycle " in world.replicas[-1].told(), QUOTA_S)


def released(world: Operated, which: str) -> str:
    """What the command says that lets holds go without any operator."""
    told = CliRunner().invoke(app, ["release", which, "--kubeconfig", str(world.cluster.kubeconfig())])
    assert told.exit_code == 0, told.output
    return " ".join(told.output.split())


def test_nothing_of_kueue_is_allowed_that_is_not_used(world: Operated) -> None:
    used = {(one.resource + (f"/{one.subresource}" if one.subresource else ""), one.verb) for one in world.asked()}
    rules = [rule for obj in world.rights() for rule in obj.get("rules", []) if rule["apiGroups"] == ["kueue.x-k8s.io"]]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    # A watch is written down when it ends, and these go on.
    assert {right for right in allowed - used if right[1] != "watch"} == set()


def test_without_a_policy_nothing_is_held_and_kueue_is_answered(world: Operated) -> None:
    """The plan's end is not the check's: what waits for it is let go, and the check itself stays active."""
    admin, path = world.cluster.admin, f"{HEAT}/dispatchpolicies/quickstart"
    price(world, dear=True)
    queued(world, "left", "checked")
    world.cluster.wait("a hold", partial(marked, world, "left"))
    policy = admin.get(path)
    admin.delete(path)
    world.cluster.wait("it runs", partial(complete, world, "left"), QUOTA_S)
    assert active(world, f"admissionchecks/{CHECK}")
    queued(world, "later", "checked")
    world.cluster.wait("it runs", partial(complete, world, "later"), QUOTA_S)
    made, told = {key: policy[key] for key in ("apiVersion", "kind", "spec")}, world.replicas[-1].told()
    admin.apply(path, {**made, "metadata": {"name": policy["metadata"]["name"]}})
    cycles = told.count(" cycle ")
    world.cluster.wait("a plan for it", lambda: world.replicas[-1].told().count(" cycle ") > cycles, QUOTA_S)
    queued(world, "again", "checked")
    world.cluster.wait("a hold", partial(marked, world, "again"), QUOTA_S)
    admin.delete(f"{JOBSETS}/namespaces/{LAB}/jobsets/team")
    admin.delete(f"{world.jobs}/again")
