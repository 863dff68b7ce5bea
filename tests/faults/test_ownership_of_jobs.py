"""Whose a job is, on a real API server with the admission policies in force: users, CronJobs, controllers, deletions, modes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import yaml
from kube_objects import job, jobs_path, running_pods
from led_world import POLICY, SOON_S, audit_end, lawful, leads, led, mark, taken_up, told, writes_of
from operated import LAB, Operated, heat_path, now_utc, quickstart, until_utc

from scheduler.adapters.devcluster.audit import events
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import CRDS, NotReady

HELD_S = 15.0
ROOT = Path(__file__).parents[2]
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}
CLASS, DURATION = "heatdispatch.io/class", "heatdispatch.io/expected-duration"
TICK = "batch.kubernetes.io/cronjob-scheduled-timestamp"
CRON_JOB = f"/apis/batch/v1/namespaces/{LAB}/cronjobs/each"
RUNS_S = 20
BRIEF: Object = {
    "apiVersion": "heatdispatch.io/v1alpha1",
    "kind": "WorkloadClass",
    "metadata": {"name": "brief"},
    "spec": {"flexibility": "deferrable", "maxDelay": "5s", "valueEurPerGpuHour": 0.05},
}


@pytest.fixture(scope="module")
def world(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """One operator, the admission policies in force, and a CronJob that ticks every minute beside all of these tests."""
    with led(toolbox, tmp_path_factory.mktemp("owned"), nodes=4) as found:
        admin = found.cluster.admin
        admin.apply(heat_path(BRIEF), BRIEF)
        for obj in yaml.safe_load_all((ROOT / "policies" / "admission" / "hold-new-jobs.yaml").read_text("utf-8")):
            admin.apply(f"{ADMISSION}/{PLURALS[obj['kind']]}/{obj['metadata']['name']}", obj)
        found.replica()
        found.cluster.wait("a first plan", lambda: found.plan().get("planId"), SOON_S)
        flexible = plain("probe")
        found.cluster.wait("policies in force", lambda: admin.create(f"{found.jobs}?dryRun=All", flexible)["spec"]["suspend"])
        admin.create(CRON_JOB.rpartition("/")[0], cron_job())
        # Its last tick was missed, so that a first run comes at once.
        admin.patch(
            f"{CRON_JOB}/status", {"status": {"lastScheduleTime": f"{now_utc() - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"}}
        )
        yield found


def plain(name: str, class_name: str = "deferrable", *, gpus: int = 1, runs: str = "600s") -> Object:
    """A Job as a user writes it."""
    made = job(name, gpus=gpus, suspend=False, runs=runs, labels={CLASS: class_name})
    made["metadata"]["annotations"] = {DURATION: "1h"}
    return made


def cron_job() -> Object:
    """One that skips a run while the last one is there."""
    made = plain("each", runs="1s")
    metadata = {"labels": made["metadata"]["labels"], "annotations": {DURATION: f"{RUNS_S}s"}}
    spec = {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 10,
        "jobTemplate": {"metadata": metadata, "spec": made["spec"]},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "each"}, "spec": spec}


def submitted(world: Operated, made: Object, namespace: str = LAB) -> None:
    """Create a Job as its user does."""
    world.cluster.admin.create(jobs_path(namespace), made)


def suspends(world: Operated, name: str, since: int) -> list[bool]:
    """What the operator has written to a Job's `suspend` since a place in the audit log."""
    written = [one.body["spec"]["suspend"] for one in writes_of(world, "replica-0", since) if one.name == name and one.accepted]
    return [bool(value) for value in written]


def test_a_user_who_suspends_what_we_released_has_it_for_good(world: Operated) -> None:
    submitted(world, plain("taken", "brief"))
    world.cluster.wait("its pod", lambda: running_pods(world.cluster, LAB, "taken"))
    world.cluster.admin.patch(f"{world.jobs}/taken", {"spec": {"suspend": True}})
    since = audit_end(world)
    world.cluster.wait("the owner's mark", lambda: world.marks("taken").get("held-by") == "owner")
    said = world.cluster.wait("an Event", lambda: [one for one in world.events("taken") if one["reason"] == "OwnerTookOver"])
    assert "it is not held, released or stopped by heat-dispatch any more" in said[0]["message"]
    # A plan that would like to start it, and one that would like to stop it.
    world.policy(queue={"maxHold": "70h"})
    world.cluster.wait("a plan", lambda: told(world.replicas[0], "policies read"))
    assert world.job("taken")["spec"]["suspend"] is True
    world.cluster.admin.patch(f"{world.jobs}/taken", {"spec": {"suspend": False}})
    world.cluster.wait("its pod again", lambda: running_pods(world.cluster, LAB, "taken"))
    assert [one for one in writes_of(world, "replica-0", since) if one.name == "taken" and "spec" in one.body] == []
    world.cluster.admin.delete(f"{world.jobs}/taken")


