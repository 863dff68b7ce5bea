"""A preemptible job through a dear hour, by the plan: held, released, stopped once, resumed, complete; every index done once.

The price is the only lever (`queued_world.price`). The test plays the programs: a pod ends well when the test says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from audit_laws import broken_laws
from kube_objects import job, pods_of, running_pods
from operated import LAB, OPERATOR, Operated, now_utc, until_utc
from queued_world import (
    ALONE,
    PLUG,
    SOLD,
    SWING,
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

from scheduler.adapters.devcluster.audit import AuditEvent
from scheduler.adapters.devcluster.client import Object, condition

INDEX = "batch.kubernetes.io/job-completion-index"
INDEXES = 4
RUNS_S = 60.0
FOREVER = "24h"


@pytest.fixture(scope="module")
def world(governed: Operated) -> Iterator[Operated]:
    """Power is dear, and held at their creation are: an indexed Job, one with a queue, one that may never be stopped."""
    price(governed, dear=True)
    hold_new_jobs(governed.cluster)
    native(governed, "indexed", "swing", gpus=1, pods=INDEXES)
    native(governed, "steady", "deferrable", selector={PLUG: ALONE})
    queued(governed, "queued", "checked", "swing", runs=FOREVER)
    yield governed
    hold_no_new_jobs(governed.cluster)


def native(world: Operated, name: str, class_name: str, **shape: Any) -> None:
    """Create an indexed Job as its owner would."""
    made = job(name, **{"gpus": 2, "suspend": False, "runs": FOREVER, **shape}, labels={"heatdispatch.io/class": class_name})
    made["metadata"]["annotations"] = {"heatdispatch.io/expected-duration": "1h"}
    made["spec"]["completionMode"] = "Indexed"
    world.cluster.admin.create(world.jobs, made)


def finish(world: Operated, name: str, indexes: set[str]) -> None:
    """End some of a Job's pods well, as their kubelet would say it; those of a Job without indexes have the index ""."""
    for pod in running_pods(world.cluster, LAB, name):
        if index_of(pod) in indexes:
            path = f"/api/v1/namespaces/{LAB}/pods/{pod['metadata']['name']}/status"
            world.cluster.admin.patch(path, {"status": {"phase": "Succeeded"}})


def index_of(pod: Object) -> str:
    """The index that a pod works on."""
    return str(pod["metadata"].get("annotations", {}).get(INDEX, ""))


def finished_of(found: Object) -> set[str]:
    """Finished indexes of a Job: `0-1,3` are three."""
    done: set[str] = set()
    for span in filter(None, found.get("status", {}).get("completedIndexes", "").split(",")):
        first, _, last = span.partition("-")
        done |= {str(index) for index in range(int(first), int(last or first) + 1)}
    return done


def has_end(world: Operated, name: str) -> bool:
    """Whether a hold of a Job states when it ends."""
    return "hold-until" in world.marks(name)


def told_of(world: Operated, name: str, reason: str) -> str:
    """The Event with a reason on a Job, which comes when writes have room for it."""
    found = world.cluster.wait(reason, lambda: [one for one in world.events(name) if one["reason"] == reason])
    return str(found[-1]["message"])


def indexes_running(world: Operated, name: str) -> list[str]:
    """Indexes of the pods that run, in order."""
    return sorted(index_of(pod) for pod in running_pods(world.cluster, LAB, name))


