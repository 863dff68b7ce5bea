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
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.entrypoints.cli import app
from scheduler.entrypoints.leaving import PATIENCE, Leaving, Patience

ROOT = Path(__file__).parents[2]
RBAC, ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
BINDINGS = f"{ADMISSION}/mutatingadmissionpolicybindings"
FLEXIBLE = {"heatdispatch.io/class": "deferrable"}
UUID = "GPU-00000000-0000-0000-0000-000000000000"


def rights(helm: Path) -> Iterator[Object]:
    """What the chart lets the hooks do, for a user of the tests."""
    done = subprocess.run(
        [helm, "template", "x", ROOT / "helm" / "heat-dispatch", "--namespace", "default"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    for obj in yaml.safe_load_all(done.stdout):
        hook = obj and obj["metadata"]["name"].endswith(("-uninstall", "-leases", "-leases-caps"))
        if hook and obj["apiVersion"].startswith("rbac"):
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


LEASES = "/apis/coordination.k8s.io/v1/namespaces"


def lease(cluster: DevCluster, name: str, namespace: str, holder: str, lasts_s: int = 1) -> str:
    """Make a Lease that is held from now on; returns its path."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": lasts_s, "renewTime": "2026-01-05T12:00:00.000000Z"}
    metadata = {"name": name, "namespace": namespace}
    made = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    cluster.admin.create(f"{LEASES}/{namespace}/leases", made)
    return f"{LEASES}/{namespace}/leases/{name}"


def left(cluster: DevCluster, namespace: str) -> set[str]:
    """Leases of ours in a namespace."""
    names = {one["metadata"]["name"] for one in cluster.admin.items(f"{LEASES}/{namespace}/leases")}
    return {name for name in names if name.startswith("heat-dispatch-")}


@pytest.fixture
def emptied(own_cluster: DevCluster, toolbox: Toolbox) -> DevCluster:
    """What is there once an installation has gone: the rights of its last hook."""
    for obj in rights(toolbox.program("helm")):
        create(own_cluster, obj)
    return own_cluster


def leases_removed(cluster: DevCluster, patience: Patience) -> str:
    """What is told while Leases go, with the hook's rights."""
    told: list[str] = []
    client = KubeClient(Connection(configuration(cluster.kubeconfig(STRANGER), None)))
    Leaving(client, "kube-system", told.append, threading.Event().wait, patience).remove_leases("default")
    return " ".join(told)


def test_leases_go_that_were_given_back_or_have_run_out(emptied: DevCluster) -> None:
    cluster = emptied
    lease(cluster, "heat-dispatch-operator", "kube-system", "")
    lease(cluster, "heat-dispatch-standby", "kube-system", "gone-without-a-word")
    # That of the caps is never given back: no operator is left who would renew it.
    lease(cluster, "heat-dispatch-caps", "default", "operator-0", lasts_s=600)
    options = ["--caps-namespace", "default", "--kubeconfig", str(cluster.kubeconfig(STRANGER))]
    done = CliRunner().invoke(app, ["release", "--leases", *options])
    assert done.exit_code == 0, done.output
    assert left(cluster, "kube-system") | left(cluster, "default") == set()
    assert leases_removed(cluster, PATIENCE) == ""


def test_a_lease_that_another_installation_renews_stays(emptied: DevCluster) -> None:
    cluster = emptied
    path = lease(cluster, "heat-dispatch-operator", "kube-system", "the-other-one", lasts_s=2)
    over = threading.Event()

    def other() -> None:
        """Renews without pause; its clock is far away from ours, which must not matter."""
        renewals = 0
        while not over.wait(0.3):
            renewals += 1
            cluster.admin.patch(path, {"spec": {"renewTime": f"2026-01-05T12:{renewals // 60:02}:{renewals % 60:02}.000000Z"}})

    renewing = threading.Thread(target=other)
    renewing.start()
    try:
        told = leases_removed(cluster, Patience(leases_s=5.0))
    finally:
        over.set()
        renewing.join(10.0)
    assert told == "Lease kube-system/heat-dispatch-operator stays: the-other-one holds it"
    assert left(cluster, "kube-system") == {"heat-dispatch-operator"}
