"""Whatever the chart renders is taken by a real API server, field by field, and its pods by Pod Security."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_objects import end_namespace

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster

CHART = Path(__file__).parents[2] / "helm" / "heat-dispatch"
HOME, AGENTS = "heat-dispatch-chart", "heat-dispatch-agents-chart"
MERGE = "application/merge-patch+json"
DRY = "dryRun=All&fieldValidation=Strict"
LEVEL = "pod-security.kubernetes.io/enforce"
PLURALS = {"NetworkPolicy": "networkpolicies"}
CLUSTERED = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
PLENTY = """
operator: {replicas: 2}
ledger: {postgres: {secretName: database}}
plantLink: {enabled: true, config: {site: hall}, secrets: [tokens], service: {ports: {rest: 8443}}}
agent: {dryRun: false, deviceListStrategy: volumeMounts, tls: {secretName: t, caConfigMap: c}}
"""


def rendered(helm: Path, folder: Path, values: str) -> list[Object]:
    file = folder / "values.yaml"
    file.write_text(values, encoding="utf-8")
    command = [str(helm), "template", "x", str(CHART), "--namespace", HOME, "--values", str(file)]
    command += ["--set", f"agent.namespace={AGENTS}"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def plural(kind: str) -> str:
    if kind in PLURALS:
        return PLURALS[kind]
    return f"{kind.lower()[:-1]}ies" if kind.endswith("Policy") else f"{kind.lower()}s"


def path(obj: Object) -> str:
    """Where an object is created."""
    root = "/api/v1" if obj["apiVersion"] == "v1" else f"/apis/{obj['apiVersion']}"
    clustered = obj["kind"] in CLUSTERED or obj["kind"].startswith(("Mutating", "Validating"))
    scope = "" if clustered else f"/namespaces/{obj['metadata']['namespace']}"
    return f"{root}{scope}/{plural(obj['kind'])}"


@pytest.fixture(scope="module")
def spaces(cluster: DevCluster) -> Iterator[DevCluster]:
    """The two namespaces of an installation, each as strict as its pods can bear."""
    for name, level in ((HOME, "restricted"), (AGENTS, "privileged")):
        metadata = {"name": name, "labels": {LEVEL: level}}
        cluster.admin.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield cluster
    for name in (HOME, AGENTS):
        end_namespace(cluster, name)


def pod(obj: Object) -> Object:
    """One pod as its owner would make it."""
    spec = obj["spec"]["jobTemplate"]["spec"] if obj["kind"] == "CronJob" else obj["spec"]
    found: dict[str, Any] = {**(spec if obj["kind"] == "Pod" else spec["template"]["spec"])}
    # Neither accounts nor the runtime are there, and Pod Security looks at neither.
    for part in ("serviceAccountName", "runtimeClassName", "priorityClassName"):
        found.pop(part, None)
    metadata = {"name": "one", "namespace": obj["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": found}


@pytest.mark.parametrize("values", ["", PLENTY], ids=["usual", "plenty"])
def test_every_object_is_taken(spaces: DevCluster, toolbox: Toolbox, tmp_path: Path, values: str) -> None:
    taken = set()
    for each in rendered(toolbox.program("helm"), tmp_path, values):
        obj = pod(each) if each["kind"] == "Pod" else each
        try:
            spaces.admin.create(f"{path(obj)}?{DRY}", obj)
        except ApiRefused as error:
            # What the shared cluster has already is changed as it would be upgraded.
            if error.code != 409:
                raise AssertionError(f"{obj['kind']} {obj['metadata']['name']}: {error}") from error
            spaces.admin.call("PATCH", f"{path(obj)}/{obj['metadata']['name']}?{DRY}", obj, content_type=MERGE)
        taken.add(obj["kind"])
    assert {"Deployment", "DaemonSet", "CronJob", "Job", "NetworkPolicy", "CustomResourceDefinition"} <= taken


@pytest.mark.parametrize("values", ["", PLENTY], ids=["usual", "plenty"])
def test_every_pod_passes_the_pod_security_of_its_namespace(
    spaces: DevCluster, toolbox: Toolbox, tmp_path: Path, values: str
) -> None:
    found = rendered(toolbox.program("helm"), tmp_path, values)
    makers = [obj for obj in found if obj["kind"] in {"Deployment", "CronJob", "Job", "Pod"}]
    assert len(makers) == 5
    for obj in makers:
        spaces.admin.create(f"{path(pod(obj))}?{DRY}", pod(obj))


def test_the_agents_pod_is_refused_where_pods_are_restricted(spaces: DevCluster, toolbox: Toolbox, tmp_path: Path) -> None:
    """The check above can fail: and so does it say why agents have a namespace of their own."""
    (agent,) = [obj for obj in rendered(toolbox.program("helm"), tmp_path, "") if obj["kind"] == "DaemonSet"]
    one = pod(agent)
    spaces.admin.create(f"{path(one)}?{DRY}", one)
    one["metadata"]["namespace"] = HOME
    with pytest.raises(ApiRefused, match="PodSecurity"):
        spaces.admin.create(f"{path(one)}?{DRY}", one)