def test_users_who_edit_while_we_write_win_and_nothing_is_forced(world: Operated) -> None:
    names = [f"edited-{number}" for number in range(30)]
    for name in names:
        submitted(world, plain(name))
    replica = world.replicas[0]
    replica.signal(signal.SIGSTOP)
    try:
        for name in names[::2]:
            world.cluster.admin.patch(f"{world.jobs}/{name}", {"spec": {"suspend": False}})
        for name in names[1::2]:
            world.cluster.admin.patch(f"{world.jobs}/{name}", {"metadata": {"annotations": {"team": "night"}}})
    finally:
        replica.signal(signal.SIGCONT)
    world.cluster.wait("holds of the others", lambda: all(world.held(name) for name in names[1::2]), SOON_S)
    assert not any(world.job(name)["spec"]["suspend"] for name in names[::2])
    refused = [one for one in events(world.cluster.audit_log) if one.user == "operator" and one.code == 409]
    assert {one.verb for one in refused} <= {"patch"}
    for name in names:
        world.cluster.admin.delete(f"{world.jobs}/{name}")


def test_a_job_of_another_controller_is_left_to_it_unless_it_says_otherwise(world: Operated) -> None:
    owner = {"apiVersion": "example.test/v1", "kind": "Workflow", "name": "w", "uid": "w", "controller": True}
    theirs, allowed = plain("theirs", runs="1s"), plain("allowed")
    for made in (theirs, allowed):
        made["metadata"]["ownerReferences"] = [owner]
    allowed["metadata"]["annotations"]["heatdispatch.io/allow-owned"] = "true"
    submitted(world, theirs)
    submitted(world, allowed)
    world.cluster.wait("a hold", lambda: world.held("allowed"))
    world.cluster.wait("Complete", lambda: condition(world.job("theirs"), "Complete") == "True")
    assert [one for one in world.written() if one.resource == "jobs" and one.name == "theirs"] == []
    world.cluster.admin.delete(f"{world.jobs}/allowed")


def test_jobs_and_namespaces_that_go_while_held_are_no_fault(world: Operated) -> None:
    replica, line = world.replicas[0], mark(world.replicas[0])
    labels = {"heatdispatch.io/dispatch": "enabled"}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going", "labels": labels}}
    world.cluster.admin.create("/api/v1/namespaces", space)
    for number in range(6):
        world.cluster.wait("a Job", partial(created, world, plain(f"gone-{number}"), "going"))
    held = partial(world.cluster.admin.items, jobs_path("going"))
    ended = "heatdispatch.io/hold-until"
    world.cluster.wait("holds", lambda: all(ended in one["metadata"].get("annotations", {}) for one in held()), SOON_S)
    world.cluster.admin.delete(f"{jobs_path('going')}/gone-0")
    world.cluster.admin.delete("/api/v1/namespaces/going")
    world.cluster.wait("its end", lambda: not held(), SOON_S)
    submitted(world, plain("beside"))
    world.cluster.wait("a hold", lambda: world.held("beside"))
    world.cluster.admin.delete(f"{world.jobs}/beside")
    assert [one for one in told(replica, since=line) if " warning " in one or " error " in one] == []


def created(world: Operated, made: Object, namespace: str) -> bool:
    """Create a Job in a namespace whose label the admission policies may not know yet, until it is held."""
    found = world.cluster.admin.create(f"{jobs_path(namespace)}?dryRun=All", made)
    if not found["spec"]["suspend"]:
        return False
    submitted(world, made, namespace)
    return True


