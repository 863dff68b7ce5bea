"""The admission policies of policies/admission on a real API server, as an installation has them."""

from __future__ import annotations

from pathlib import Path

import yaml

from scheduler.adapters.devcluster.cluster import DevCluster

POLICIES = Path(__file__).parents[1] / "policies" / "admission"
PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def admit(cluster: DevCluster) -> None:
    """Apply them all; they are in force a moment later."""
    for path in sorted(POLICIES.glob("*.yaml")):
        for obj in yaml.safe_load_all(path.read_text("utf-8")):
            where = f"/apis/admissionregistration.k8s.io/v1/{PLURALS[obj['kind']]}/{obj['metadata']['name']}"
            cluster.admin.apply(where, obj)


def free_lease(cluster: DevCluster, namespace: str = "kube-system") -> None:
    """A Lease that nobody holds: an operator that finds none waits its length first, and tests need not."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    cluster.admin.create(path, {"metadata": {"name": "heat-dispatch-operator"}, "spec": {"leaseDurationSeconds": 1}})
