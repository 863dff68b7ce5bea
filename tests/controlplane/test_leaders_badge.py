"""The leader's pod carries a label on a real API server, and whoever leads no more takes it off."""

from __future__ import annotations

import threading

import pytest

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.kubernetes.runtime.badge import LABEL, Badge
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration


@pytest.fixture
def pod(cluster: DevCluster, namespace: str) -> str:
    """Path of a pod that nobody runs."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "operator", "image": "example.test/operator:1"}
    spec: Object = {"schedulerName": "nobody", "containers": [container]}
    metadata = {"name": "replica", "labels": {"app": "operator"}}
    cluster.admin.create(path, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return f"{path}/replica"


def labels(cluster: DevCluster, pod: str) -> Object:
    found: Object = cluster.admin.get(pod)["metadata"]["labels"]
    return found


def test_it_is_worn_while_we_lead_and_not_after(cluster: DevCluster, namespace: str, pod: str) -> None:
    leads, stopping = threading.Event(), threading.Event()
    client = KubeClient(Connection(configuration(cluster.kubeconfig())))
    badge = Badge(client, namespace, "replica", leads.is_set)
    running = threading.Thread(target=badge.run, args=(stopping,))
    # Whoever ran in this pod before us was killed while it led.
    cluster.admin.patch(pod, {"metadata": {"labels": {LABEL: "true"}}})
    running.start()
    try:
        cluster.wait("it is off", lambda: LABEL not in labels(cluster, pod))
        leads.set()
        cluster.wait("it is worn", lambda: labels(cluster, pod).get(LABEL) == "true")
        assert labels(cluster, pod)["app"] == "operator"
    finally:
        stopping.set()
        running.join(10.0)
    assert LABEL not in labels(cluster, pod)


def test_who_is_no_pod_of_the_namespace_is_content(cluster: DevCluster, namespace: str) -> None:
    client = KubeClient(Connection(configuration(cluster.kubeconfig())))
    badge = Badge(client, namespace, "nobody", lambda: True)
    badge.show(True)
    assert cluster.admin.items(f"/api/v1/namespaces/{namespace}/pods") == []
