"""Small builders for the objects that these tests make, and where they are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kueue import API as KUEUE
from scheduler.adapters.devcluster.kwok import GPU, RUN_TIME

QUEUE = "kueue.x-k8s.io/queue-name"
HEAT = "/apis/heatdispatch.io/v1alpha1"
# A user that the clusters of tests know and that is bound to nothing.
STRANGER = "stranger"


def job(
    name: str,
    *,
    gpus: int = 1,
    suspend: bool = True,
    runs: str = "2s",
    labels: Mapping[str, str] | None = None,
    selector: Mapping[str, str] | None = None,
    pods: int = 1,
) -> Object:
    """A batch Job whose pods run as long as `runs` says on a node that pretends."""
    container = {
        "name": "train",
        "image": "example.test/train:1",
        "resources": {"requests": {GPU: str(gpus), "cpu": "1"}, "limits": {GPU: str(gpus)}},
    }
    template = {
        "metadata": {"annotations": {RUN_TIME: runs}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": dict(selector or {}),
            "containers": [container],
        },
    }
    spec = {"suspend": suspend, "parallelism": pods, "completions": pods, "backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec}


def jobs_path(namespace: str, name: str = "") -> str:
    """Path of a namespace's Jobs, or of one."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def pods_of(cluster: DevCluster, namespace: str, name: str) -> list[Object]:
    """The pods of a Job."""
    selector = f"labelSelector=batch.kubernetes.io/job-name%3D{name}"
    return cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods?{selector}")


def running_pods(cluster: DevCluster, namespace: str, name: str) -> list[Object]:
    """Those of a Job's pods that run and are not about to go."""
    pods = pods_of(cluster, namespace, name)
    return [pod for pod in pods if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]]


def end_namespace(cluster: DevCluster, name: str) -> None:
    """Delete a namespace of the shared cluster and see its pods go, so that the next test finds their GPUs free.

    Its Jobs first: a namespace ends its pods before its Jobs, and a Job whose pods are replaced only once they have failed (so
    is one that was stopped) never lets go of a pod of kwok, which is deleted without having failed as it would on a node.
    """
    cluster.admin.delete(jobs_path(name))
    cluster.wait(f"no Jobs in {name}", lambda: not cluster.admin.items(jobs_path(name)))
    cluster.admin.delete(f"/api/v1/namespaces/{name}")
    pods = f"/api/v1/namespaces/{name}/pods"

    def gone() -> bool:
        # Nothing makes a pod in a namespace that is about to go.
        left = cluster.admin.items(pods)
        for pod in left:
            cluster.admin.call("DELETE", f"{pods}/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})
        return not left

    cluster.wait(f"no pods in {name}", gone)


def standing(cluster: DevCluster) -> str:
    """What a reader of a failed test wants to know: every pod with its place, or why it has none; nodes that are not ready."""
    lines = []
    for node in cluster.admin.items("/api/v1/nodes"):
        taints = [f"{one['key']}:{one['effect']}" for one in node["spec"].get("taints", [])]
        if taints or condition(node, "Ready") != "True":
            lines.append(f"node {node['metadata']['name']}: Ready {condition(node, 'Ready')}, taints {taints}")
    for pod in cluster.admin.items("/api/v1/pods"):
        meta, status = pod["metadata"], pod["status"]
        where = pod["spec"].get("nodeName") or condition(pod, "PodScheduled", "message") or "not looked at by the scheduler"
        leaving = f", deleted {meta['deletionTimestamp']}" if "deletionTimestamp" in meta else ""
        lines.append(f"pod {meta['namespace']}/{meta['name']}: {status.get('phase')}, {where}{leaving}")
    return "\n".join(lines)


def workload_of(cluster: DevCluster, namespace: str, name: str) -> Object | None:
    """Kueue's Workload of a Job."""
    workloads = cluster.admin.items(f"{KUEUE}/namespaces/{namespace}/workloads")
    owned = (one for one in workloads if any(owner["name"] == name for owner in one["metadata"].get("ownerReferences", [])))
    return next(owned, None)


def queue_objects(name: str, namespace: str, checks: tuple[str, ...] = ()) -> list[tuple[str, Object]]:
    """Paths and objects of a flavor for zone a, a ClusterQueue with four GPUs and a LocalQueue, all called `name`."""
    quota = [{"name": "cpu", "nominalQuota": "16"}, {"name": GPU, "nominalQuota": "4"}]
    group = {"coveredResources": ["cpu", GPU], "flavors": [{"name": name, "resources": quota}]}
    spec: dict[str, Any] = {"namespaceSelector": {}, "resourceGroups": [group]}
    if checks:
        spec["admissionChecksStrategy"] = {"admissionChecks": [{"name": check} for check in checks]}
    parts = (
        ("ResourceFlavor", "resourceflavors", {"nodeLabels": {"zone": "a"}}),
        ("ClusterQueue", "clusterqueues", spec),
        ("LocalQueue", f"namespaces/{namespace}/localqueues", {"clusterQueue": name}),
    )
    return [
        (f"{KUEUE}/{where}", {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, "metadata": {"name": name}, "spec": body})
        for kind, where, body in parts
    ]
