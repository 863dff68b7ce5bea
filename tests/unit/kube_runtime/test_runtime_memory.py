"""What a large cluster costs to remember."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from scheduler.adapters.kubernetes.runtime import trim
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, NODES, PODS, Kind
from scheduler.adapters.kubernetes.runtime.store import Store, label, node_name, owner_uids

MANAGED: list[dict[str, Any]] = [
    {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {f"f:field{number}": {"f:a": {}, "f:b": {}} for number in range(25)},
    }
    for manager in ("kube-controller-manager", "kubelet")
]
CONTAINER = {
    "name": "train",
    "image": "registry.example/team/train:2026.1",
    "command": ["python", "-m", "train"],
    "args": [f"--option-{number}=value" for number in range(12)],
    "env": [{"name": f"VARIABLE_{number}", "value": f"value {number}"} for number in range(20)],
    "resources": {"requests": {"cpu": "32", "memory": "256Gi", "nvidia.com/gpu": "8"}, "limits": {"nvidia.com/gpu": "8"}},
    "volumeMounts": [{"name": f"v{number}", "mountPath": f"/mnt/{number}"} for number in range(5)],
    "terminationMessagePath": "/dev/termination-log",
    "imagePullPolicy": "IfNotPresent",
}
POD_SPEC = {
    "restartPolicy": "Never",
    "nodeSelector": {"heatdispatch.io/plug": "loop"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} for _ in range(3)],
    "volumes": [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": f"data-{number}"}} for number in range(5)],
    "containers": [CONTAINER],
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 120,
}


def conditions(names: str) -> list[dict[str, str]]:
    return [
        {"type": name, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Because", "message": "so"}
        for name in names.split()
    ]


def metadata(kind: str, number: int, version: int, **more: Any) -> dict[str, Any]:
    return {
        "name": f"{kind}-{number:05d}",
        "namespace": f"team-{number % 40}",
        "uid": f"{kind[:4]}0000-0000-4000-8000-{number:012d}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {
            "heatdispatch.io/class": "batch",
            "app": f"train-{number % 300}",
            "batch.kubernetes.io/job-name": f"j{number}",
        },
        "annotations": {"heatdispatch.io/deadline": "2026-01-02T00:00:00Z"},
        "managedFields": MANAGED,
        **more,
    }


def a_job(number: int) -> dict[str, Any]:
    spec = {"suspend": True, "parallelism": 1, "completions": 1, "template": {"metadata": {}, "spec": POD_SPEC}}
    return {"metadata": metadata("job", number, number), "spec": spec, "status": {"conditions": conditions("Suspended")}}


def a_pod(number: int) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": f"job-{number}", "uid": f"job-{number}", "controller": True}
    state = {"name": "train", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "imageID": "sha256:" + "0" * 64}
    status = {
        "phase": "Running",
        "conditions": conditions("PodScheduled Initialized ContainersReady Ready"),
        "containerStatuses": [state],
        "podIP": "10.0.0.1",
    }
    found = metadata("pod", number, number, ownerReferences=[owner])
    return {"metadata": found, "spec": {**POD_SPEC, "nodeName": f"node-{number % 1000}"}, "status": status}


def a_node(number: int) -> dict[str, Any]:
    resources = {"cpu": "128", "memory": "2Ti", "nvidia.com/gpu": "8", "pods": "110", "ephemeral-storage": "1Ti"}
    status = {
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions("Ready MemoryPressure DiskPressure PIDPressure"),
        "images": [{"names": [f"registry.example/image-{one}:1"], "sizeBytes": 10**9} for one in range(50)],
        "nodeInfo": {f"info{one}": "value" for one in range(10)},
    }
    found = metadata("node", number, number, labels={f"feature.node/label-{one}": "true" for one in range(60)})
    return {"metadata": found, "spec": {"podCIDR": "10.0.0.0/24"}, "status": status}


# A tenth of 5,000 Jobs, 5,000 Pods and 1,000 Nodes.
CLUSTER = ((JOBS, trim.job, a_job, 500), (PODS, trim.pod, a_pod, 500), (NODES, trim.node, a_node, 100))


def filled(kind: Kind, trimming: trim.Trim, make: Any, count: int) -> Store:
    store = Store(kind, trim=trimming, indexes={"owner": owner_uids, "node": node_name, "app": label("app")})
    text = [json.dumps(make(number)) for number in range(200)]
    # As it comes from the wire: parsed a page at a time, nothing shared between pages.
    objects = []
    for number in range(count):
        raw = json.loads(text[number % 200])
        raw["metadata"]["name"] += f"-{number}"
        raw["metadata"]["uid"] += f"-{number}"
        objects.append(store.frozen(raw))
    store.replace(objects)
    return store


def test_a_large_clusters_caches_stay_small() -> None:
    """5,000 Jobs, 5,000 Pods and 1,000 Nodes within 120 MiB, of the 300 MB that the whole operator may take; here a tenth."""
    tracemalloc.start()
    stores = [filled(*part) for part in CLUSTER]
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [store.count() for store in stores] == [500, 500, 100]
    assert held_bytes < 12 * 2**20, f"{held_bytes / 2**20:.1f} MiB"
