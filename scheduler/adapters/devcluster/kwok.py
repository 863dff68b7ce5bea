"""Nodes that are none: objects that kwok keeps ready, with GPUs to schedule on and pods that take as long as they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduler.adapters.devcluster.rbac import Rule

USER = "system:serviceaccount:kube-system:kwok-controller"
ANNOTATION = ("kwok.x-k8s.io/node", "fake")
SELECTOR = "=".join(ANNOTATION)
# A pod template says by this annotation how long its pods run, such as "90s"; without it they are done at once.
RUN_TIME = "pod-complete.stage.kwok.x-k8s.io/delay"
GPU = "nvidia.com/gpu"
CPUS_PER_GPU = 16
GIB_PER_GPU = 128
RULES = (
    Rule(groups=("",), resources=("events",), verbs=("create", "delete", "get", "list", "patch", "update", "watch")),
    Rule(groups=("",), resources=("nodes",), verbs=("get", "list", "watch")),
    Rule(groups=("",), resources=("nodes/status", "pods/status"), verbs=("patch", "update")),
    Rule(groups=("",), resources=("pods",), verbs=("delete", "get", "list", "patch", "update", "watch")),
    Rule(
        groups=("coordination.k8s.io",),
        resources=("leases",),
        verbs=("create", "get", "list", "patch", "update", "watch"),
    ),
)


def node(name: str, gpus: int, labels: Mapping[str, str]) -> dict[str, Any]:
    """A node of so many GPUs, with processors and memory to match; without GPUs it has what one GPU would bring."""
    share = max(1, gpus)
    sizes = {"cpu": str(CPUS_PER_GPU * share), "memory": f"{GIB_PER_GPU * share}Gi", "pods": "110"}
    capacity = sizes | ({GPU: str(gpus)} if gpus else {})
    key, value = ANNOTATION
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {key: value}, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {"allocatable": capacity, "capacity": capacity},
    }
