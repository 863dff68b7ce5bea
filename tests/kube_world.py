"""Kubernetes objects as the API serves them, small enough to read: what tests of the Kubernetes adapter share."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from small_world import DEFERRABLE, INSULATED, PREEMPTIBLE

from scheduler.adapters.kubernetes.jobs import JobView, Surroundings, read
from scheduler.adapters.kubernetes.marks import CLASS, Marks, to_annotations, write_instant
from scheduler.adapters.kubernetes.pools import NodeRoom, PoolSelector, rooms_of
from scheduler.domain.time import utc

NOW = utc("2026-01-14T10:00:00+00:00")
UID = "0a1b2c3d-0000-4000-8000-000000000001"
POOLS = (
    PoolSelector(pool_id="north", node_labels={"heat.example/pool": "north"}),
    PoolSelector(pool_id="south", node_labels={"heat.example/pool": "south"}),
)
CLASSES = {each.name: each for each in (INSULATED, DEFERRABLE, PREEMPTIBLE)}
AROUND = Surroundings(
    now_utc=NOW,
    classes=CLASSES,
    pools=POOLS,
    pool_by_node={"n0": "north", "n1": "north", "s0": "south"},
    namespaces={"lab": {"metadata": {"name": "lab", "labels": {"heatdispatch.io/dispatch": "enabled"}}}},
)
Json = dict[str, Any]


def ago(**spans: float) -> datetime:
    """An instant before NOW."""
    return NOW - timedelta(**spans)


def job(
    name: str = "train",
    *,
    class_name: str | None = "deferrable",
    gpus: int = 8,
    pods: int = 1,
    suspend: bool = False,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    marks: Marks | None = None,
    created: datetime | None = None,
    **status: Any,
) -> Json:
    """A batch Job of `pods` pods with `gpus` GPUs each."""
    written = {} if marks is None else {key: value for key, value in to_annotations(marks).items() if value is not None}
    given_labels = {**(labels or {}), **({CLASS: class_name} if class_name is not None else {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "uid": UID,
            "resourceVersion": "77",
            "creationTimestamp": write_instant(created or ago(hours=1)),
            "labels": given_labels,
            "annotations": {**(annotations or {}), **written},
        },
        "spec": {
            "suspend": suspend,
            "parallelism": pods,
            "completions": pods,
            "template": {
                "spec": {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}]},
            },
        },
        "status": dict(status),
    }


def suspended_condition(status: str = "True") -> Json:
    """The Job controller's word on suspension."""
    return {"type": "Suspended", "status": status, "lastTransitionTime": write_instant(ago(minutes=50))}


def pod(
    node: str | None = "n0", *, uid: str = "pod-1", gpus: int = 8, phase: str = "Running", started: datetime | None = None
) -> Json:
    """A pod on a node, or one that waits for a node."""
    spec: Json = {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": gpus}}}]}
    status: Json = {"phase": phase if node is not None else "Pending"}
    if node is not None:
        spec["nodeName"] = node
        status["startTime"] = write_instant(started or ago(minutes=30))
    return {"metadata": {"name": uid, "namespace": "lab", "uid": uid}, "spec": spec, "status": status}


def node(name: str = "n0", pool: str = "north", *, gpus: int = 8, ready: bool = True, cordoned: bool = False) -> Json:
    """A GPU node."""
    return {
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {"heat.example/pool": pool}},
        "spec": {"unschedulable": True} if cordoned else {},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus), "cpu": "64", "memory": "512Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def rooms(*nodes: Json, pods: tuple[Json, ...] = ()) -> tuple[NodeRoom, ...]:
    """Nodes with what is free on them."""
    return rooms_of(nodes, pods, POOLS)


def view(job_object: Json, *pods: Json, workload: Json | None = None, around: Surroundings = AROUND) -> JobView:
    """Read a job that asks for GPUs."""
    found = read(job_object, workload or {}, pods, around)
    assert found is not None
    return found


def workload(
    name: str = "job-train",
    *,
    active: bool = True,
    conditions: tuple[str, ...] = (),
    queue: str = "gpu",
    marks: Marks | None = None,
    owner: str = "Job",
    labels: dict[str, str] | None = None,
    gpus: int = 8,
    checks: tuple[Json, ...] = (),
) -> Json:
    """A Kueue Workload whose named conditions are True."""
    written = {} if marks is None else {key: value for key, value in to_annotations(marks).items() if value is not None}
    template = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"nvidia.com/gpu": str(gpus)}}}]}}
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": name,
            "namespace": "lab",
            "uid": "0badcafe-0000-4000-8000-000000000002",
            "resourceVersion": "88",
            "creationTimestamp": write_instant(ago(hours=1)),
            "labels": labels or {},
            "annotations": written,
            "ownerReferences": [{"kind": owner, "name": "train", "uid": UID, "controller": True}],
        },
        "spec": {"active": active, "queueName": queue, "podSets": [{"name": "main", "count": 1, "template": template}]},
        "status": {
            "conditions": [
                {"type": each, "status": "True", "lastTransitionTime": write_instant(ago(minutes=20))} for each in conditions
            ],
            "admissionChecks": list(checks),
        },
    }


def at(around: Surroundings, **spans: float) -> Surroundings:
    """The same surroundings some time later."""
    return replace(around, now_utc=around.now_utc + timedelta(**spans))
