"""Roles taken apart to their finest grain, one verb of one resource of one rule, and given to users but for one of these."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster

RBAC_API = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, in a namespace or everywhere, on one name or on all."""

    verb: str
    resource: str
    group: str
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''} {self.name}".strip()


def rights_of(role: Object) -> list[Right]:
    """What a role grants, right by right."""
    namespace = role["metadata"].get("namespace", "")
    return [
        Right(verb, resource, group, namespace, name)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    ]


def without(role: Object, right: Right | None, name: str) -> Object:
    """A role that grants everything but one right."""
    rules = [
        {
            "apiGroups": [one.group],
            "resources": [one.resource],
            "verbs": [one.verb],
            **({"resourceNames": [one.name]} if one.name else {}),
        }
        for one in rights_of(role)
        if one != right
    ]
    found = deepcopy(role)
    found["metadata"]["name"] = name
    return {**found, "rules": rules}


def bound(cluster: DevCluster, role: Object, user: str) -> None:
    """Give a role to a user."""
    metadata = {part: role["metadata"][part] for part in ("name", "namespace") if part in role["metadata"]}
    scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    binding = {
        "apiVersion": role["apiVersion"],
        "kind": f"{role['kind']}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": metadata["name"]},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    plural = f"{role['kind'].lower()}s"
    cluster.admin.create(f"{RBAC_API}{scope}/{plural}", role)
    cluster.admin.create(f"{RBAC_API}{scope}/{plural.removesuffix('s')}bindings", binding)


def allowed(cluster: DevCluster, user: str, right: Right) -> bool:
    """What the API server says to that request of a user."""
    plural, _, subresource = right.resource.partition("/")
    asked = {
        "verb": right.verb,
        "group": right.group,
        "resource": plural,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    answer = cluster.admin.create(REVIEWS, {**review, "spec": {"user": user, "resourceAttributes": asked}})
    return bool(answer["status"]["allowed"])
