"""A real node with GPUs in name, whose kubelet is asked who holds them, and pods that do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from device_plugin import DevicePlugin

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kwok import GPU
from scheduler.adapters.devcluster.realnode.images import BUSYBOX
from scheduler.adapters.devcluster.realnode.node import RealNode
from scheduler.adapters.gpu.pod_resources import PodResources
from scheduler.domain.capping import Occupant

PODS = "/api/v1/namespaces/default/pods"
WITHIN_S = 60.0
GPUS = ("GPU-0000", "GPU-0001")


class Place(NamedTuple):
    """A real node with two GPUs in name, and what asks its kubelet."""

    cluster: DevCluster
    node: RealNode
    plugin: DevicePlugin
    resources: PodResources
    folder: Path

    def run(self, name: str, gpus: int = 1) -> str:
        """Make a pod that runs until it is deleted, and wait until its process does. Returns its uid."""
        uid = self.make(name, gpus)
        self.cluster.wait(f"{name} runs", lambda: self.pod(name)["status"]["phase"] == "Running", WITHIN_S)
        return uid

    def make(self, name: str, gpus: int) -> str:
        """Make a pod that runs until it is deleted, as soon as there are so many GPUs. Returns its uid."""
        container = {
            "name": "main",
            "image": BUSYBOX,
            "imagePullPolicy": "Never",
            "args": ["trap 'exit 0' TERM; while true; do usleep 100000; done"],
            "resources": {"limits": {GPU: str(gpus)}} if gpus else {},
        }
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "containers": [container]}
        made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        # Until the namespace has its service account no pod is taken.
        taken = self.cluster.wait("the pod is taken", partial(self.cluster.admin.create, PODS, made))
        return str(taken["metadata"]["uid"])

    def pod(self, name: str) -> Object:
        """A pod."""
        return self.cluster.admin.get(f"{PODS}/{name}")

    def end(self, *names: str) -> None:
        """Delete pods, and wait until they are gone."""
        for name in names:
            self.cluster.admin.delete(f"{PODS}/{name}")
        gone = partial(self._gone, names)
        self.cluster.wait(f"{', '.join(names)} gone", gone, WITHIN_S)

    def _gone(self, names: tuple[str, ...]) -> bool:
        return not {one["metadata"]["name"] for one in self.cluster.admin.items(PODS)} & set(names)

    def held(self) -> dict[str, Occupant]:
        """Who holds what; the kubelet must have answered."""
        found = self.resources.look()
        assert found.trouble == ""
        return dict(found.by_uuid)


def holder(name: str) -> Occupant:
    """A pod that has a GPU for itself."""
    return Occupant(namespace="default", name=name)
