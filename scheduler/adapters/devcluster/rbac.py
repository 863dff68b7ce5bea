"""Roles and bindings as objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scheduler.adapters.devcluster.client import ApiClient

GROUP = "rbac.authorization.k8s.io"
PATH = f"/apis/{GROUP}/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What may be done with which resources."""

    groups: Sequence[str]
    resources: Sequence[str]
    verbs: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As a PolicyRule."""
        return {"apiGroups": list(self.groups), "resources": list(self.resources), "verbs": list(self.verbs)}


def allow(client: ApiClient, name: str, user: str, rules: Sequence[Rule], namespace: str = "") -> None:
    """Give a user a role of its own, in a namespace or everywhere."""
    kind, where = ("Role", f"{PATH}/namespaces/{namespace}/roles") if namespace else ("ClusterRole", f"{PATH}/clusterroles")
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    role = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": [rule.to_json() for rule in rules]}
    client.apply(f"{where}/{name}", role)
    bind(client, name, user, name, namespace)


def bind(client: ApiClient, name: str, user: str, role: str, namespace: str = "") -> None:
    """Bind a user to a role that is there, a ClusterRole everywhere or a Role of the namespace."""
    kind = "Role" if namespace else "ClusterRole"
    where = f"{PATH}/namespaces/{namespace}/rolebindings" if namespace else f"{PATH}/clusterrolebindings"
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    binding = {
        "apiVersion": f"{GROUP}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": GROUP, "kind": "User", "name": user}],
    }
    client.apply(f"{where}/{name}", binding)
