"""A cluster made of its audit log by hand, for tests of the checker that reads such logs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from audit_case import Case

from scheduler.adapters.devcluster.audit import AuditEvent

BEGIN = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
OPERATOR, USER, SCHEDULER = "operator", "admin", "system:kube-scheduler"
Obj = dict[str, Any]
RESOURCES: Mapping[str, tuple[str, str]] = {
    "Job": ("batch", "jobs"),
    "CronJob": ("batch", "cronjobs"),
    "Workload": ("kueue.x-k8s.io", "workloads"),
    "Namespace": ("", "namespaces"),
    "Lease": ("coordination.k8s.io", "leases"),
    "WorkloadClass": ("heatdispatch.io", "workloadclasses"),
    "DispatchPolicy": ("heatdispatch.io", "dispatchpolicies"),
    "NodePower": ("heatdispatch.io", "nodepowers"),
    "ConfigMap": ("", "configmaps"),
}


def stamp(at_utc: datetime) -> str:
    """An instant as Kubernetes writes it."""
    return f"{at_utc:%Y-%m-%dT%H:%M:%SZ}"


def merged(old: Any, change: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(change, dict):
        return change
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        found[key] = merged(found.get(key), value)
    return {key: value for key, value in found.items() if value is not None}


@dataclass
class Scene:
    """A cluster made of its audit log: everything that is done is answered at once, at the next version."""

    now_utc: datetime = BEGIN
    version: int = 100
    events: list[AuditEvent] = field(default_factory=list)
    objects: dict[tuple[str, str], Obj] = field(default_factory=dict)
    told: bool = True

    def wait(self, seconds: float) -> None:
        """Let time pass; the leader renews its lease meanwhile."""
        until = self.now_utc + timedelta(seconds=seconds)
        while self.now_utc < until:
            self.now_utc = min(until, self.now_utc + timedelta(seconds=2))
            if ("Lease", "heat-dispatch-operator") in self.objects:
                self.lease()

    def ask(self, user: str, verb: str, kind: str, name: str, body: Any, *, answer: Any, code: int = 200, **more: str) -> None:
        """Write a line of the log."""
        group, resource = RESOURCES[kind]
        agent = "heat-dispatch (replica-0)" if user == OPERATOR else "kubectl"
        namespace = "" if kind in ("Namespace", "WorkloadClass", "DispatchPolicy", "NodePower") else "lab"
        given: dict[str, Any] = {"subresource": "", "query": "", "agent": agent, "namespace": namespace, **more}
        event = AuditEvent(
            at_utc=self.now_utc,
            received_utc=self.now_utc,
            user=user,
            verb=verb,
            group=group,
            resource=resource,
            name=name,
            code=code,
            body=body,
            answer=answer if self.told else None,
            **given,
        )
        self.events.append(event)

    def create(self, kind: str, name: str, body: Obj, user: str = USER, *, asked: Obj | None = None, **more: Any) -> Obj:
        """A new object; `asked` when admission changed it."""
        self.version += 1
        metadata = {"name": name, "uid": f"{kind}-{name}", "resourceVersion": str(self.version)}
        metadata["creationTimestamp"] = stamp(self.now_utc)
        if kind in ("Job", "Workload", "CronJob"):
            metadata["namespace"] = "lab"
        found: Obj = {**body, "metadata": {**body.get("metadata", {}), **metadata}}
        self.objects[kind, name] = found
        self.ask(user, "create", kind, name, body if asked is None else asked, answer=copy.deepcopy(found), **more)
        return found

    def patch(self, kind: str, name: str, change: Obj, user: str = OPERATOR, *, seen: bool = True, **more: Any) -> None:
        """A merge patch, at the version that is there."""
        old = self.objects[kind, name]
        new = merged(old, change)
        body = (
            merged(change, {"metadata": {key: old["metadata"][key] for key in ("uid", "resourceVersion")}}) if seen else change
        )
        # A merge patch keeps its nulls.
        for key, value in (change.get("metadata", {}).get("annotations") or {}).items():
            body["metadata"].setdefault("annotations", {})[key] = value
        if new != old:
            self.version += 1
            new["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind, name] = new
        self.ask(user, more.pop("verb", "patch"), kind, name, body, answer=copy.deepcopy(new), **more)

    def lease(self, holder: str = "replica-0", lease_s: int = 12) -> None:
        """Take or renew the Lease."""
        spec: Obj = {"spec": {"holderIdentity": holder, "leaseDurationSeconds": lease_s, "renewTime": stamp(self.now_utc)}}
        more: dict[str, Any] = {"namespace": "heat-dispatch", "agent": f"heat-dispatch ({holder})"}
        if ("Lease", "heat-dispatch-operator") in self.objects:
            spec["spec"]["transitions"] = self.version
            self.patch("Lease", "heat-dispatch-operator", spec, verb="update", **more)
        else:
            self.create("Lease", "heat-dispatch-operator", spec, OPERATOR, **more)

    def job(self, name: str = "train", class_name: str | None = "later", *, suspend: bool = False, **notes: str) -> None:
        """A Job of a user."""
        labels = {} if class_name is None else {"heatdispatch.io/class": class_name}
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": "4"}}}
        spec = {"suspend": suspend, "template": {"spec": {"containers": [container]}}}
        annotations = {f"heatdispatch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
        self.create("Job", name, {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})

    def hold(self, name: str = "train", *, hours: float = 1.0, plan: str = "plan-1", **more: Any) -> None:
        """Hold it as the operator does."""
        notes = {
            "held-by": "operator",
            "held-since": stamp(self.now_utc),
            "hold-until": stamp(self.now_utc + timedelta(hours=hours)),
            "hold-reason": "Cheaper",
            "hold-text": "Held until later",
            "plan": plan,
            **more.pop("notes", {}),
        }
        annotations = {f"heatdispatch.io/{key}": value for key, value in notes.items()}
        self.patch("Job", name, {"metadata": {"annotations": annotations}, "spec": {"suspend": True}}, **more)

    def release(self, name: str = "train", **more: Any) -> None:
        """Let it go."""
        gone = ("held-by", "held-since", "hold-until", "hold-reason", "hold-text", "plan")
        annotations: dict[str, str | None] = {f"heatdispatch.io/{key}": None for key in gone}
        annotations["heatdispatch.io/released"] = stamp(self.now_utc)
        self.patch("Job", name, {"metadata": {"annotations": annotations}, "spec": {"suspend": False, **more}})

    def bind(self, name: str = "train") -> None:
        """One of its pods gets a node."""
        body = {"target": {"name": "gpu-0"}}
        event = AuditEvent(
            at_utc=self.now_utc,
            user=SCHEDULER,
            verb="create",
            group="",
            resource="pods",
            subresource="binding",
            namespace="lab",
            name=f"{name}-abcde",
            code=201,
            body=body,
            query="",
        )
        self.events.append(event)

    def case(self, **more: Any) -> Case:
        """The evidence as the checker gets it."""
        there = [obj for (kind, _), obj in self.objects.items() if kind == "Job"]
        return Case(events=self.events, users=frozenset({OPERATOR}), there=there, **more)