def test_all_are_held_until_power_is_cheap_and_run_then(world: Operated) -> None:
    for name in ("indexed", "steady", "queued"):
        world.cluster.wait(f"a hold of {name}", partial(has_end, world, name))
    assert world.job("indexed")["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"
    price(world, dear=False)
    world.cluster.wait("its pods", lambda: len(indexes_running(world, "indexed")) == INDEXES, RUNS_S)
    for name in ("steady", "queued"):
        world.cluster.wait(f"a pod of {name}", partial(running_pods, world.cluster, LAB, name), RUNS_S)
    # On the loop whose heat is sold, except what asks for the other one.
    assert {name: loops_of(world, name) for name in ("indexed", "steady")} == {"indexed": {SOLD}, "steady": {ALONE}}
    assert all(pod["spec"]["nodeSelector"] == {PLUG: SOLD} for pod in pods_of(world.cluster, LAB, "indexed"))


def test_what_runs_is_stopped_in_the_dear_hour_and_keeps_what_is_finished(world: Operated) -> None:
    finish(world, "indexed", {"0", "1"})
    world.cluster.wait("finished indexes", lambda: finished_of(world.job("indexed")) == {"0", "1"})
    ran_s = float(SWING["minRuntime"].rstrip("s")) + 1.0
    world.cluster.wait("its minimum run time", lambda: now_utc() - last_start(world) > timedelta(seconds=ran_s))
    plan = price(world, dear=True)
    world.cluster.wait("a stop", lambda: world.marks("indexed").get("stops") == "1", RUNS_S)
    marks, stopped = world.marks("indexed"), world.job("indexed")
    assert (stopped["spec"]["suspend"], stopped["spec"]["podReplacementPolicy"]) == (True, "Failed")
    assert now_utc() < until_utc(marks["planned-start"]) <= until_utc(marks["hold-until"])
    assert plan in marks["hold-text"]
    assert told_of(world, "indexed", "Stopped") == marks["hold-text"]
    world.cluster.wait("no pods", lambda: not running_pods(world.cluster, LAB, "indexed"))
    assert finished_of(world.job("indexed")) == {"0", "1"}


def last_start(world: Operated) -> datetime:
    """When the last of the pods that may be stopped has started."""
    pods = [pod for name in ("indexed", "queued") for pod in running_pods(world.cluster, LAB, name)]
    return max(until_utc(pod["status"]["startTime"]) for pod in pods)


def test_a_queued_job_is_stopped_through_its_workload(world: Operated) -> None:
    off = world.cluster.wait("switched off", lambda: switched_off(world, "queued"), RUNS_S)
    marks = noted(off)
    assert (marks["stops"], marks["held-by"]) == ("1", "operator")
    world.cluster.wait("no pods", lambda: not pods_of(world.cluster, LAB, "queued"), RUNS_S)
    world.cluster.wait("no quota", lambda: condition(workload(world, "queued"), "QuotaReserved") != "True")
    world.cluster.wait("a reason", lambda: check_of(workload(world, "queued")).get("message") == marks["hold-text"])
    assert condition(workload(world, "queued"), "Evicted", "reason") == "Deactivated"


def test_what_may_not_be_stopped_runs_on(world: Operated) -> None:
    (pod,) = running_pods(world.cluster, LAB, "steady")
    assert world.job("steady")["spec"]["suspend"] is False
    assert until_utc(pod["status"]["startTime"]) < now_utc()
    assert "stops" not in world.marks("steady")


def test_both_go_on_when_power_is_cheap_again_with_what_was_left(world: Operated) -> None:
    price(world, dear=False)
    world.cluster.wait("the rest", lambda: indexes_running(world, "indexed") == ["2", "3"], RUNS_S)
    marks = world.marks("indexed")
    assert {"stops", "paused", "work-done", "first-started", "released"} <= set(marks)
    assert "hold-until" not in marks
    assert finished_of(world.job("indexed")) == {"0", "1"}
    world.cluster.wait("a pod", lambda: running_pods(world.cluster, LAB, "queued"), RUNS_S)
    assert workload(world, "queued")["spec"]["active"] is True
    assert check_of(workload(world, "queued"))["state"] == "Ready"


def test_neither_is_stopped_more_often_than_its_class_allows(world: Operated) -> None:
    ran_s = float(SWING["minRuntime"].rstrip("s")) + 1.0
    world.cluster.wait("its minimum run time", lambda: now_utc() - last_start(world) > timedelta(seconds=ran_s))
    price(world, dear=True)
    native(world, "late", "deferrable")
    world.cluster.wait("a hold at the new price", lambda: "hold-until" in world.marks("late"), RUNS_S)
    assert indexes_running(world, "indexed") == ["2", "3"]
    assert running_pods(world.cluster, LAB, "queued")
    world.cluster.admin.delete(f"{world.jobs}/late")


def test_they_complete_and_every_index_was_done_once(world: Operated) -> None:
    for name, indexes in (("indexed", {"2", "3"}), ("steady", {"0"}), ("queued", {""})):
        finish(world, name, indexes)
    for name in ("indexed", "queued", "steady"):
        world.cluster.wait(f"{name} complete", partial(complete, world, name), RUNS_S)
    pods = pods_of(world.cluster, LAB, "indexed")
    assert Counter((index_of(pod), pod["status"]["phase"]) for pod in pods) == {
        (str(index), "Succeeded"): 1 for index in range(INDEXES)
    }
    told = [finished_of(one.body or {}) for one in world.cluster.writes_since() if of_status(one, "indexed")]
    assert told[-1] == {str(index) for index in range(INDEXES)}
    assert all(before <= after for before, after in zip(told, told[1:], strict=False))


def of_status(one: AuditEvent, name: str) -> bool:
    """Whether the Job controller wrote the status of a Job."""
    return (one.resource, one.subresource, one.name) == ("jobs", "status", name) and one.accepted


def test_no_law_was_broken_and_no_check_ever_asked_for_a_retry(world: Operated) -> None:
    assert broken_laws(world.cluster, users={OPERATOR}) == []
    states = {
        entry["state"]
        for one in world.written()
        if (one.resource, one.subresource) == ("workloads", "status")
        for entry in (one.body or {})["status"]["admissionChecks"]
    }
    assert states == {"Pending", "Ready"}