def test_no_run_of_a_cron_job_that_forbids_two_at_once_is_skipped(world: Operated) -> None:
    """Held as long as it may be, and out of the way of the next tick."""

    def runs() -> list[Object]:
        found = [one for one in world.cluster.admin.items(world.jobs) if one["metadata"]["name"].startswith("each-")]
        return sorted(found, key=lambda one: str(one["metadata"]["creationTimestamp"]))

    world.cluster.wait("a second run", lambda: len(runs()) >= 2, 150.0)
    first, second, *_ = runs()
    ticks = [until_utc(one["metadata"]["annotations"][TICK]) for one in (first, second)]
    assert ticks[1] - ticks[0] == timedelta(minutes=1)
    assert condition(world.job(first["metadata"]["name"]), "Complete") == "True"
    wrote = [one for one in world.written() if one.resource == "jobs" and one.name == first["metadata"]["name"]]
    ends = [one.body["metadata"]["annotations"].get("heatdispatch.io/hold-until") for one in wrote]
    assert all(until_utc(end) <= ticks[1] - timedelta(seconds=RUNS_S) for end in ends if end)
    assert wrote[-1].body["spec"]["suspend"] is False
    world.cluster.admin.delete(CRON_JOB)


def test_jobs_that_come_while_the_mode_changes_are_held_only_in_dispatch(world: Operated) -> None:
    stopping = threading.Event()
    names: list[str] = []

    def submit() -> None:
        while not stopping.is_set():
            names.append(f"between-{len(names)}")
            submitted(world, plain(names[-1], runs="1s"))
            stopping.wait(0.1)

    users = threading.Thread(target=submit)
    users.start()
    try:
        for mode in ("Observe", "Dispatch", "Advise", "Dispatch", "Observe"):
            world.policy(mode=mode)
            stopping.wait(1.0)
    finally:
        stopping.set()
        users.join()
    world.cluster.wait("releases", lambda: not any(world.job(name)["spec"]["suspend"] for name in names), SOON_S)
    assert [name for name in names if "hold-until" in world.marks(name)] == []
    world.policy(mode="Dispatch")
    world.cluster.wait("its being taken up", lambda: taken_up(world, "Dispatch"), SOON_S)
    world.cluster.wait("their end", lambda: all(condition(world.job(name), "Complete") == "True" for name in names), SOON_S)


def test_a_job_that_came_while_the_operator_was_down_gets_an_end(world: Operated) -> None:
    world.replicas[0].signal(signal.SIGTERM)
    world.replicas[0].process.wait(30)
    submitted(world, plain("orphan"))
    assert world.job("orphan")["spec"]["suspend"] is True
    assert "hold-until" not in world.marks("orphan")
    world.replica()
    world.cluster.wait("an end of its hold", lambda: world.held("orphan"), SOON_S)
    assert world.marks("orphan")["held-by"] == "admission"


def test_kinds_that_are_deleted_rule_no_more_and_rule_again_when_they_are_back(world: Operated) -> None:
    replica = world.replicas[-1]
    world.cluster.wait("a leader", lambda: leads(replica), SOON_S)
    crds = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml"))]
    for crd in crds:
        world.cluster.admin.delete(f"{CRDS}/{crd['metadata']['name']}")
    world.cluster.wait("its release", lambda: world.job("orphan")["spec"]["suspend"] is False, SOON_S)
    said = world.cluster.wait("an Event", lambda: [one for one in world.events("orphan") if one["reason"] == "LetGo"])
    assert said[0]["message"].startswith("Hold ended: ")
    world.cluster.apply_crds(crds)
    for obj in [*quickstart(), BRIEF]:
        world.cluster.admin.apply(heat_path(obj), obj)
    world.cluster.wait("a plan", lambda: world.plan().get("planId"), 90.0)
    numbers = count()

    def held_again() -> bool:
        # One that comes before prices are known again starts at once, as it may.
        name = f"again-{next(numbers)}"
        world.submit(name)
        try:
            return bool(world.cluster.wait("its hold", lambda: world.held(name), HELD_S))
        except NotReady:
            return False

    world.cluster.wait("a hold", held_again, 2 * SOON_S)
    assert world.cluster.admin.get(POLICY)["status"]["mode"] == "Dispatch"


def test_no_law_was_broken_in_all_of_this(world: Operated) -> None:
    lawful(world)
