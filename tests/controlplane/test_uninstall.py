"""Before an installation goes, on a real API server and with the rights that the chart gives: nothing stays held or capped."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_objects import HEAT, STRANGER, job, jobs_path
from operated import LAB, heat_path, quickstart
from typer.testing import CliRunner

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.entrypoints.cli import app

ROOT = Path(__file__).parents[2]
RBAC, ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
BINDINGS = f"{ADMISSION}/mutatingadmissionpolicybindings"
FLEXIBLE = {"heatdispatch.io/class": "deferrable"}
UUID = "GPU-00000000-0000-0000-0000-000000000000"


def rights(helm: Path) -> Iterator[Object]:
    """What the chart lets the hook do, for a user of the tests."""
    done = subprocess.run(
        [helm, "template", "x", ROOT / "helm" / "heat-dispatch"], capture_output=True, check=True, timeout=120
    )
    for obj in yaml.safe_load_all(done.stdout):
        if obj and obj["metadata"]["name"].endswith("-uninstall") and obj["apiVersion"].startswith("rbac"):
            if obj["kind"].endswith("Binding"):
                obj["subjects"] = [{"kind": "User", "name": STRANGER, "apiGroup": "rbac.authorization.k8s.io"}]
            yield obj


def power(capped: bool) -> Object:
    """What an agent says of one GPU."""
    gpu = {"uuid": UUID, "condition": "capped" if capped else "free", **({"capWatts": 200.0} if capped else {})}
    return {"status": {"lease": "Valid" if capped else "None", "gpus": [gpu]}}


PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}


def create(cluster: DevCluster, obj: Object) -> None:
    """Create an object of any of the kinds of this test."""
    scope = f"/namespaces/{obj['metadata']['namespace']}" if "namespace" in obj["metadata"] else ""
    plural = PLURALS.get(obj["kind"], f"{obj['kind'].lower()}s")
    cluster.admin.create(f"/apis/{obj['apiVersion']}{scope}/{plural}", obj)


@pytest.fixture
def installed(own_cluster: DevCluster, toolbox: Toolbox) -> DevCluster:
    """Kinds, a policy that dispatches, the policies that hold new Jobs, one held Job, one capped GPU; no operator runs."""
    cluster = own_cluster
    cluster.apply_crds(yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml")))
    metadata = {"name": LAB, "labels": {"heatdispatch.io/dispatch": "enabled"}}
    cluster.admin.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    hold = (ROOT / "policies" / "admission" / "hold-new-jobs.yaml").read_text("utf-8")
    for obj in [*rights(toolbox.program("helm")), *yaml.safe_load_all(hold)]:
        create(cluster, obj)
    for obj in quickstart():
        cluster.admin.apply(heat_path(obj), obj)
    cap = {"uuid": UUID, "podUid": "5e0c9d8e-0000-4000-8000-000000000000", "capWatts": 200.0}
    wish = {"metadata": {"name": "gpu-0"}, "spec": {"planId": "p", "generation": 3, "gpus": [cap]}}
    create(cluster, {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "NodePower", **wish})
    cluster.admin.patch(f"{HEAT}/nodepowers/gpu-0/status", power(capped=True))

    def held() -> bool:
        # The API server takes a moment to know the policies.
        name = f"held-{len(cluster.admin.items(jobs_path(LAB)))}"
        made: dict[str, Any] = job(name, runs="600s", suspend=False, labels=FLEXIBLE)
        return bool(cluster.admin.create(jobs_path(LAB), made)["spec"].get("suspend"))

    cluster.wait("a job that is held at its creation", held)
    return cluster


def test_nothing_of_ours_stays(installed: DevCluster) -> None:
    cluster = installed
    given_back = threading.Event()

    def agent() -> None:
        """Gives its limit back once nothing is wished, as the agent of the node does."""
        while not given_back.wait(0.2):
            if not cluster.admin.get(f"{HEAT}/nodepowers/gpu-0")["spec"].get("gpus"):
                cluster.admin.patch(f"{HEAT}/nodepowers/gpu-0/status", power(capped=False))
                return

    node = threading.Thread(target=agent)
    node.start()
    try:
        done = CliRunner().invoke(app, ["release", "--uninstall", "--kubeconfig", str(cluster.kubeconfig(STRANGER))])
    finally:
        given_back.set()
        node.join(10.0)
    assert done.exit_code == 0, done.output
    assert "new jobs are held no more" in done.output
    assert "no cap is left on gpu-0" in done.output
    assert [one for one in cluster.admin.items(jobs_path(LAB)) if one["spec"].get("suspend")] == []
    assert cluster.admin.items(BINDINGS) == []
    assert {one["spec"]["mode"] for one in cluster.admin.items(f"{HEAT}/dispatchpolicies")} == {"Observe"}
    assert cluster.admin.items(f"{HEAT}/nodepowers") == []
    later = cluster.admin.create(jobs_path(LAB), job("later", runs="600s", suspend=False, labels=FLEXIBLE))
    assert not later["spec"].get("suspend")
    again = CliRunner().invoke(app, ["release", "--uninstall", "--kubeconfig", str(cluster.kubeconfig(STRANGER))])
    assert again.exit_code == 0, again.output
    assert "nothing is held" in again.output
    # And the hook may do nothing else.
    for path in ("/api/v1/secrets", "/api/v1/pods", f"{RBAC}/clusterroles"):
        with pytest.raises(ApiRefused):
            cluster.client(STRANGER).get(path)
