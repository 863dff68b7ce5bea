"""The agent's manifests on a real API server: every field is known, each variant applies, pod security is as said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster

AGENT = Path(__file__).parents[2] / "manifests" / "agent"
VARIANTS = sorted(path.stem for path in (AGENT / "variants").glob("*.yaml"))
STRATEGIC = "application/strategic-merge-patch+json"
STRICT = "fieldValidation=Strict"
SPACES, LEVEL = "/api/v1/namespaces", "pod-security.kubernetes.io/enforce"


def objects(name: str) -> list[Object]:
    """What one file of the manifests holds."""
    return list(yaml.safe_load_all((AGENT / f"{name}.yaml").read_text("utf-8")))


def made(cluster: DevCluster, path: str, found: Object) -> Object:
    """An object as it would be stored, each field of it checked."""
    return cluster.admin.create(f"{path}?dryRun=All&{STRICT}", found)


@pytest.fixture
def daemon_set(cluster: DevCluster, namespace: str) -> Iterator[Object]:
    """The DaemonSet in a namespace of this test; no node takes it."""
    (found,) = objects("daemonset")
    found["metadata"]["namespace"] = namespace
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    yield cluster.admin.create(f"{path}?{STRICT}", found)
    cluster.admin.delete(f"{path}/{found['metadata']['name']}")


def varied(cluster: DevCluster, daemon_set: Object, name: str) -> Object:
    """The DaemonSet as a variant would change it."""
    (patch,) = objects(f"variants/{name}")
    metadata = daemon_set["metadata"]
    path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/daemonsets/{metadata['name']}?dryRun=All&{STRICT}"
    patch["metadata"].pop("namespace")
    return cluster.admin.call("PATCH", path, patch, content_type=STRATEGIC)


def refusal(cluster: DevCluster, daemon_set: Object, level: str) -> str:
    """Why a pod of a DaemonSet may not be made where a pod security level is kept to; empty when it may."""
    namespace = daemon_set["metadata"]["namespace"]
    cluster.admin.patch(f"{SPACES}/{namespace}", {"metadata": {"labels": {LEVEL: level}}})
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "labels": daemon_set["spec"]["template"]["metadata"]["labels"]},
        "spec": copy.deepcopy(daemon_set["spec"]["template"]["spec"]),
    }
    # A class and an account that this cluster need not have.
    for field in ("runtimeClassName", "serviceAccountName", "serviceAccount"):
        pod["spec"].pop(field, None)
    cluster.wait("the default account", lambda: cluster.admin.get(f"{SPACES}/{namespace}/serviceaccounts/default"))
    try:
        made(cluster, f"{SPACES}/{namespace}/pods", pod)
    except ApiRefused as error:
        return error.message
    return ""


def test_namespace_and_account_are_as_the_server_knows_them(cluster: DevCluster, namespace: str) -> None:
    space, account = objects("namespace")
    assert made(cluster, SPACES, space)["metadata"]["labels"][LEVEL] == "privileged"
    assert account["metadata"].pop("namespace") == space["metadata"]["name"]
    assert made(cluster, f"{SPACES}/{namespace}/serviceaccounts", account)["automountServiceAccountToken"] is False


def test_the_daemon_set_is_taken_field_by_field(daemon_set: Object) -> None:
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_applies(cluster: DevCluster, daemon_set: Object, name: str) -> None:
    before, after = daemon_set["spec"]["template"]["spec"], varied(cluster, daemon_set, name)["spec"]["template"]["spec"]
    assert after != before
    agent = after["containers"][0]
    assert (agent["name"], agent["securityContext"]["capabilities"]) == ("agent", {"drop": ["ALL"]})
    assert {mount["name"] for one in after["containers"] for mount in one["volumeMounts"]} == {
        volume["name"] for volume in after["volumes"]
    }


def test_what_each_pod_security_level_says_of_it(cluster: DevCluster, daemon_set: Object) -> None:
    assert refusal(cluster, daemon_set, "privileged") == ""
    forbidden = refusal(cluster, daemon_set, "baseline")
    assert 'non-default capabilities (containers "setter", "standby" must not include "SYS_ADMIN"' in forbidden
    assert 'hostPath volumes (volumes "journal", "machine", "pod-resources")' in forbidden
    assert forbidden.count("(") == 2
    assert refusal(cluster, varied(cluster, daemon_set, "telemetry-only"), "restricted") == ""
