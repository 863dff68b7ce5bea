"""Kueue as it really is, beside the cluster: what our AdmissionCheck and `active` will do to its workloads."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from kube_objects import QUEUE, job, jobs_path, pods_of, queue_objects, running_pods, workload_of

from scheduler.adapters.devcluster.client import ApiRefused, Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kueue import API as KUEUE

CONFLICT = 409
ADMITTED_S = 90.0
VERSION = "kueue.x-k8s.io/v1beta2"
NUMBERS = count()


def now() -> str:
    """This moment as the API writes it."""
    return datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251 - the API server lives in real time


def queue(cluster: DevCluster, namespace: str, checks: tuple[str, ...] = ()) -> str:
    """A new queue; its name."""
    name = f"queue-{next(NUMBERS)}"
    for path, wanted in queue_objects(name, namespace, checks):
        cluster.admin.create(path, wanted)
    return name


def checked_queue(cluster: DevCluster, namespace: str) -> tuple[str, str]:
    """A queue whose workloads wait for an AdmissionCheck that is active; names of queue and check."""
    check = f"heat-{next(NUMBERS)}"
    head = {"apiVersion": VERSION, "kind": "AdmissionCheck", "metadata": {"name": check}}
    cluster.admin.create(f"{KUEUE}/admissionchecks", {**head, "spec": {"controllerName": "heatdispatch.io/plan"}})
    name = queue(cluster, namespace, (check,))
    active = {"type": "Active", "status": "True", "reason": "Running", "message": "ready", "lastTransitionTime": now()}
    cluster.admin.apply(f"{KUEUE}/admissionchecks/{check}/status", {**head, "status": {"conditions": [active]}})
    cluster.wait(
        "the queue active",
        lambda: condition(cluster.admin.get(f"{KUEUE}/clusterqueues/{name}"), "Active") == "True",
        ADMITTED_S,
    )
    return name, check


def say(cluster: DevCluster, workload: Object, check: str, state: str, **more: Any) -> Object:
    """Set the state of a check, as of the workload that was seen."""
    seen = workload["metadata"]
    entry = {"name": check, "state": state, "message": "by test", "lastTransitionTime": now(), **more}
    head = {key: seen[key] for key in ("name", "namespace", "resourceVersion")}
    body = {"apiVersion": VERSION, "kind": "Workload", "metadata": head, "status": {"admissionChecks": [entry]}}
    return cluster.admin.apply(f"{path_of(workload)}/status", body, manager="heat-dispatch")


def decide(cluster: DevCluster, workload: Object, check: str, state: str, **more: Any) -> None:
    """Set the state of a check as of now; Kueue writes to a workload all the time, so a conflict means to look again."""
    cluster.wait(f"{check} {state}", lambda: say(cluster, cluster.admin.get(path_of(workload)), check, state, **more))


def path_of(workload: Object) -> str:
    """Path of a workload."""
    return f"{KUEUE}/namespaces/{workload['metadata']['namespace']}/workloads/{workload['metadata']['name']}"


def waiting(cluster: DevCluster, namespace: str, name: str) -> Object | None:
    """The workload of a Job, once it has quota and its check is pending."""
    found = workload_of(cluster, namespace, name)
    states = [one["state"] for one in (found or {}).get("status", {}).get("admissionChecks", [])]
    ready = condition(found, "QuotaReserved") == "True" and condition(found, "Evicted") != "True" and states == ["Pending"]
    return found if ready else None


def test_a_queued_job_is_admitted_and_completes(kueue: DevCluster, namespace: str) -> None:
    name = queue(kueue, namespace)
    created = kueue.admin.create(jobs_path(namespace), job("plain", suspend=False, labels={QUEUE: name}))
    assert created["spec"]["suspend"] is True, "its webhook suspends what has a queue"
    where = jobs_path(namespace, "plain")
    kueue.wait("Complete", lambda: condition(kueue.admin.get(where), "Complete") == "True", ADMITTED_S)
    kueue.wait("Finished", lambda: condition(workload_of(kueue, namespace, "plain"), "Finished") == "True")
    assert condition(workload_of(kueue, namespace, "plain"), "Admitted") == "True"


def test_a_check_holds_places_and_lets_go(kueue: DevCluster, namespace: str) -> None:
    name, check = checked_queue(kueue, namespace)
    kueue.admin.create(jobs_path(namespace), job("checked", runs="600s", labels={QUEUE: name}))
    held = kueue.wait("the check pending", lambda: waiting(kueue, namespace, "checked"), ADMITTED_S)
    assert held is not None
    assert kueue.admin.get(jobs_path(namespace, "checked"))["spec"]["suspend"] is True
    assert pods_of(kueue, namespace, "checked") == []
    placed = {
        "name": held["spec"]["podSets"][0]["name"],
        "annotations": {"heatdispatch.io/plan": "7f3a"},
        "nodeSelector": {"kubernetes.io/hostname": "gpu-a-1"},
    }
    decide(kueue, held, check, "Ready", podSetUpdates=[placed])
    pod = kueue.wait("a running pod", lambda: running_pods(kueue, namespace, "checked"))[0]
    assert pod["spec"]["nodeName"] == "gpu-a-1"
    assert pod["metadata"]["annotations"]["heatdispatch.io/plan"] == "7f3a"
    with pytest.raises(ApiRefused) as stale:
        say(kueue, held, check, "Retry")
    assert stale.value.code == CONFLICT


def test_inactive_stops_and_active_asks_again(kueue: DevCluster, namespace: str) -> None:
    name, check = checked_queue(kueue, namespace)
    kueue.admin.create(jobs_path(namespace), job("stopped", runs="600s", labels={QUEUE: name}))
    held = kueue.wait("the check pending", lambda: waiting(kueue, namespace, "stopped"), ADMITTED_S)
    assert held is not None
    decide(kueue, held, check, "Ready")
    kueue.wait("a running pod", lambda: running_pods(kueue, namespace, "stopped"))
    kueue.admin.patch(path_of(held), {"spec": {"active": False}})
    kueue.wait("no pods", lambda: not pods_of(kueue, namespace, "stopped"))
    kueue.wait("Evicted", lambda: condition(kueue.admin.get(path_of(held)), "Evicted") == "True")
    assert condition(kueue.admin.get(path_of(held)), "Evicted", "reason") == "Deactivated"
    assert kueue.admin.get(jobs_path(namespace, "stopped"))["spec"]["suspend"] is True
    kueue.admin.patch(path_of(held), {"spec": {"active": True}})
    again = kueue.wait("the check pending again", lambda: waiting(kueue, namespace, "stopped"), ADMITTED_S)
    assert again is not None
    decide(kueue, again, check, "Ready")
    assert kueue.wait("a running pod again", lambda: running_pods(kueue, namespace, "stopped"))


def test_a_gate_at_creation_keeps_a_job_from_quota(kueue: DevCluster, namespace: str) -> None:
    gate = "kueue.x-k8s.io/admission-gated-by"
    name = queue(kueue, namespace)
    gated = job("gated", labels={QUEUE: name}, runs="1s")
    gated["metadata"]["annotations"] = {gate: "heatdispatch.io/gate"}
    kueue.admin.create(jobs_path(namespace), gated)
    kueue.wait(
        "gated",
        lambda: condition(workload_of(kueue, namespace, "gated"), "QuotaReserved", "reason") == "AdmissionGated",
        ADMITTED_S,
    )
    more = {"metadata": {"annotations": {gate: "heatdispatch.io/gate,example.test/other"}}}
    with pytest.raises(ApiRefused, match="Forbidden"):
        kueue.admin.patch(jobs_path(namespace, "gated"), more)
    placed = {"spec": {"template": {"spec": {"nodeSelector": {"zone": "a"}}}}}
    kueue.admin.patch(jobs_path(namespace, "gated"), placed)
    kueue.admin.patch(jobs_path(namespace, "gated"), {"metadata": {"annotations": {gate: None}}})
    pod = kueue.wait("a pod", lambda: pods_of(kueue, namespace, "gated"), ADMITTED_S)[0]
    kueue.wait("Complete", lambda: condition(kueue.admin.get(jobs_path(namespace, "gated")), "Complete") == "True")
    where = kueue.admin.get(f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}")["spec"]["nodeName"]
    assert where.startswith("gpu-a-")
